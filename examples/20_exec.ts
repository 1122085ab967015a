/** Runs one more process in a container that runs already: `node examples/20_exec.ts ID CMD…`. */
import { NodeRuntime } from "@effect/platform-node"
import { Berth, ContainerId, Containers, ExecId, ProcessSpec, Tasks } from "berth"
import { Console, Effect, Stream } from "effect"

const [name = "web", ...args] = process.argv.slice(2)
const address = process.env["BERTH_ADDRESS"] ?? "unix:///run/berth/berth.sock"

// #region
const program = Effect.gen(function* () {
  const tasks = yield* Tasks
  const id = ContainerId.make(name)
  const execId = ExecId.make("job")
  const { spec } = yield* (yield* Containers).get(id)
  // What the options do not say (user, environment, capabilities) comes from the container's specification.
  const process = yield* Effect.fromResult(ProcessSpec.makeProcess(spec, { args, env: ["JOB=1"] }))
  yield* tasks.exec({ id, execId, process, stdio: { stdin: true, log: { _tag: "json" } } })
  yield* tasks.startExec({ id, execId })
  yield* tasks.writeStdin({ id, execId, bytes: new TextEncoder().encode("some input\n") })
  yield* tasks.closeStdin({ id, execId })
  yield* Stream.runForEach(tasks.output({ id, execId, follow: true }), ({ bytes, stream }) =>
    Console.log(`${stream}: ${new TextDecoder().decode(bytes).trimEnd()}`)
  )
  const exit = yield* tasks.wait({ id, execId })
  yield* Console.log(`exit code ${exit.exitStatus}; ${(yield* tasks.pids(id)).length} process left in "${id}"`)
  yield* tasks.deleteExec({ id, execId })
})

program.pipe(Effect.provide(Berth.layerClient({ address })), NodeRuntime.runMain)
// #endregion
