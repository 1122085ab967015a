import { assert, describe, it } from "@effect/vitest"
import { missingLimit } from "../../../src/layers/runtime/MissingLimit.ts"
import { RuntimeFailed } from "../../../src/schema/Errors.ts"
import { RuntimeName } from "../../../src/schema/Ids.ts"

const runtime = RuntimeName.make("crun")
const reason = (detail: string) =>
  missingLimit(new RuntimeFailed({ runtime, command: "create", exitCode: 1, reason: "failed", detail, log: [] }))
    ?.capability

describe("missingLimit", () => {
  it("finds the limit in what crun says", () => {
    const said = (file: string) => `opening file \`${file}\` for writing: No such file or directory`
    assert.strictEqual(reason(said("blkio.weight")), "blockIO.weight on this host")
    assert.strictEqual(reason(said("hugetlb.3MB.limit_in_bytes")), "hugepageLimits 3MB on this host")
  })

  it("finds the limit in what runc says", () => {
    const said = "openat2 /sys/fs/cgroup/hugetlb/web/hugetlb.3MB.limit_in_bytes: no such file or directory"
    assert.strictEqual(reason(said), "hugepageLimits 3MB on this host")
  })

  it("leaves other failures as they are", () => {
    assert.isUndefined(reason("opening file `blkio.weight` for writing: Permission denied"))
    assert.isUndefined(reason("stat /bin/weight: no such file or directory"))
  })
})
