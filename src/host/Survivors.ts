/**
 * Runtimes that outlived the host which called them. What they do would be done behind the back of the next host: a pause that comes true after its thaw, a
 * deletion that hits the next container of the name. So it begins when they have ended.
 */
import { Array, Effect, Option, Schedule } from "effect"
import type { HostedRecord } from "../schema/Host.ts"
import type { Identity } from "../schema/TaskState.ts"
import type { DriverError } from "../services/OciRuntime.ts"
import { OciRuntime } from "../services/OciRuntime.ts"
import { ProcessReaper } from "../services/ProcessReaper.ts"
import { TaskDirectory } from "../services/TaskDirectory.ts"

const sigkill = 9

/** How long a runtime may take: it needs milliseconds for its work, and where it hangs it is ended. Afterwards, how long its death may take. */
const patience = "1 second"

/** Until there are none, but for no longer than that. */
const waitFor = (left: Effect.Effect<ReadonlyArray<Identity>, DriverError>) =>
  left.pipe(
    Effect.repeat({ until: (found) => found.length === 0, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutOption(patience)
  )

/** Ends those processes, and what of that kind comes after them. */
export const end = (
  { signal }: ProcessReaper["Service"],
  left: Effect.Effect<ReadonlyArray<Identity>, DriverError>
): Effect.Effect<unknown, DriverError> =>
  waitFor(
    Effect.tap(
      left,
      Effect.forEach((identity) => Effect.catchTag(signal(identity, sigkill), "PermissionDenied", () => Effect.void), {
        discard: true
      })
    )
  )

/** Waits for the runtimes that are at work on a container of these records, and ends those that take too long. */
export const settle = Effect.fnUntraced(function* (records: ReadonlyArray<HostedRecord>) {
  const runtime = yield* OciRuntime
  const reaper = yield* ProcessReaper
  const directory = yield* TaskDirectory

  const ended = Effect.fnUntraced(function* (left: Effect.Effect<ReadonlyArray<Identity>, DriverError>) {
    if (Option.isSome(yield* waitFor(left))) return
    yield* Effect.logWarning("a runtime has outlived its host and takes too long: it is ended")
    yield* end(reaper, left)
  })

  const inits = records.filter(({ ref }) => ref.execId === null)
  for (const [name, some] of Object.entries(Array.groupBy(inits, (record) => record.runtime))) {
    const targets = some.map(({ ref }) => ({ ...ref, bundle: directory.directory(ref) }))
    const work = Effect.flatMap(runtime.driver(some[0].runtime), (driver) => ended(driver.atWork(targets)))
    yield* Effect.catch(work, (error) => Effect.logWarning(`not known whether ${name} is at work: ${error.message}`))
  }
})
