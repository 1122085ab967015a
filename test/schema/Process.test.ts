import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Exit } from "../../src/schema/Process.ts"

/** As the first version of berth wrote it. */
const first = {
  id: "web",
  pid: 7,
  exitStatus: 0,
  exitedAt: "2026-01-02T03:04:05.006Z",
  oomKilled: false,
  source: "reaped"
}
const [decode, encode] = [Schema.decodeUnknownSync(Exit), Schema.encodeSync(Exit)]

describe("an exit", () => {
  it("of any version is read, and says of its output what it knows", () => {
    assert.notProperty(decode(first), "truncated")
    assert.deepInclude(decode(first), { oomCount: null, memoryPeak: null })
    assert.isTrue(decode({ ...first, truncated: true }).truncated)
    assert.deepInclude(encode(decode({ ...first, truncated: true, later: "unknown" })), { truncated: true })
    assert.notProperty(encode(decode(first)), "truncated")
  })
})
