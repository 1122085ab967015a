/**
 * A berth on the mock machine in two halves that a test builds apart: what outlives a daemon (the machine, its host, the store) and the daemon's own part. The
 * store in between can be made to fail.
 */
import { Context, Effect, Layer, Stream } from "effect"
import * as Berth from "../../src/actors/Berth.ts"
import * as LocalHost from "../../src/host/LocalHost.ts"
import * as Mock from "../../src/layers/mock/MockLayers.ts"
import { ContainerId, Namespace, RuntimeName } from "../../src/schema/Ids.ts"
import type { CreateTask } from "../../src/schema/Requests.ts"
import { Config } from "../../src/services/Config.ts"
import { Containers } from "../../src/services/Containers.ts"
import { Events } from "../../src/services/Events.ts"
import * as MemoryStore from "../../src/services/MemoryStore.ts"
import * as MemoryTaskDirectory from "../../src/services/MemoryTaskDirectory.ts"
import type { Change, StoreFailure } from "../../src/services/MetadataStore.ts"
import { MetadataStore } from "../../src/services/MetadataStore.ts"
import { Tasks } from "../../src/services/Tasks.ts"

/** How a commit goes wrong: with a typed failure, or with a defect. `after`: only once it has taken effect. */
export type Fault =
  | { readonly _tag: "Fail"; readonly error: StoreFailure }
  | { readonly _tag: "Die"; readonly defect: unknown; readonly after?: boolean }

interface Rule {
  readonly fault: Fault
  readonly match: (changes: ReadonlyArray<Change>) => boolean
  left: number
}

/** The steering of the store. */
export class StoreFaults extends Context.Service<
  StoreFaults,
  {
    /** The next so many commits that match go wrong. */
    readonly next: (times: number, fault: Fault, match?: Rule["match"]) => Effect.Effect<void>
    /** How many commits have gone wrong so far. */
    readonly count: Effect.Effect<number>
    /** From now on every commit takes so long. */
    readonly slow: (milliseconds: number) => Effect.Effect<void>
  }
>()("berth/test/StoreFaults") {}

const faultyStore = Layer.effectContext(
  Effect.gen(function* () {
    const inner = yield* MetadataStore
    const rules: Array<Rule> = []
    let count = 0
    let delay = 0
    const commit: MetadataStore["Service"]["commit"] = (changes, events) =>
      Effect.suspend(() => {
        const rule = rules.find(({ left, match }) => left > 0 && match(changes))
        const work = Effect.andThen(delay > 0 ? Effect.sleep(delay) : Effect.void, inner.commit(changes, events))
        if (rule === undefined) return work
        rule.left--
        count++
        const { fault } = rule
        if (fault._tag === "Fail") return Effect.fail(fault.error)
        return fault.after === true ? Effect.andThen(work, Effect.die(fault.defect)) : Effect.die(fault.defect)
      })
    return Context.make(MetadataStore, MetadataStore.of({ ...inner, commit })).pipe(
      Context.add(
        StoreFaults,
        StoreFaults.of({
          next: (times, fault, match = () => true) => Effect.sync(() => void rules.push({ fault, match, left: times })),
          count: Effect.sync(() => count),
          slow: (milliseconds) => Effect.sync(() => void (delay = milliseconds))
        })
      )
    )
  })
).pipe(Layer.provide(MemoryStore.layer))

/** Of daemons that stand on nothing real. */
export const config = Config.of({
  version: "0",
  root: "/var/lib/berth",
  state: "/run/berth",
  runtime: RuntimeName.make("auto"),
  cgroupPrefix: "berth"
})

/** The machine with its task folders, and the store: what is left when daemon and host are gone. */
export const machine = (options: Mock.Options = {}) =>
  Layer.mergeAll(
    Mock.layerBundles.pipe(Layer.provide(MemoryTaskDirectory.layer)),
    faultyStore,
    Layer.succeed(Config, config)
  ).pipe(Layer.provideMerge(Mock.layer(options)))

/** All that a daemon needs: the machine and a host on it. */
export const ground = (options: Mock.Options = {}) => LocalHost.layer.pipe(Layer.provideMerge(machine(options)))

/** A daemon of the current scope: services of its own over the ground given. */
export const daemon = Layer.build(Layer.fresh(Berth.layer))

/** Ground and daemon in one. */
export const whole = (options: Mock.Options = {}) => Berth.layer.pipe(Layer.provideMerge(ground(options)))

/** A container for the mock. */
export const containerOf = Effect.fnUntraced(function* (id: string, ...args: ReadonlyArray<string>) {
  const spec = { ociVersion: "1.0.2", process: { args, cwd: "/" }, root: { path: "/rootfs" } }
  yield* (yield* Containers).create({ id: ContainerId.make(id), spec })
  return ContainerId.make(id)
})

/** The same with its task created. */
export const createdOf = Effect.fnUntraced(function* (
  id: string,
  args: ReadonlyArray<string>,
  options: Omit<CreateTask, "id"> = {}
) {
  const made = yield* containerOf(id, ...args)
  yield* (yield* Tasks).create({ id: made, ...options })
  return made
})

/** The same, running. */
export const runningOf = Effect.fnUntraced(function* (
  id: string,
  args: ReadonlyArray<string>,
  options: Omit<CreateTask, "id"> = {}
) {
  const made = yield* createdOf(id, args, options)
  yield* (yield* Tasks).start(made)
  return made
})

/** The event log: `seq topic id`, an exec's id behind its container's. */
export const eventLog = Effect.gen(function* () {
  const events = yield* Stream.runCollect((yield* Events).subscribe({}))
  return events.map(({ event, seq, topic }) => {
    const id = "containerId" in event ? event.containerId : event.id
    return `${seq} ${topic} ${id}${"execId" in event && event.execId !== null ? `/${event.execId}` : ""}`
  })
})

/** The topics of one container, in order, with the id of the exec where there is one. */
export const history = (id: string) =>
  Effect.map(eventLog, (lines) =>
    lines.flatMap((line) => {
      const [, topic = "", whose = ""] = line.split(" ")
      const [container, exec] = whose.split("/")
      return container === id ? [exec === undefined ? topic : `${topic}:${exec}`] : []
    })
  )

export const namespace = Namespace.make("default")
