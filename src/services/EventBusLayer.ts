/**
 * The event bus on a metadata store. Commits take turns, so that the ring is in the order of the log. Whoever waits for the next event waits at a gate that
 * opens for all at once: a subscriber that is busy has nothing waiting for it here, and the writer never runs a subscriber's code.
 */
import { Effect, Latch, Layer, Option, Semaphore, Stream } from "effect"
import { FailedPrecondition } from "../schema/Errors.ts"
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

/** Where a subscriber is. */
interface Place {
  readonly after: Seq
  /** Whether every event from there on is promised: not at the beginning of a log, whose oldest events may have been dropped. */
  readonly promised: boolean
}
type Page = readonly [ReadonlyArray<Event>, Option.Option<Place>]

/** Where the first event is missing behind a place; `null` where none is. */
const gapAfter = (after: Seq, events: ReadonlyArray<Event>): Event | null =>
  events.find(({ seq }, index) => seq !== after + 1 + index) ?? null

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

  const page = (events: ReadonlyArray<Event>, promised: boolean): Page => [
    events,
    Option.some({ after: events.at(-1)?.seq ?? last, promised })
  ]

  const stored = Effect.fnUntraced(function* ({ after, promised }: Place, end: number) {
    const events = yield* store.events(after, batchSize)
    const gap = promised ? gapAfter(after, events) : null
    if (gap !== null) {
      return yield* new FailedPrecondition({
        operation: `go on after event ${after}`,
        found: `further back than the log, which goes on at ${gap.seq}`,
        allowed: []
      })
    }
    return page(
      events.filter(({ seq }) => seq <= end),
      promised
    )
  })

  const next = (place: Place, until: number): Effect.Effect<Page, StoreFailure | FailedPrecondition> =>
    Effect.suspend(() => {
      const { after } = place
      if (after >= until) return Effect.succeed<Page>([[], Option.none()])
      if (after >= last) return Effect.as(gate.await, [[], Option.some({ after, promised: true })] as const)
      const end = Math.min(last, until)
      const events = recent(after, end)
      return events.length > 0 ? Effect.succeed(page(events, true)) : stored(place, end)
    })

  return EventBus.of({
    commit,
    subscribe: ({ after, follow }) =>
      Stream.suspend(() => {
        const until = follow ? Infinity : last
        return Stream.paginate({ after, promised: after > 0 }, (place: Place) => next(place, until))
      }),
    last: Effect.sync(() => last)
  })
})

/** Fails where the store cannot say what its newest event is. */
export const layer: Layer.Layer<EventBus, StoreFailure, MetadataStore> = Layer.effect(EventBus, make)
