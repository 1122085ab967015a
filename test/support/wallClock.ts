/** A clock on the wall that somebody sets: no time passes by that. */
import { Clock, Effect } from "effect"
import type { Duration } from "effect"

/** The clock of the test, set by so many milliseconds each time the time of day is read; `sleep` may be another. */
export const steppingBy = (
  milliseconds: number,
  sleep?: (clock: Clock.Clock, duration: Duration.Duration) => Effect.Effect<void>
) =>
  Effect.map(Clock.Clock, (clock): Clock.Clock => {
    let stepped = 0
    const currentTimeMillisUnsafe = () => clock.currentTimeMillisUnsafe() + (stepped += milliseconds)
    return {
      currentTimeMillisUnsafe,
      currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
      currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
      currentTimeNanos: clock.currentTimeNanos,
      monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
      monotonicTimeNanos: clock.monotonicTimeNanos,
      sleep: (duration) => (sleep === undefined ? clock.sleep(duration) : sleep(clock, duration))
    }
  })
