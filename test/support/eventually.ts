/** For what comes true in real time, and is asked for by an effect. */
import { assert } from "@effect/vitest"
import { Effect, Schedule } from "effect"

/** Real time goes by until it is so; a check that fails says that it is not. */
export const eventually = <R>(what: string, check: Effect.Effect<boolean, unknown, R>) =>
  Effect.orElseSucceed(check, () => false).pipe(
    Effect.repeat({ until: (done) => done, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutOrElse({
      duration: "30 seconds",
      orElse: () => Effect.sync(() => assert.fail(`not in time: ${what}`))
    })
  )
