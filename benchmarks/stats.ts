/**
 * What a sample of many idle containers costs the daemon and its shim together, in processor time; and whether a process is started for it. It prints what it
 * found; it judges nothing.
 */
import { Console, Effect, Result } from "effect"
import { Berth, ContainerId, Containers, RuntimeName, Spec, Tasks } from "../src/index.ts"
import { Failure } from "./Failure.ts"
import * as Main from "./Main.ts"
import { processorTime as used, servedBy } from "./Processes.ts"
import * as BerthDaemon from "./servers/BerthDaemon.ts"

/** Milliseconds from one sample to the next. */
const pause = 100

const measure = Effect.fnUntraced(function* ({ runtime, size: count, times: samples, workspace }: Main.Given) {
  const folders = workspace.folders("berth")
  const socket = yield* BerthDaemon.start(workspace.node, folders, runtime)
  const run = Effect.gen(function* () {
    const containers = yield* Containers
    const tasks = yield* Tasks
    const ids = Array.from({ length: count }, (_, n) => ContainerId.make(`${workspace.name}-${n}`))
    const spec = Result.getOrThrow(Spec.make({ rootfs: { path: workspace.rootfs }, args: ["/bin/sleep", "100000"] }))
    const begin = (id: ContainerId) =>
      containers
        .create({ id, spec, runtime: { name: RuntimeName.make(runtime) } })
        .pipe(Effect.andThen(tasks.create({ id })), Effect.andThen(tasks.start(id)))
    const end = (id: ContainerId) =>
      Effect.ignore(Effect.andThen(tasks.delete({ id, force: true }), containers.delete(id)))
    yield* Effect.acquireRelease(Effect.forEach(ids, begin, { concurrency: 4, discard: true }), () =>
      Effect.forEach(ids, end, { concurrency: 4, discard: true })
    )
    const { daemons, shims } = servedBy(folders.volatile)
    const round = Effect.gen(function* () {
      const found = yield* tasks.listStats({})
      if (found.length !== count) return yield* new Failure({ what: "sample", problem: `has only ${found.length}` })
      yield* Effect.sleep(pause)
    })
    // A server lives long: its compiler needs some rounds.
    yield* Effect.repeat(round, { times: 20 })
    const during = <E, R>(work: Effect.Effect<unknown, E, R>) =>
      Effect.gen(function* () {
        const before = [used(daemons), used(shims)] as const
        yield* work
        const after = [used(daemons), used(shims)] as const
        const each = (kind: "own" | "children", at: 0 | 1) => (after[at][kind] - before[at][kind]) / samples
        return { daemon: each("own", 0), shim: each("own", 1), children: each("children", 0) + each("children", 1) }
      })
    const idle = yield* during(Effect.sleep(samples * pause))
    const busy = yield* during(Effect.repeat(round, { times: samples - 1 }))
    const line = ({ children, daemon, shim }: typeof idle) =>
      `${(daemon + shim).toFixed(1)} ms (daemon ${daemon.toFixed(1)}, shim ${shim.toFixed(1)}, processes that they started ${children.toFixed(1)})`
    yield* Console.log(`${count} idle containers on ${runtime}, ${samples} samples, processor time:`)
    yield* Console.log(`  a sample and the ${pause} ms after it: ${line(busy)}`)
    yield* Console.log(`  the same time without a sample: ${line(idle)}`)
  })
  yield* run.pipe(Effect.scoped, Effect.provide(Berth.layerClient({ address: `unix://${socket}` })))
})

Main.counted(
  {
    file: "stats.ts",
    size: { option: "containers", usually: 100 },
    times: { option: "samples", says: "of which one is taken a tenth of a second after the other", usually: 100 }
  },
  measure
)
