/**
 * Tells when the kernel has killed for want of memory. Version 2 marks a file as changed, which the event loop hears of at once; only the end of the group it
 * does not hear of. Version 1 would signal an eventfd, which it cannot wait for, so one fiber looks at every such group each second, as it does where a file
 * cannot be watched.
 */
import { Effect, Latch, Queue, Stream } from "effect"
import type { Cause, Duration } from "effect"
import { watch } from "node:fs"

export interface Watched {
  /** The count now; `null` once the group is gone, `undefined` where it cannot be told now. Does not throw. */
  readonly count: () => number | null | undefined
  /** The file that changes with the count; `null` where there is none. */
  readonly file: string | null
}

/** False once there is nothing to look at any more. */
type Look = () => boolean

/** One fiber, for the scope's life, that looks again and again while there is something to look at. */
const rounds = Effect.fnUntraced(function* (interval: Duration.Input) {
  const looks = new Set<Look>()
  const some = yield* Latch.make()
  const round = Effect.suspend(() => {
    for (const look of looks) if (!look()) looks.delete(look)
    return looks.size === 0 ? some.close : Effect.void
  })
  yield* Effect.forkScoped(Effect.forever(some.whenOpen(Effect.andThen(Effect.sleep(interval), round))))
  return (look: Look) =>
    Effect.andThen(
      Effect.acquireRelease(
        Effect.sync(() => looks.add(look)),
        () => Effect.sync(() => looks.delete(look))
      ),
      some.open
    )
})

/** Fails where the kernel has no watch left to give. */
const listen = (file: string, look: Look) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => watch(file, { persistent: false }, look).on("error", look),
      catch: () => "no watch" as const
    }),
    (watcher) => Effect.sync(() => watcher.close())
  )

/** Gives a stream of counts that rise above `known`, the newest only. */
export const make = Effect.gen(function* () {
  const often = yield* rounds("1 second")
  const seldom = yield* rounds("10 seconds")

  return ({ count, file }: Watched, known: number): Stream.Stream<number> =>
    Stream.callback<number>(
      Effect.fnUntraced(function* (queue: Queue.Queue<number, Cause.Done>) {
        let told = known
        const look: Look = () => {
          const now = count()
          // It is looked at again, and not as often as what changes.
          if (now === undefined) return true
          if (now === null) {
            Queue.endUnsafe(queue)
            return false
          }
          if (now > told) Queue.offerUnsafe(queue, now)
          // It falls where a group below has gone, with its count.
          told = now
          return true
        }
        yield* file === null
          ? often(look)
          : Effect.matchEffect(listen(file, look), { onSuccess: () => seldom(look), onFailure: () => often(look) })
        // Only now: what rises from here on is heard.
        look()
      }),
      { bufferSize: 1, strategy: "sliding" }
    )
})
