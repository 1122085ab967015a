/**
 * OTP's restart intensity for one child: typed failures and interruption pass through, a defect restarts the child, and more than `intensity` defects
 * within `period` escalate with the last cause. A schedule cannot say this, for its count never resets.
 */
import { Cause, Clock, Duration, Effect, Exit } from "effect"

export interface Intensity {
  readonly intensity: number
  readonly period: Duration.Input
}

/** Five crashes in half a minute are more than bad luck. */
export const defaultIntensity: Intensity = { intensity: 5, period: "30 seconds" }

export const supervised = Effect.fnUntraced(function* <A, E, R>(
  child: Effect.Effect<A, E, R>,
  { intensity, period }: Intensity = defaultIntensity
) {
  const nanos = Duration.toNanosUnsafe(Duration.fromInputUnsafe(period))
  let crashes: ReadonlyArray<bigint> = []
  while (true) {
    const exit = yield* Effect.exit(child)
    if (Exit.isSuccess(exit) || !Cause.hasDies(exit.cause)) return yield* exit
    const now = yield* Clock.monotonicTimeNanos
    crashes = [...crashes.filter((at) => now - at < nanos), now]
    if (crashes.length > intensity) return yield* exit
    yield* Effect.logError("actor crashed, restarting it", exit.cause)
  }
})
