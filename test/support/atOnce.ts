/** For what must not take time: it is done while the test clock stands still, or the test fails by name instead of hanging. */
import { assert } from "@effect/vitest"
import { Effect, Fiber } from "effect"

/** More turns of the scheduler than any chain of messages in a test takes. */
const turns = 2_000

/** Lets everything run on that can without time passing. */
export const settled = Effect.gen(function* () {
  for (let turn = 0; turn < turns / 4; turn++) yield* Effect.yieldNow
})

/** Fails where the effect waits for the clock, or for what never comes. */
export const atOnce = Effect.fnUntraced(function* <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) {
  const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
  for (let turn = 0; turn < turns && fiber.pollUnsafe() === undefined; turn++) yield* Effect.yieldNow
  if (fiber.pollUnsafe() === undefined) {
    yield* Effect.forkDetach(Fiber.interrupt(fiber))
    assert.fail(`"${name}" waits`)
  }
  return yield* Fiber.join(fiber)
})

/** Fails where the effect does not wait. Gives its fiber. */
export const waits = Effect.fnUntraced(function* <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) {
  const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
  yield* settled
  if (fiber.pollUnsafe() !== undefined) assert.fail(`"${name}" did not wait: ${JSON.stringify(fiber.pollUnsafe())}`)
  return fiber
})

/** The tag and the message of a failure. */
export const failure = <A, E extends { readonly _tag: string; readonly message: string }, R>(
  effect: Effect.Effect<A, E, R>
) => Effect.map(Effect.flip(effect), ({ _tag, message }) => `${_tag}: ${message}`)
