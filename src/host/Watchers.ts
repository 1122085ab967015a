/** Whoever watches a host: each gets a snapshot first, then every change, through a bounded queue of its own. One that lags too far is cut off and must watch again. */
import { Effect, Queue, Stream } from "effect"
import { ShimLost } from "../schema/Errors.ts"
import type { HostedRecord, HostEvent } from "../schema/Host.ts"

const capacity = 8192

export const makeWatchers = Effect.fnUntraced(function* (snapshot: () => ReadonlyArray<HostedRecord>) {
  const queues = yield* Effect.acquireRelease(
    Effect.sync(() => new Set<Queue.Queue<HostEvent, ShimLost>>()),
    (queues) => Effect.forEach(queues, Queue.shutdown, { discard: true })
  )

  /** Snapshot and subscription are one step: nothing can happen between them. */
  const subscribe = Effect.gen(function* () {
    const queue = yield* Queue.dropping<HostEvent, ShimLost>(capacity)
    queues.add(queue)
    Queue.offerUnsafe(queue, { _tag: "Snapshot", records: snapshot() })
    return queue
  })

  const tell = (event: HostEvent) =>
    Effect.forEach(
      queues,
      (queue) =>
        Queue.offerUnsafe(queue, event)
          ? Effect.void
          : Queue.fail(queue, new ShimLost({ problem: "the watcher was too slow" })),
      { discard: true }
    )

  const stream = Stream.unwrap(
    Effect.map(
      Effect.acquireRelease(subscribe, (queue) =>
        Effect.andThen(
          Effect.sync(() => queues.delete(queue)),
          Queue.shutdown(queue)
        )
      ),
      Stream.fromQueue
    )
  )
  return { tell, stream }
})
