/** The whole of berth inside this process, without a daemon: `node examples/40_embedded.ts ROOTFS FOLDER`. Needs root. */
import { NodeRuntime } from "@effect/platform-node"
import { Berth, ContainerId, Containers, Spec, Tasks } from "berth"
import { Console, Effect } from "effect"

const [rootfs = "/srv/busybox", folder = "/tmp/berth"] = process.argv.slice(2)

// #region
const run = Effect.fnUntraced(function* (name: string, ...args: ReadonlyArray<string>) {
  const [containers, tasks] = [yield* Containers, yield* Tasks]
  const id = ContainerId.make(name)
  const spec = yield* Effect.fromResult(Spec.make({ rootfs: { path: rootfs }, args }))
  yield* containers.create({ id, spec })
  yield* tasks.create({ id })
  yield* tasks.start(id)
  const { exitStatus } = yield* tasks.wait({ id })
  yield* tasks.delete({ id })
  yield* containers.delete(id)
  return exitStatus
})

const program = Effect.gen(function* () {
  const names = ["a", "b", "c", "d"]
  const codes = yield* Effect.forEach(names, (name, n) => run(name, "/bin/sh", "-c", `exit ${n}`), { concurrency: 4 })
  yield* Console.log(`exit codes ${codes.join(", ")}`)
})

const embedded = Berth.layerEmbedded({ root: `${folder}/root`, state: `${folder}/state` })
program.pipe(Effect.provide(embedded), NodeRuntime.runMain)
// #endregion
