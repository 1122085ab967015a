import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as WarmHost from "../../../src/layers/cgroup/WarmHost.ts"
import type { ExecRequest } from "../../../src/schema/Host.ts"
import { ExecId, RuntimeName } from "../../../src/schema/Ids.ts"
import { defaultStdio } from "../../../src/schema/Process.ts"
import { ProcessHost } from "../../../src/services/ProcessHost.ts"
import { cgroupTree } from "../../support/cgroupTree.ts"
import { processOf, refOf, specOf } from "../mock/support.ts"

const { containerId, namespace } = refOf("web")
const io = { stdio: defaultStdio, logFile: "/memory/log" }
const create = { namespace, containerId, runtime: RuntimeName.make("crun"), spec: specOf(["true"]), ...io }
const exec: ExecRequest = { namespace, containerId, execId: ExecId.make("job"), process: processOf(["true"]), ...io }
const hosted = { identity: { pid: 7, startTime: "1", bootId: "b" }, bundle: "/bundle", stdin: null }
const host = Layer.mock(ProcessHost)({ create: () => Effect.succeed(hosted), exec: () => Effect.succeed(hosted) })

/** What berth's own group was asked to take, once it was. */
const asked = (path: string) =>
  Effect.sync(() => readFileSync(path, "utf8")).pipe(
    Effect.repeat({ schedule: Schedule.spaced("5 millis"), until: (text) => text !== "-\n" }),
    Effect.timeout("5 seconds")
  )

describe("WarmHost", () => {
  for (const [kind, path] of [
    ["v1", "sys/fs/cgroup/memory/system.slice/berth.service"],
    ["v2", "sys/fs/cgroup/system.slice/berth.service"],
    ["hybrid", "sys/fs/cgroup/unified"]
  ] as const) {
    for (const call of ["create", "exec"] as const) {
      it.live(`moves itself to where it is at every ${call} (${kind})`, () =>
        Effect.gen(function* () {
          const tree = yield* cgroupTree(kind)
          const list = `${path}/cgroup.procs`
          tree.write("proc/self/cgroup", onlyMemory(readFileSync(join(tree.root, "proc/self/cgroup"), "utf8")))
          const context = yield* Layer.build(WarmHost.over(host, { root: tree.root }))
          const warmed = yield* Effect.provide(ProcessHost, context)
          for (let time = 0; time < 2; time++) {
            tree.write(list, "-\n")
            assert.deepStrictEqual(yield* call === "create" ? warmed.create(create) : warmed.exec(exec), hosted)
            assert.strictEqual(yield* asked(join(tree.root, list)), "0\n")
            // Its fiber notes the end a turn after the file shows it.
            yield* Effect.sleep("20 millis")
          }
        })
      )
    }
  }

  it.live("does without where it may not, or there are no groups", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("v2")
      const context = yield* Layer.build(WarmHost.over(host, { root: tree.root }))
      const warmed = yield* Effect.provide(ProcessHost, context)
      assert.deepStrictEqual(yield* warmed.create(create), hosted)
      tree.remove("proc/self/cgroup")
      assert.deepStrictEqual(yield* warmed.create(create), hosted)
    })
  )
})

/** Of version 1 any hierarchy will do; the test wants to know which. */
const onlyMemory = (membership: string) =>
  membership
    .split("\n")
    .filter((line) => /memory|^0::/.test(line))
    .join("\n")
