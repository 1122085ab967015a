/**
 * Finds what a crash has left on the machine and removes it, container by container, each in its turn with a create of the same name. What is removed at every
 * start was of no use to anybody; what may still be, such as a log, is left to who asks for a repair (decision 0034).
 */
import { Context, Effect, Layer, Option, Result, Stream } from "effect"
import { rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { runs } from "../../host/HalfMade.ts"
import type { BerthError, RuntimeFailed } from "../../schema/Errors.ts"
import { Unavailable } from "../../schema/Errors.ts"
import type { ContainerRef } from "../../schema/Host.ts"
import { containerKey, RuntimeName } from "../../schema/Ids.ts"
import type { Orphan, OrphanKind } from "../../schema/Orphan.ts"
import type { StoreFailure } from "../../services/MetadataStore.ts"
import { MetadataStore } from "../../services/MetadataStore.ts"
import { OciRuntime } from "../../services/OciRuntime.ts"
import { ProcessHost } from "../../services/ProcessHost.ts"
import { TaskDirectory } from "../../services/TaskDirectory.ts"
import * as Leftovers from "../runtime/Leftovers.ts"
import * as Inspection from "../store/Inspection.ts"
import * as DeadSocket from "./DeadSocket.ts"
import type { Known, Verdict } from "./Judgement.ts"
import { judge } from "./Judgement.ts"
import type { Place } from "./Remains.ts"
import * as Remains from "./Remains.ts"
import { ContainerTurns } from "./TakingTurns.ts"

/** Processes first, then what they were in. */
const order: ReadonlyArray<OrphanKind> = [
  "container",
  "runtime",
  "mount",
  "folder",
  "record",
  "cgroup",
  "log",
  "socket"
]

const told = ({ reason, removal, remain: { kind, owner, path } }: Verdict): Orphan =>
  removal === "never"
    ? { kind, path, owner, fate: "kept", reason }
    : { kind, path, owner, fate: "found", reason: removal === "start" ? null : reason }

const noHost: ReadonlySet<string> = new Set()

const verdicts = <E>(place: Place, known: (owners: ReadonlyArray<ContainerRef>) => Effect.Effect<Known, E>) =>
  Effect.gen(function* () {
    // What is there, before what is known: a task that is made in between is known of, and its things were not seen.
    const remains = yield* Remains.find(place)
    const owners = new Map(
      remains.flatMap(({ owner }) => (owner === null ? [] : [[containerKey(owner), owner] as const]))
    )
    return judge(remains, yield* known(Array.from(owners.values()))).toSorted(
      (a, b) => order.indexOf(a.remain.kind) - order.indexOf(b.remain.kind)
    )
  })

/** What is left, as far as it can be told without a daemon, which would have the store for itself. Nothing is changed. */
export const look = Effect.fn("Orphans.look")(function* (place: Place) {
  const known = Inspection.keys(join(place.root, "berth.db")).pipe(
    Effect.map((keys): Known => ({ ...keys, held: noHost })),
    Effect.mapError((problem) => new Unavailable({ what: "store", problem, mend: null }))
  )
  return (yield* verdicts(place, () => known)).map(told)
})

const make = Effect.fnUntraced(function* (place: Place) {
  const directory = yield* TaskDirectory
  const host = yield* ProcessHost
  const inTurn = yield* ContainerTurns
  const runtimes = yield* OciRuntime
  const store = yield* MetadataStore

  const held = Effect.map(Stream.runHead(host.watch), (event) =>
    Option.isSome(event) && event.value._tag === "Snapshot"
      ? new Set(event.value.records.map(({ ref }) => containerKey(ref)))
      : noHost
  )
  /** Of these; what cannot be read is there. */
  const keysOf = <A>(
    owners: ReadonlyArray<ContainerRef>,
    read: (owner: ContainerRef) => Effect.Effect<Option.Option<A>, StoreFailure>
  ) =>
    Effect.map(
      Effect.filter(owners, (owner) => Effect.orElseSucceed(Effect.map(read(owner), Option.isSome), () => true)),
      (there) => new Set(there.map(containerKey))
    )
  const hasTask = ({ containerId, namespace }: ContainerRef) => store.task(namespace, containerId)
  const found = verdicts(place, (owners) =>
    Effect.all({
      held,
      tasks: keysOf(owners, hasTask),
      containers: keysOf(owners, ({ containerId, namespace }) => store.container(namespace, containerId))
    })
  ).pipe(Effect.provideService(TaskDirectory, directory))

  const removeFolder = (what: string, path: string) =>
    Effect.tryPromise({
      try: () => rm(path, { recursive: true, force: true }),
      catch: (error) => new Unavailable({ what, problem: String(error), mend: null })
    })

  const driverOf = (path: string) =>
    runtimes.driver(RuntimeName.make(path.slice(join(place.state, "runtime").length + 1).split("/")[0] ?? ""))
  const bundleOf = (owner: ContainerRef) => directory.directory({ ...owner, execId: null })

  /**
   * By the runtime whose folder it is; one that is not to be had may be so tomorrow. A runtime that cannot read its own
   * words would never let go of them: where no process is left of the container, they are only files.
   */
  const deleteState = Effect.fnUntraced(function* (owner: ContainerRef, path: string) {
    const driver = yield* driverOf(path)
    const bundle = bundleOf(owner)
    const groups = Leftovers.cgroupDirectories(`/${place.cgroupPrefix}--${owner.namespace}--${owner.containerId}`)
    yield* Effect.catchTag(
      driver.delete({ ...owner, bundle }, { force: true }),
      "RuntimeFailed",
      (error): Effect.Effect<void, RuntimeFailed | Unavailable> =>
        groups.some(Leftovers.isPopulated) ? Effect.fail(error) : removeFolder("runtime", path)
    )
  })

  const removeGroup = (path: string) =>
    Leftovers.removeEmpty(path).pipe(
      Effect.mapError(() => new Unavailable({ what: "cgroup", problem: "a process is in it", mend: null }))
    )

  /** False where it turned out to be somebody's. */
  const remove = ({ remain: { kind, owner, path } }: Verdict): Effect.Effect<unknown, BerthError> => {
    if (owner === null) return DeadSocket.remove({ path, state: place.state })
    switch (kind) {
      case "container":
        return host.delete(owner)
      case "runtime":
        return deleteState(owner, path)
      case "mount":
      case "folder":
      case "record":
        return directory.remove({ ...owner, execId: null })
      case "cgroup":
        return removeGroup(path)
      default:
        return removeFolder("log", path)
    }
  }

  const outcome = (verdict: Verdict, removal: Effect.Effect<unknown, BerthError> = remove(verdict)) => {
    const { kind, owner, path } = verdict.remain
    const what = `${kind} ${path}`
    return removal.pipe(
      Effect.matchEffect({
        onSuccess: (gone): Effect.Effect<ReadonlyArray<Orphan>> =>
          gone === false
            ? Effect.succeed([])
            : Effect.as(Effect.logInfo(`removed what nobody has: ${what}`), [
                { kind, path, owner, fate: "removed", reason: null }
              ]),
        onFailure: (error): Effect.Effect<ReadonlyArray<Orphan>> =>
          Effect.as(Effect.logWarning(`cannot remove what nobody has: ${what}: ${error.message}`), [
            { kind, path, owner, fate: "kept", reason: error.message }
          ])
      })
    )
  }

  /** Why it is left alone: what runs and has no record was made by somebody else, or its record was taken away. */
  const reasonToKeep = Effect.fnUntraced(function* (owner: ContainerRef, all: ReadonlyArray<Verdict>) {
    if (all.some(({ remain }) => remain.kind === "record")) return null
    for (const { remain } of all) {
      if (remain.kind !== "runtime") continue
      const driver = yield* driverOf(remain.path)
      if (!(yield* runs(driver, { ...owner, bundle: bundleOf(owner) }))) continue
      return `it runs, and berth has no record of it: end it with "${driver.info.name} --root ${dirname(remain.path)} delete --force ${owner.containerId}", then repair`
    }
    return null
  })

  /** In its turn, and only where no task of that name has come meanwhile. */
  const removeAll = (owner: ContainerRef, all: ReadonlyArray<Verdict>) =>
    inTurn(
      containerKey(owner),
      Effect.gen(function* () {
        if ((yield* keysOf([owner], hasTask)).size > 0) return []
        const reason = yield* reasonToKeep(owner, all)
        if (reason !== null) {
          const error = new Unavailable({ what: `container "${owner.containerId}"`, problem: reason, mend: null })
          return yield* Effect.forEach(all, (verdict) => outcome(verdict, Effect.fail(error)))
        }
        // Whatever an answer that was lost has left the host with, it is brought to its end first. Without its folder nobody would find it.
        const isFolder = ({ remain }: Verdict) => remain.kind === "folder"
        const ended = all.some(isFolder) ? yield* Effect.result(host.delete(owner)) : Result.succeed(null)
        return yield* Effect.forEach(all, (verdict) =>
          Result.isFailure(ended) && isFolder(verdict) ? outcome(verdict, Effect.fail(ended.failure)) : outcome(verdict)
        )
      })
    )

  const clean = Effect.fn("Orphans.clean")(function* (mode: "start" | "repair") {
    const all = yield* found
    const isFor = ({ removal }: Verdict) => removal === "start" || removal === mode
    const owners = new Map(
      all.flatMap(({ remain: { owner } }) => (owner === null ? [] : [[containerKey(owner), owner] as const]))
    )
    const ownerless = yield* Effect.forEach(
      all.filter((verdict) => verdict.remain.owner === null && isFor(verdict)),
      (verdict) => outcome(verdict)
    )
    const removed = yield* Effect.forEach(Array.from(owners), ([key, owner]) =>
      removeAll(
        owner,
        all.filter(
          (verdict) => verdict.remain.owner !== null && containerKey(verdict.remain.owner) === key && isFor(verdict)
        )
      )
    )
    const left = all.filter((verdict) => !isFor(verdict))
    for (const { reason, remain } of left) {
      if (reason !== null) yield* Effect.logWarning(`left alone: ${remain.kind} ${remain.path}: ${reason}`)
    }
    return [...ownerless.flat(), ...removed.flat(2), ...left.map(told)]
  })

  return { look: Effect.map(found, (all) => all.map(told)), clean }
})

export class Orphans extends Context.Service<Orphans, Effect.Success<ReturnType<typeof make>>>()(
  "berth/layers/orphans/Orphans"
) {
  static readonly layer = (place: Place) => Layer.effect(Orphans, make(place))
}

/** Lets whoever starts berth have it before the machine is looked at. */
const calm = "200 millis"

/** Removes what is of no use to anybody, in the background; to be built when every task that is known has been taken up. */
export const atStart = Layer.effectDiscard(
  Effect.gen(function* () {
    const { clean } = yield* Orphans
    const cleaned = Effect.catchCause(clean("start"), (cause) =>
      Effect.logWarning("orphans were not looked for", cause)
    )
    yield* Effect.forkScoped(Effect.delay(cleaned, calm))
  })
)
