/**
 * Looks that must come to a result, because there is no other truth: whether a process lives, how it has ended. One that fails, mostly for want of descriptors,
 * says neither yes nor no, so it is repeated for as long as somebody waits for it.
 */
import { Effect, Schedule } from "effect"

/** Between two looks: soon at first, then each second. */
const again = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("1 second")])

/** The log says once that it cannot be known, and once that it can again; `what` completes "cannot …". */
export const untilKnown = <A, E extends { readonly message: string }, R>(
  what: string,
  look: Effect.Effect<A, E, R>
): Effect.Effect<A, never, R> =>
  Effect.suspend(() => {
    let failed = false
    return look.pipe(
      Effect.tapError(({ message }) => {
        if (failed) return Effect.void
        failed = true
        return Effect.logWarning(`cannot ${what} yet, trying again: ${message}`)
      }),
      Effect.retry(again),
      Effect.tap(() => (failed ? Effect.logInfo(`could ${what} at last`) : Effect.void)),
      // That schedule has no end.
      Effect.orDie
    )
  })
