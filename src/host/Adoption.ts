/**
 * Takes over what an earlier host of the same folder left (what that had only begun to make is undone before, in `HalfMade.ts`). What has ended meanwhile is
 * told with what the kernel still knows, but not before all are here: the end of init waits for those of its execs. What cannot be looked at, for want of
 * descriptors, keeps its place and its state until it can.
 */
import { Context, DateTime, Deferred, Effect, Exit, Fiber, Option, Result, Scope, Semaphore } from "effect"
import { NotFound } from "../schema/Errors.ts"
import type { HostedRecord, HostEvent, Ref } from "../schema/Host.ts"
import type { ExecId } from "../schema/Ids.ts"
import { containerKey, processKey } from "../schema/Ids.ts"
import type { Reaped } from "../schema/Process.ts"
import type { Identity } from "../schema/TaskState.ts"
import type { Cgroup } from "../services/Cgroups.ts"
import { Cgroups } from "../services/Cgroups.ts"
import { OciRuntime } from "../services/OciRuntime.ts"
import type { OpenIo } from "../services/ProcessIo.ts"
import type { Child } from "../services/ProcessReaper.ts"
import { pinIn, ProcessReaper } from "../services/ProcessReaper.ts"
import { TaskDirectory } from "../services/TaskDirectory.ts"
import { make as makeContainer } from "./Container.ts"
import type { Accounting } from "./Accounting.ts"
import type { Container } from "./Container.ts"
import type { Live } from "./LiveProcess.ts"
import * as LiveProcess from "./LiveProcess.ts"
import type { Terminals } from "./Terminals.ts"
import * as Survivors from "./Survivors.ts"
import type { Change } from "./UnderWay.ts"
import * as Unreachable from "./Unreachable.ts"
import { untilKnown } from "./UntilKnown.ts"

/** How long a runtime is waited for, and how many containers are taken over at once. */
const [patience, atOnce] = ["3 seconds", 8] as const

/** Told of each process that is taken over: what was held until then, so that nothing of it is lost, may be let go. */
export const Adopted = Context.Reference<(ref: Ref) => Effect.Effect<void>>("berth/host/Adopted", {
  defaultValue: () => () => Effect.void
})

/** The parts of a host that this fills. */
export interface Adopter {
  readonly containers: Map<string, Container>
  readonly terminals: Terminals
  readonly tell: (event: HostEvent) => Effect.Effect<void>
  readonly accountingOf: (init: Live, cgroup: Cgroup) => Accounting
  /** Tells the end of a process; `execs` are those of the container whose init it is. */
  readonly watch: (live: Live, child: Child, execs: Map<ExecId, Live> | null) => Effect.Effect<unknown>
}

/**
 * Every process that has a record. Where its driver or its streams are not to be had it is taken over without them, so that at least its exit is told; an exec
 * without its init is logged and left out.
 */
