/** The whole of berth inside this process, without a daemon: `node examples/40_embedded.ts ROOTFS FOLDER`. Needs root. */
import { NodeRuntime } from "@effect/platform-node"
import { Berth, ContainerId, Spec, Tasks } from "berth"
import { Console, Effect } from "effect"

const [rootfs = "/srv/busybox", folder = "/tmp/berth"] = process.argv.slice(2)

// #region
const run = Effect.fnUntraced(function* (name: string, ...args: ReadonlyArray<string>) {
  const tasks = yield* Tasks
  const spec = yield* Effect.fromResult(Spec.make({ rootfs: { path: rootfs, overlay: true }, args }))
  // Nothing of the container is left when this returns, fails or is interrupted.
  return (yield* tasks.run(spec, { id: ContainerId.make(name) })).exitStatus
})

const program = Effect.gen(function* () {
  const names = ["a", "b", "c", "d"]
  const codes = yield* Effect.forEach(names, (name, n) => run(name, "/bin/sh", "-c", `exit ${n}`), { concurrency: 4 })
  yield* Console.log(`exit codes ${codes.join(", ")}`)
})

const embedded = Berth.layerEmbedded({ root: `${folder}/root`, state: `${folder}/state` })
program.pipe(Effect.provide(embedded), NodeRuntime.runMain)
// #endregion
