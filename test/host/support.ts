/** What the tests of the host share: a machine whose task folders can be made to fail, short forms of the host's calls, and a look at what is left. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as LocalHost from "../../src/host/LocalHost.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ResourceExhausted, Unavailable } from "../../src/schema/Errors.ts"
import type { HostedRecord, HostEvent } from "../../src/schema/Host.ts"
import { ExecId, RuntimeName } from "../../src/schema/Ids.ts"
import { defaultStdio } from "../../src/schema/Process.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import { processOf, refOf, specOf } from "../layers/mock/support.ts"
import { atOnce, settled } from "../support/atOnce.ts"
import { machine } from "../support/pretended.ts"

const io = { stdio: defaultStdio, logFile: "/memory/log" }
const runtime = RuntimeName.make("auto")
export const forever = ["sleep", "inf"]
export const job = ExecId.make("job")
export const web = refOf("web")
export const full = new ResourceExhausted({ resource: "disk", limit: 1 })
export const gone = new Unavailable({ what: "disk", problem: "gone", mend: null })

/** What goes wrong in the task folders, by the name of the method; one entry a call. */
export class Disk extends Context.Service<
  Disk,
  {
    readonly fail: (times: number, match?: (record: HostedRecord) => boolean) => Effect.Effect<void>
    readonly failCreate: Effect.Effect<void>
    /** How many records were to be saved so far. */
    readonly saves: Effect.Effect<number>
    /** Every save of such a record takes so long. */
    readonly slow: (milliseconds: number, match?: (record: HostedRecord) => boolean) => Effect.Effect<void>
  }
>()("berth/test/Disk") {}

const disk = Layer.effectContext(
  Effect.gen(function* () {
    const inner = yield* TaskDirectory
    const any = () => true
    let rule: { match: (record: HostedRecord) => boolean; left: number } = { match: any, left: 0 }
    let delay: { match: (record: HostedRecord) => boolean; milliseconds: number } = { match: any, milliseconds: 0 }
    let failCreate = false
    let saves = 0
    const directory = TaskDirectory.of({
      ...inner,
      create: (...args) =>
        Effect.suspend(() => {
          if (!failCreate) return inner.create(...args)
          failCreate = false
          return Effect.fail(full)
        }),
      save: (record) =>
        Effect.suspend(() => {
          saves++
          const slow = delay.milliseconds > 0 && delay.match(record) ? Effect.sleep(delay.milliseconds) : Effect.void
          if (rule.left === 0 || !rule.match(record)) return Effect.andThen(slow, inner.save(record))
          rule.left--
          return Effect.fail(full)
        })
    })
    return Context.make(TaskDirectory, directory).pipe(
      Context.add(
        Disk,
        Disk.of({
          fail: (left, match = any) => Effect.sync(() => void (rule = { match, left })),
          saves: Effect.sync(() => saves),
          failCreate: Effect.sync(() => void (failCreate = true)),
          slow: (milliseconds, match = any) => Effect.sync(() => void (delay = { match, milliseconds }))
        })
      )
    )
  })
)

export const ground = (options: Parameters<typeof machine>[0] = {}) =>
  disk.pipe(Layer.provideMerge(machine(options)), Layer.provide(Logger.layer([])))
export type Ground = Layer.Success<ReturnType<typeof ground>>

/** A test with a host on a machine of its own. */
export const test = (
  name: string,
  body: () => Effect.Effect<void, unknown, Ground | ProcessHost>,
  options: Parameters<typeof machine>[0] = {}
) => it.effect(name, () => body().pipe(Effect.provide(LocalHost.layer.pipe(Layer.provideMerge(ground(options))))))

/** One life of a host. What it has begun is cut off with it. */
export const life = Effect.fnUntraced(function* <A, E, R>(body: Effect.Effect<A, E, R | ProcessHost>) {
  const scope = yield* Scope.make()
  const services = yield* atOnce("boot", Layer.build(Layer.fresh(LocalHost.layer)).pipe(Scope.provide(scope)))
  const result = yield* Effect.provideContext(body, services)
  yield* Scope.close(scope, Exit.void)
  return result
})
/** A test of several lives on one machine. */
export const testOfLives = (
  name: string,
  body: () => Effect.Effect<void, unknown, Ground>,
  options: Parameters<typeof machine>[0] = {}
) => it.effect(name, () => body().pipe(Effect.provide(ground(options))))

export const create = (args: ReadonlyArray<string> = forever, id = "web") =>
  Effect.flatMap(ProcessHost, (host) => host.create({ ...refOf(id), runtime, spec: specOf(args), ...io }))
export const running = Effect.fnUntraced(function* (args: ReadonlyArray<string> = forever, id = "web") {
  const made = yield* create(args, id)
  yield* (yield* ProcessHost).start(refOf(id))
  return made
})
export const exec = (execId: string, args: ReadonlyArray<string> = forever) =>
  Effect.flatMap(ProcessHost, (host) =>
    host.exec({ ...web, execId: ExecId.make(execId), process: processOf(args), ...io })
  )

/** Fails where somebody still tries to save something. */
export const calm = Effect.gen(function* () {
  const { saves } = yield* Disk
  const before = yield* saves
  yield* TestClock.adjust("1 minute")
  assert.strictEqual(yield* saves, before, "it goes on trying to save")
})

/** Everything of a container that could be left: on disk, in the runtime, as a process, as a descriptor. */
export const left = Effect.gen(function* () {
  const world = yield* MockWorld
  return {
    records: (yield* (yield* TaskDirectory).list).map(({ ref }) => ref.execId ?? ref.containerId),
    folder: Exit.isFailure(yield* Effect.exit(created)) ? "taken" : "free",
    containers: yield* world.containers,
    processes: (yield* world.processes(web)).length,
    descriptors: yield* world.descriptors
  }
})
/** Whether the folder of the id can be made: it is taken away again. */
const created = Effect.gen(function* () {
  const directory = yield* TaskDirectory
  yield* directory.create(web.namespace, web.containerId, specOf(forever))
  yield* directory.remove(web)
})
export const nothing = { records: [], folder: "free", containers: [], processes: 0, descriptors: [] }

/** What a watcher is told from now on, in words, the snapshot first. */
export const watching = Effect.gen(function* () {
  const lines: Array<string> = []
  const { watch } = yield* ProcessHost
  const fiber = yield* Effect.forkScoped(
    Stream.runForEach(watch, (event) => Effect.sync(() => void lines.push(word(event)))),
    {
      startImmediately: true
    }
  )
  yield* settled
  return { lines, fiber }
})
const word = (event: HostEvent) => {
  switch (event._tag) {
    case "Snapshot":
      return `snapshot ${event.records.map(({ exit, ref }) => `${ref.execId ?? ref.containerId}:${exit?.exitStatus ?? "-"}`).join(" ")}`
    case "Exited":
      return `${event.ref.execId ?? event.ref.containerId} ${event.exit.exitStatus}`
    case "Changed":
      return `${event.ref.containerId} ${event.change}`
    case "Oom":
      return "oom"
  }
}