export const adoptAll = Effect.fnUntraced(function* ({ accountingOf, containers, tell, terminals, watch }: Adopter) {
  const runtime = yield* OciRuntime
  const reaper = yield* ProcessReaper
  const cgroups = yield* Cgroups
  const directory = yield* TaskDirectory
  const scope = yield* Effect.scope
  const adopted = yield* Adopted
  /** Completes when every process has its place. */
  const allHere = yield* Deferred.make<void>()
  // Of those that want descriptors none is to have half of what it needs.
  const oneByOne = yield* Semaphore.make(1)

  /** Whoever has watched since before that came to be known has not heard of it: a runtime may take longer than it is waited for. */
  const news = ({ target: { containerId, namespace } }: Container, change: Change) =>
    tell({ _tag: "Changed", ref: { namespace, containerId }, change })

  /** Its host died while the runtime paused or resumed it: whether it is frozen is not known, until it is not. */
  const thaw = Effect.fnUntraced(function* (container: Container) {
    const { driver, init, target } = container
    // Of one that is not frozen a runtime refuses the resume. Where it cannot say either, whoever resumes it may find it frozen.
    const isFrozen = Effect.orElseSucceed(driver.isPaused(target), () => true)
    const paused = yield* Effect.matchEffect(driver.resume(target), {
      onSuccess: () => Effect.succeed(false),
      onFailure: () => isFrozen
    })
    container.maybeFrozen = paused
    yield* LiveProcess.note(directory, init, { paused, freezing: false })
    yield* news(container, paused ? "paused" : "resumed")
  })
  /** That it was resumed may be what could not be written down. */
  const review = Effect.fnUntraced(function* (container: Container) {
    const { driver, init, target } = container
    if (yield* Effect.orElseSucceed(driver.isPaused(target), () => true)) return
    container.maybeFrozen = false
    yield* LiveProcess.note(directory, init, { paused: false })
    yield* news(container, "resumed")
  })
  /** The runtime goes on with a start though the host that ordered it dies before it can note that; what was started may have ended by now. */
  const learn = Effect.fnUntraced(function* (container: Container) {
    const { driver, init, target } = container
    const started = yield* Effect.orElseSucceed(driver.hasStarted(target), () => false)
    if (!started) return
    yield* LiveProcess.note(directory, init, { started })
    yield* news(container, "started")
  })
  /** Done to its end, unless that of the container comes first, but waited for only so long: a runtime that hangs is no reason to serve nobody. */
  const soon = Effect.fnUntraced(function* ({ underWay }: Container, work: Effect.Effect<void>) {
    const fiber = yield* Effect.forkIn(work, scope)
    underWay.add(fiber)
    fiber.addObserver(() => underWay.delete(fiber))
    yield* Effect.timeoutOption(Fiber.await(fiber), patience)
  })

  const adopt = Effect.fnUntraced(function* (record: HostedRecord, processScope: Scope.Closeable) {
    const { exit, identity, logFile, reaped, ref, stdio, terminal = false } = record
    const driver = yield* Effect.catch(runtime.driver(record.runtime), (error) =>
      Effect.as(
        Effect.logError(`${processKey(ref)} is taken over without its runtime: ${error.message}`),
        Unreachable.driverOf(runtime, record.runtime, error.message)
      )
    )
    const key = containerKey(ref)
    const folder = directory.directory(ref)
    const container = containers.get(key)
    if (ref.execId !== null && container === undefined)
      return yield* new NotFound({ kind: "task", id: ref.containerId })
    const waits = exit === null
    /** Held once they are open. For want of descriptors, or room on a disk, they are not given up while somebody waits for what is in them. */
    let io: OpenIo | undefined
    const streams = Effect.gen(function* () {
      if (io !== undefined) return
      const ioScope = yield* Scope.fork(processScope)
      io = yield* terminals.open({ ref, stdio, directory: folder, logFile, terminal }).pipe(
        Scope.provide(ioScope),
        Effect.tap((io) => io.handOver),
        Effect.onError(() => Scope.close(ioScope, Exit.void)),
        Effect.catchIf(
          (error) => !waits || error._tag !== "ResourceExhausted",
          (error) =>
            Effect.as(
              Effect.logError(`${processKey(ref)} is taken over without its streams: ${error.message}`),
              Unreachable.io
            )
        )
      )
      yield* Deferred.succeed(opened, io)
    }).pipe(oneByOne.withPermit)
    const opened = Deferred.makeUnsafe<OpenIo>()
    const live = yield* LiveProcess.make(record, Unreachable.until(Deferred.await(opened)), processScope)
    const execs = container?.execs ?? new Map<ExecId, Live>()
    const isSame = ({ bootId, startTime }: Identity) => startTime === identity.startTime && bootId === identity.bootId
    /** Whether its process is still there, and then its end. Nothing is concluded where that cannot be told. */
    const look = Effect.gen(function* () {
      if (!waits || reaped !== undefined) return { same: false, lives: false, claimed: null }
      const same = Option.exists(yield* reaper.identify(identity.pid), isSame)
      // Its pipes are open from before that look. A terminal was hung up with the host.
      const lives = same && (yield* reaper.isAlive(identity))
      return { same, lives, claimed: same ? yield* reaper.claim(identity.pid) : null }
    })
    const see = Effect.andThen(streams, look)
    // Its end may lie long back, and what was done about it is not known.
    const accountingWith = (pid: number | null) => {
      const { containerId } = ref
      const found = cgroups.find({ containerId, pid, cgroupsPath: record.cgroupsPath ?? null })
      return Effect.map(found, (cgroup) => accountingOf(live, cgroup))
    }
    /** From here on its end is known when it comes. */
    const finish = Effect.fnUntraced(function* (
      { claimed, lives, same }: Effect.Success<typeof look>,
      accounting: Accounting | undefined
    ) {
      if (waits && stdio.log._tag === "json" && (terminal || !lives)) live.record = { ...live.record, unheld: true }
      if (same) yield* accounting?.catchUp ?? Effect.void
      if (waits) yield* accounting?.watch ?? Effect.void
      yield* adopted(ref)
      const unknown = Effect.map(DateTime.now, (exitedAt): Reaped => ({ exitStatus: 255, exitedAt, source: "unknown" }))
      // It may have ended since it was looked at, and its pid be another's.
      const seen = claimed !== null && isSame(claimed.identity) ? claimed.exit : unknown
      const recalled = Effect.filterOrElse(
        seen,
        ({ source }) => source !== "unknown",
        (end) =>
          Effect.map(
            untilKnown(`learn how ${processKey(ref)} has ended`, reaper.recall(pinIn(folder))),
            Option.getOrElse(() => end)
          )
      )
      const child: Child = { identity, exit: reaped === undefined ? recalled : Effect.succeed(reaped) }
      return { live, child, execs: ref.execId === null ? execs : null }
    })
    const first = yield* Effect.result(see)
    const same = Result.isSuccess(first) && first.success.same
    let taken: Container | undefined
    if (ref.execId !== null) execs.set(ref.execId, live)
    else {
      const target = { namespace: ref.namespace, containerId: ref.containerId, bundle: folder }
      const accounting = yield* accountingWith(same ? identity.pid : null)
      taken = makeContainer({ target, driver, init: live, accounting, execs, maybeFrozen: record.paused })
      if (exit !== null) Deferred.doneUnsafe(taken.forgotten, Effect.succeed(false))
      containers.set(key, taken)
    }
    const order = Effect.gen(function* () {
      if (taken === undefined) return
      if (waits && !record.started) yield* soon(taken, learn(taken))
      if (waits && record.freezing === true) yield* soon(taken, taken.freezer.withPermit(thaw(taken)))
      else if (waits && record.paused) yield* soon(taken, taken.freezer.withPermit(review(taken)))
    })
    if (Result.isFailure(first)) {
      // It keeps its place, and the state that is written down, until it can be looked at.
      const later = Effect.gen(function* () {
        const seen = yield* untilKnown(`take over ${processKey(ref)}`, see)
        if (taken !== undefined) taken.accounting = yield* accountingWith(seen.same ? identity.pid : null)
        const { child } = yield* finish(seen, taken?.accounting)
        yield* order
        yield* Deferred.await(allHere)
        yield* watch(live, child, ref.execId === null ? execs : null)
      })
      yield* Effect.logWarning(`${processKey(ref)} stays as it is written down for now: ${first.failure.message}`)
      yield* Effect.forkIn(Effect.delay(later, "100 millis"), processScope)
      return null
    }
    const known = yield* finish(first.success, taken?.accounting)
    yield* order
    if (exit === null) return known
    // Its host may have died just before it took that away.
    yield* reaper.unpin(pinIn(folder))
    return null
  })

  const takeOver = Effect.fnUntraced(function* (record: HostedRecord) {
    const processScope = yield* Scope.fork(scope)
    // Where it is never taken over, or deleted before.
    yield* Scope.addFinalizer(processScope, adopted(record.ref))
    return yield* Effect.catch(adopt(record, processScope), (error) =>
      Scope.close(processScope, Exit.void).pipe(
        Effect.andThen(Effect.logError(`cannot take over ${processKey(record.ref)}: ${error.message}`)),
        Effect.as(null)
      )
    )
  })

  const left = yield* untilKnown("read what an earlier host has left", directory.list)
  yield* Survivors.settle(left)
  const inits = left.filter(({ ref }) => ref.execId === null)
  const execs = left.filter(({ ref }) => ref.execId !== null)
  const taken = [
    ...(yield* Effect.forEach(inits, takeOver, { concurrency: atOnce })),
    ...(yield* Effect.forEach(execs, takeOver))
  ]
  yield* Effect.forEach(taken, (each) => (each === null ? Effect.void : watch(each.live, each.child, each.execs)), {
    discard: true
  })
  yield* Deferred.succeed(allHere, undefined)
})
