/**
 * What a sample of many idle containers costs the daemon and its shim together, in processor time; and whether a process is started for it. It prints what it
 * found; it judges nothing.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Result } from "effect"
import { dirname } from "node:path"
import { Berth, ContainerId, Containers, CurrentNamespace, Namespace, RuntimeName, Spec, Tasks } from "../src/index.ts"
import * as Counts from "./Counts.ts"
import { Failure } from "./Failure.ts"
import * as Machine from "./Machine.ts"
import { commandLine, processesOf, processorTime as used } from "./Processes.ts"
import * as BerthDaemon from "./servers/BerthDaemon.ts"
import * as Workspace from "./Workspace.ts"

const options = Counts.parse({
  file: "stats.ts",
  containers: 100,
  repeated: { option: "samples", says: "of which one is taken a tenth of a second after the other", times: 100 }
})

/** Milliseconds from one sample to the next. */
const pause = 100

const measure = Effect.fnUntraced(function* (runtime: string, count: number, samples: number) {
  const binary = Machine.find(runtime)
  if (binary === null) return yield* new Failure({ what: "--runtime", problem: `${runtime} is not installed` })
  const workspace = yield* Workspace.make(binary)
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
    // What runs in the containers names no folder.
    const pids = processesOf(dirname(folders.volatile))
    const isShim = (pid: number) => commandLine(pid).includes("/shim.")
    const [shims, daemons] = [pids.filter(isShim), pids.filter((pid) => !isShim(pid))]
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
  const client = Berth.layerClient({ address: `unix://${socket}` })
  yield* run.pipe(
    Effect.scoped,
    Effect.provide(client),
    Effect.provideService(CurrentNamespace, Namespace.make("default")),
    Effect.mapError((error) =>
      error._tag === "Failure" ? error : new Failure({ what: "berth", problem: error.message })
    )
  )
}, Effect.scoped)

const bench = Effect.gen(function* () {
  const { containers, runtime, times } = yield* options
  if (process.getuid?.() !== 0) return yield* new Failure({ what: "user", problem: "containers need root" })
  yield* measure(runtime, containers, times)
})

bench.pipe(
  Effect.tapError((error) => Console.error(`bench: ${error.message}`)),
  (program) => NodeRuntime.runMain(program, { disableErrorReporting: true })
)
