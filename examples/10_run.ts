/** Runs a command in a container of its own: `node examples/10_run.ts ROOTFS`. */
// #region
import { NodeRuntime } from "@effect/platform-node"
import { Berth, ContainerId, Containers, Spec, Tasks } from "berth"
import { Console, Effect, Stream } from "effect"

const [rootfs = "/srv/busybox"] = process.argv.slice(2)
const address = process.env["BERTH_ADDRESS"] ?? "unix:///run/berth/berth.sock"

const program = Effect.gen(function* () {
  const containers = yield* Containers
  const tasks = yield* Tasks
  const id = ContainerId.make("greeting")
  const args = ["/bin/sh", "-c", "echo hello from $(hostname); exit 7"]
  const spec = yield* Effect.fromResult(Spec.make({ rootfs: { path: rootfs }, args, hostname: id }))
  yield* containers.create({ id, spec })
  yield* tasks.create({ id })
  yield* tasks.start(id)
  yield* tasks.output({ id, follow: true }).pipe(
    Stream.map(({ bytes }) => bytes),
    Stream.decodeText(),
    Stream.runForEach((text) => Console.log(text.trimEnd()))
  )
  const { exitStatus, source } = yield* tasks.wait({ id })
  yield* Console.log(`exit code ${exitStatus}, ${source}`)
  yield* tasks.delete({ id })
  yield* containers.delete(id)
})

program.pipe(Effect.provide(Berth.layerClient({ address })), NodeRuntime.runMain)
// #endregion
