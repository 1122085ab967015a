/** The test clock for whole programs. */
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

/** Moves the test clock on until the effect is done. */
export const untilDone = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect)
    while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("10 millis")
    return yield* Fiber.join(fiber)
  })
