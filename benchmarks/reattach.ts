/**
 * How soon a daemon that was killed has its containers again: from the start of the next one to its ready line, and from there until each task can be steered.
 * It prints what it found; it judges nothing.
 */
import { Clock, Console, Effect, Result } from "effect"
import { Berth, ContainerId, Containers, RuntimeName, Spec, Tasks } from "../src/index.ts"
import { Failure } from "./Failure.ts"
import * as Main from "./Main.ts"
import { servedBy } from "./Processes.ts"
import * as BerthDaemon from "./servers/BerthDaemon.ts"

const kill = (folder: string) =>
  Effect.sync(() => {
    for (const pid of servedBy(folder).daemons) process.kill(pid, "SIGKILL")
  })

const measure = Effect.fnUntraced(function* ({ runtime, size: count, times: rounds, workspace }: Main.Given) {
  const folders = workspace.folders("berth")
  const ids = Array.from({ length: count }, (_, n) => ContainerId.make(`${workspace.name}-${n}`))
  const spec = Result.getOrThrow(Spec.make({ rootfs: { path: workspace.rootfs }, args: ["/bin/sleep", "100000"] }))
  const begin = Effect.fnUntraced(function* (id: ContainerId) {
    yield* (yield* Containers).create({ id, spec, runtime: { name: RuntimeName.make(runtime) } })
    const tasks = yield* Tasks
    yield* tasks.create({ id })
    return (yield* tasks.start(id)).pid
  })
  const end = (id: ContainerId) => Effect.flatMap(Tasks, (tasks) => Effect.ignore(tasks.delete({ id, force: true })))
  /** With a daemon of its own, killed afterwards. */
  const life = <A, E>(body: (started: number) => Effect.Effect<A, E, Containers | Tasks>) =>
    Effect.scoped(
      Effect.gen(function* () {
        const started = yield* Clock.currentTimeMillis
        const socket = yield* BerthDaemon.start(workspace.node, folders, runtime)
        const found = yield* Effect.provide(body(started), Berth.layerClient({ address: `unix://${socket}` }))
        yield* kill(folders.volatile)
        return found
      })
    )
  const pids = yield* life(() => Effect.forEach(ids, begin, { concurrency: 4 }))
  for (let round = 1; round <= rounds; round++) {
    const { all, last, ready } = yield* life((started) =>
      Effect.gen(function* () {
        const ready = (yield* Clock.currentTimeMillis) - started
        const tasks = yield* Tasks
        // A signal that does nothing goes the whole way to the process.
        const waits = yield* Effect.forEach(
          ids,
          Effect.fnUntraced(function* (id, n) {
            const { pid, status } = yield* tasks.get(id)
            if (pid !== pids[n] || status !== "running")
              return yield* new Failure({ what: id, problem: `is ${status} with pid ${pid}` })
            yield* tasks.signal({ id, signal: 28 })
            return (yield* Clock.currentTimeMillis) - started - ready
          }),
          { concurrency: "unbounded" }
        )
        return { all: waits.length, last: Math.max(...waits), ready }
      })
    )
    yield* Console.log(
      `round ${round}: ${all} containers on ${runtime}: ready ${ready} ms after its start, the last one steered ${last} ms after that`
    )
  }
  yield* life(() => Effect.forEach(ids, end, { concurrency: 4, discard: true }))
})

Main.counted(
  {
    file: "reattach.ts",
    size: { option: "containers", usually: 200 },
    times: { option: "rounds", says: "how often the daemon is killed", usually: 3 }
  },
  measure
)
