/**
 * Undoes what a host was making and could not bring to its end: a folder of which nothing is written down, and perhaps a container of the runtime's in it.
 * Nobody was ever told of these. A record that cannot be read is another matter: its process may be alive, so it is left as it is. So is a container that
 * runs without a record, which somebody took away: what is half-made has not been started. Only who asks for its end ends it.
 */
import { Array, Effect, Option, Schedule } from "effect"
import { Unavailable } from "../schema/Errors.ts"
import type { ContainerRef, HostedRecord, Ref } from "../schema/Host.ts"
import type { ExecId } from "../schema/Ids.ts"
import { containerKey, processKey } from "../schema/Ids.ts"
import type { Driver, DriverError, Target } from "../services/OciRuntime.ts"
import { OciRuntime } from "../services/OciRuntime.ts"
import type { HostError } from "../services/ProcessHost.ts"
import { ProcessReaper } from "../services/ProcessReaper.ts"
import { TaskDirectory } from "../services/TaskDirectory.ts"
import * as Survivors from "./Survivors.ts"
import { untilKnown } from "./UntilKnown.ts"

/** How long the next host waits for it before it serves, and of how many containers it is undone at once. */
const [patience, atOnce] = ["3 seconds", 8] as const
/** When it is tried again after a runtime or a folder has refused. */
const again = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("1 minute")])

/** Whether it was started and has a process; what the runtime does not know has none. */
export const runs = (driver: Driver, target: Target): Effect.Effect<boolean, DriverError> =>
  Effect.gen(function* () {
    return (yield* driver.hasStarted(target)) && (yield* driver.pids(target)).length > 0
  }).pipe(
    Effect.catchTag("RuntimeFailed", (error) =>
      error.reason === "deadline" ? Effect.fail(error) : Effect.succeed(false)
    )
  )

/** `alone` does it while nobody makes or deletes the container of that name, and fails where somebody makes it. */
export const makeHalfMade = Effect.fnUntraced(function* (
  alone: (ref: ContainerRef, work: Effect.Effect<void, HostError>) => Effect.Effect<unknown, HostError>
) {
  const runtime = yield* OciRuntime
  const reaper = yield* ProcessReaper
  const directory = yield* TaskDirectory
  const scope = yield* Effect.scope

  /** What an earlier host was doing there, which would belong to nobody. */
  const stop = (driver: Driver, target: Target, execId: ExecId | null) =>
    Survivors.end(reaper, driver.leftAtWork(target, execId))

  const isUnrecorded = (ref: Ref) =>
    Effect.map(directory.unrecorded, (found) => found.some((each) => processKey(each) === processKey(ref)))
  const initOf = (ref: Ref) => directory.load({ ...ref, execId: null })
  /** While that container is there and the folder too, nobody makes another exec of the name. */
  const isStill = Effect.fnUntraced(function* (ref: Ref, { identity: { pid, startTime } }: HostedRecord) {
    const now = Option.getOrNull(yield* initOf(ref))?.identity
    return now?.pid === pid && now.startTime === startTime && (yield* isUnrecorded(ref))
  })

  /** The exec of a container that may well go on: `init` is its record. */
  const undoExec = Effect.fnUntraced(function* (ref: Ref, init: HostedRecord) {
    if (!(yield* isStill(ref, init))) return
    const { containerId, namespace } = ref
    const target = { namespace, containerId, bundle: directory.directory(init.ref) }
    yield* stop(yield* runtime.driver(init.runtime), target, ref.execId)
    yield* directory.remove(ref)
  })

  const targetOf = (ref: ContainerRef): Target => ({ ...ref, bundle: directory.directory({ ...ref, execId: null }) })
  /** By which runtime it was made is not known. */
  const drivers = Effect.flatMap(runtime.list, (all) =>
    Effect.forEach(
      all.filter(({ available }) => available),
      ({ name }) => runtime.driver(name)
    )
  )
  /** To delete what is not there is a success. */
  const remove = Effect.fnUntraced(function* (ref: ContainerRef, all: ReadonlyArray<Driver>) {
    const target = targetOf(ref)
    for (const driver of all) {
      yield* stop(driver, target, null)
      yield* driver.delete(target, { force: true })
    }
    yield* directory.remove({ ...ref, execId: null })
  })

  /** Nothing that is half-made there is a success. */
  const undo = Effect.fnUntraced(function* ({ containerId, namespace }: ContainerRef) {
    const ref = { namespace, containerId }
    if (!(yield* isUnrecorded({ ...ref, execId: null }))) return
    const all = yield* drivers
    if ((yield* Effect.forEach(all, (driver) => runs(driver, targetOf(ref)))).includes(true)) {
      return yield* Effect.logWarning(
        `left alone: ${containerKey(ref)} runs, and its record is gone: delete it by force`
      )
    }
    yield* remove(ref, all)
    yield* Effect.logInfo(`undone: ${containerKey(ref)} was being made when that was cut off`)
  })

  /** Ends what no host holds, as somebody wants it gone; whether it has a record that can be read, or any. */
  const end = Effect.fnUntraced(function* ({ containerId, namespace }: ContainerRef) {
    const ref = { namespace, containerId }
    const record = Option.getOrNull(yield* Effect.option(initOf({ ...ref, execId: null })))
    const isThere = record === null || Option.isSome(record) || (yield* isUnrecorded({ ...ref, execId: null }))
    if (isThere) yield* remove(ref, yield* drivers)
  })

  const later = (work: Effect.Effect<unknown, HostError>) =>
    work.pipe(Effect.retry(again), Effect.ignore, Effect.delay("1 second"), Effect.forkIn(scope), Effect.asVoid)
  /** Undoes it some time. */
  const undoLater = (ref: ContainerRef) => later(alone(ref, undo(ref)))

  /** Now, and where that fails or takes too long, some time. */
  const undoLeft = Effect.fnUntraced(function* (ref: Ref) {
    const work = Effect.gen(function* () {
      if (ref.execId === null) return yield* undo(ref)
      const init = yield* initOf(ref)
      yield* Option.isSome(init) ? undoExec(ref, init.value) : directory.remove(ref)
    })
    const orElse = () => Effect.fail(new Unavailable({ what: "its runtime", problem: "it takes long", mend: null }))
    yield* Effect.catch(Effect.timeoutOrElse(work, { duration: patience, orElse }), (error) =>
      Effect.andThen(Effect.logWarning(`not undone: ${processKey(ref)}: ${error.message}`), later(alone(ref, work)))
    )
  })

  /** All that earlier hosts have left, before anything is made: of a container one after the other. */
  const undoAll = Effect.gen(function* () {
    const left = Array.groupBy(yield* untilKnown("see what was being made", directory.unrecorded), containerKey)
    yield* Effect.forEach(Object.values(left), (refs) => Effect.forEach(refs, undoLeft, { discard: true }), {
      concurrency: atOnce,
      discard: true
    })
  })

  return { end, undo, undoLater, undoAll }
})
