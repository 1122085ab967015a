/**
 * One process that a host holds: its record, in memory and on disk, and the way from its end to everybody knowing it. An exit is on disk before it is told, and
 * changes of a record take turns, so that none undoes another.
 */
import { Deferred, Effect, Option, Schedule, Scope, Semaphore } from "effect"
import type { HostedRecord } from "../schema/Host.ts"
import { processKey } from "../schema/Ids.ts"
import type { Exit, Reaped } from "../schema/Process.ts"
import type { OpenIo } from "../services/ProcessIo.ts"
import type { Child } from "../services/ProcessReaper.ts"
import type { TaskDirectory } from "../services/TaskDirectory.ts"
import type { Ending } from "./Accounting.ts"

type Directory = TaskDirectory["Service"]

export interface Live {
  record: HostedRecord
  readonly io: OpenIo
  /** Closing it closes the process's descriptors and gives up its exit. */
  readonly scope: Scope.Closeable
  /** Completes when the exit is on disk and told, or is given up. */
  readonly told: Deferred.Deferred<void>
  readonly turns: Semaphore.Semaphore
}

export const make = Effect.fnUntraced(function* (record: HostedRecord, io: OpenIo, scope: Scope.Closeable) {
  const told = Deferred.makeUnsafe<void>()
  if (record.exit !== null) Deferred.doneUnsafe(told, Effect.void)
  yield* Scope.addFinalizer(scope, Deferred.succeed(told, undefined))
  const live: Live = { record, io, scope, told, turns: Semaphore.makeUnsafe(1) }
  return live
})

/** On disk, then in memory. */
const change = (directory: Directory, live: Live, patch: Partial<HostedRecord>) =>
  live.turns.withPermit(
    Effect.suspend(() => {
      const record = { ...live.record, ...patch }
      return Effect.tap(directory.save(record), () =>
        Effect.sync(() => {
          live.record = record
        })
      )
    })
  )

/** What is about to be done must be written down first, for a host that would otherwise know nothing of it. */
export const mark = (directory: Directory, live: Live, patch: Partial<Pick<HostedRecord, "freezing">>) =>
  change(directory, live, patch)

/** What has happened is so, also where it cannot be written down. */
export const note = (
  directory: Directory,
  live: Live,
  patch: Partial<Pick<HostedRecord, "started" | "paused" | "freezing" | "oomCount" | "oomAt" | "reaped">>
) =>
  Effect.catch(change(directory, live, patch), (error) =>
    Effect.andThen(
      Effect.sync(() => {
        live.record = { ...live.record, ...patch }
      }),
      Effect.logWarning(`${processKey(live.record.ref)}: not written down: ${error.message}`)
    )
  )

/** Whether the record of a process is still there; true where that cannot be told. */
const isThere = (directory: Directory, ref: HostedRecord["ref"]) =>
  Effect.orElseSucceed(Effect.map(directory.load(ref), Option.isSome), () => true)

/**
 * Waits for the end of the process and for `before`, which adds to it, then makes it known. It is never dropped: while the disk is full, saving it is tried
 * again; where its record was taken away from outside there is nothing to save it in, and it is told all the same.
 */
export const conclude = Effect.fnUntraced(function* (
  directory: Directory,
  live: Live,
  child: Child,
  before: (reaped: Reaped) => Effect.Effect<Ending>,
  tell: (exit: Exit, unheld: boolean) => Effect.Effect<void>
) {
  const reaped = yield* child.exit
  // What follows takes time, and the kernel says it once. An exit that is not known may yet be found out by the next host.
  if (reaped.source !== "unknown") yield* note(directory, live, { reaped })
  const ending = yield* before(reaped)
  const { identity, ref } = live.record
  const drained = yield* Effect.catchDefect(live.io.drained, (defect) =>
    Effect.as(Effect.logError(`the streams of ${processKey(ref)} are given up`, defect), "truncated" as const)
  )
  const id = ref.execId ?? ref.containerId
  const unheld = drained === "complete" && live.record.unheld === true
  const truncated = unheld || drained === "truncated"
  const exit: Exit = { id, pid: identity.pid, ...reaped, ...ending, ...(truncated ? { truncated } : {}) }
  yield* change(directory, live, { exit, unheld }).pipe(
    Effect.tapError((error) => Effect.logWarning(`exit of ${processKey(ref)} not saved yet: ${error.message}`)),
    Effect.retry({ schedule: Schedule.spaced("1 second"), while: () => isThere(directory, ref) }),
    Effect.catch(() =>
      Effect.sync(() => {
        live.record = { ...live.record, exit, unheld }
      })
    )
  )
  yield* tell(exit, unheld)
  yield* Deferred.succeed(live.told, undefined)
})
