/**
 * Runtimes that outlived the host which called them. What they do would be done behind the back of the next host: a pause that comes true after its thaw, a
 * deletion that hits the next container of the name. So it begins when they have ended.
 */
import { Array, Effect, Schedule } from "effect"
import type { HostedRecord } from "../schema/Host.ts"
import type { Identity } from "../schema/TaskState.ts"
import type { Driver, Target } from "../services/OciRuntime.ts"
import { OciRuntime } from "../services/OciRuntime.ts"
import { ProcessReaper } from "../services/ProcessReaper.ts"
import { TaskDirectory } from "../services/TaskDirectory.ts"

const sigkill = 9

/** How often, and for how long, a runtime is asked for: it takes milliseconds for its work, and where it hangs it is ended. */
const looks = {
  schedule: Schedule.spaced("10 millis"),
  times: 100,
  until: (left: ReadonlyArray<Identity>) => left.length === 0
}

/** Waits for those that are at work on a container of these records, and ends those that take too long. */
export const outlive = Effect.fnUntraced(function* (records: ReadonlyArray<HostedRecord>) {
  const runtime = yield* OciRuntime
  const reaper = yield* ProcessReaper
  const directory = yield* TaskDirectory

  const ended = Effect.fnUntraced(function* (driver: Driver, targets: ReadonlyArray<Target>) {
    const left = Effect.repeat(driver.atWork(targets), looks)
    for (const identity of yield* left) {
      yield* Effect.logWarning(`the runtime ${driver.info.name} (pid ${identity.pid}) outlived its host and is ended`)
      yield* reaper.signal(identity, sigkill)
    }
    yield* left
  })

  const inits = records.filter(({ ref }) => ref.execId === null)
  for (const [name, some] of Object.entries(Array.groupBy(inits, (record) => record.runtime))) {
    const targets = some.map(({ ref }) => ({ ...ref, bundle: directory.directory(ref) }))
    const work = Effect.flatMap(runtime.driver(some[0].runtime), (driver) => ended(driver, targets))
    yield* Effect.catch(work, (error) => Effect.logWarning(`not known whether ${name} is at work: ${error.message}`))
  }
})
