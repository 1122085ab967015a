/** One at a time for each key, in the order of arrival. Keys that nobody uses cost nothing. */
import { Effect, Semaphore } from "effect"

interface Turn {
  readonly semaphore: Semaphore.Semaphore
  users: number
}

/** Gives a function that runs an effect when it is its turn among those of the same key. */
export const makeTurns = () => {
  const turns = new Map<string, Turn>()
  return <A, E, R>(key: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const turn = turns.get(key) ?? { semaphore: Semaphore.makeUnsafe(1), users: 0 }
        turn.users++
        turns.set(key, turn)
        return turn
      }),
      ({ semaphore }) => semaphore.withPermit(effect),
      (turn) =>
        Effect.sync(() => {
          turn.users--
          if (turn.users === 0) turns.delete(key)
        })
    )
}
