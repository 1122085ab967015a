/**
 * Undoes what a host was making and could not bring to its end: a folder of which nothing is written down, and perhaps a container of the runtime's in it.
 * Nobody was ever told of these. A record that cannot be read is another matter: its process may be alive, so it is left as it is.
 */
import { Array, Effect, Option, Schedule } from "effect"
import { Unavailable } from "../schema/Errors.ts"
import type { ContainerRef, HostedRecord, Ref } from "../schema/Host.ts"
import type { ExecId } from "../schema/Ids.ts"
import { containerKey, processKey } from "../schema/Ids.ts"
import type { Driver, Target } from "../services/OciRuntime.ts"
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

  /** Nothing that is half-made there is a success. By which runtime it was being made is not known; to delete what is not there is a success too. */
  const undo = Effect.fnUntraced(function* ({ containerId, namespace }: ContainerRef) {
    const key = containerKey({ namespace, containerId })
    const ref = { namespace, containerId, execId: null }
    if (!(yield* isUnrecorded(ref))) return
    const target = { namespace, containerId, bundle: directory.directory(ref) }
    for (const { available, name } of yield* runtime.list) {
      if (!available) continue
      const driver = yield* runtime.driver(name)
      yield* stop(driver, target, null)
      yield* driver.delete(target, { force: true })
    }
    yield* directory.remove(ref)
    yield* Effect.logInfo(`undone: ${key} was being made when that was cut off`)
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

  return { undo, undoLater, undoAll }
})
