/**
 * The event bus on a metadata store. Commits take turns, so that the ring is in the order of the log. Whoever waits for the next event waits at a gate that
 * opens for all at once: a subscriber that is busy has nothing waiting for it here, and the writer never runs a subscriber's code.
 */
import { Effect, Latch, Layer, Option, Semaphore, Stream } from "effect"
import type { Event } from "../schema/Events.ts"
import type { Seq } from "../schema/Ids.ts"
import { EventBus } from "./EventBus.ts"
import { MetadataStore } from "./MetadataStore.ts"
import type { StoreFailure } from "./MetadataStore.ts"
import { countEvent } from "./Metrics.ts"

/** Recent events in memory. */
const ringSize = 1024
/** Events that a subscriber takes at a time: what a reader who has stopped holds in memory, once encoded. */
const batchSize = 64

type Page = readonly [ReadonlyArray<Event>, Option.Option<Seq>]

const make = Effect.gen(function* () {
  const store = yield* MetadataStore
  const turns = yield* Semaphore.make(1)
  const ring: Array<Event | undefined> = Array.from({ length: ringSize })
  let last = (yield* store.bounds).last
  let gate = Latch.makeUnsafe(false)

  const publish = (events: ReadonlyArray<Event>) =>
    Effect.suspend(() => {
      for (const event of events) {
        ring[event.seq % ringSize] = event
        last = event.seq
      }
      const passed = gate
      gate = Latch.makeUnsafe(false)
      return Effect.andThen(
        passed.open,
        Effect.forEach(events, ({ topic }) => countEvent(topic), { discard: true })
      )
    })

  const commit: EventBus["Service"]["commit"] = Effect.fn("EventBus.commit")((changes, fresh) =>
    turns.withPermit(
      Effect.uninterruptible(
        Effect.tap(store.commit(changes, fresh), (events) => (events.length === 0 ? Effect.void : publish(events)))
      )
    )
  )

  /** What the ring holds after `cursor`, up to `until`, without a gap; nothing where the ring does not reach back so far. */
  const recent = (cursor: Seq, until: number): ReadonlyArray<Event> => {
    const found: Array<Event> = []
    for (let seq = cursor + 1; seq <= until && found.length < batchSize; seq++) {
      const event = ring[seq % ringSize]
      if (event?.seq !== seq) break
      found.push(event)
    }
    return found
  }

  const next = (cursor: Seq, until: number): Effect.Effect<Page, StoreFailure> =>
    Effect.suspend(() => {
      if (cursor >= until) return Effect.succeed<Page>([[], Option.none()])
      if (cursor >= last) return Effect.as(gate.await, [[], Option.some(cursor)] as const)
      const end = Math.min(last, until)
      const page = (events: ReadonlyArray<Event>): Page => [events, Option.some(events.at(-1)?.seq ?? last)]
      const events = recent(cursor, end)
      if (events.length > 0) return Effect.succeed(page(events))
      return Effect.map(store.events(cursor, batchSize), (old) => page(old.filter(({ seq }) => seq <= end)))
    })

  return EventBus.of({
    commit,
    subscribe: ({ after, follow }) =>
      Stream.suspend(() => {
        const until = follow ? Infinity : last
        return Stream.paginate(after, (cursor) => next(cursor, until))
      }),
    last: Effect.sync(() => last)
  })
})

/** Fails where the store cannot say what its newest event is. */
export const layer: Layer.Layer<EventBus, StoreFailure, MetadataStore> = Layer.effect(EventBus, make)
