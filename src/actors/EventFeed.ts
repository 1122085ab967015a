/** `Events` over the bus: the caller's namespace, from a sequence number, a time or the place of a consumer, through filters. */
import { DateTime, Effect, Layer, Stream } from "effect"
import { InvalidArgument } from "../schema/Errors.ts"
import * as Filter from "../schema/Filter.ts"
import type { ConsumerName } from "../schema/Ids.ts"
import { Seq } from "../schema/Ids.ts"
import type { Acknowledgement, SubscribeRequest } from "../schema/Requests.ts"
import { CurrentNamespace } from "../services/CurrentNamespace.ts"
import { EventBus } from "../services/EventBus.ts"
import { Events } from "../services/Events.ts"
import { Change, MetadataStore } from "../services/MetadataStore.ts"

const make = Effect.gen(function* () {
  const bus = yield* EventBus
  const store = yield* MetadataStore

  /** Numbers past the end are of another log: to wait for them, or to keep them, would lose events. */
  const within = Effect.fnUntraced(function* (field: string, seq: Seq) {
    const last = yield* bus.last
    if (seq <= last) return seq
    return yield* new InvalidArgument({ field, problem: `the log ends at ${last}; is it of another daemon?` })
  })

  const placeOf = Effect.fnUntraced(function* (name: ConsumerName) {
    const known = yield* store.consumers(yield* CurrentNamespace)
    return known.find((consumer) => consumer.name === name)?.seq ?? Seq.make(0)
  })

  const subscribe = ({ after = Seq.make(0), consumer, filters, follow = false, since }: SubscribeRequest) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const namespace = yield* CurrentNamespace
        const wanted = yield* Effect.fromResult(Filter.parseAll(filters ?? []))
        const asked = yield* within("after", after)
        const place = consumer === undefined ? asked : Math.max(asked, yield* placeOf(consumer))
        return bus
          .subscribe({ after: Seq.make(place), follow })
          .pipe(
            Stream.filter(
              (event) =>
                event.namespace === namespace &&
                (since === undefined || DateTime.isGreaterThanOrEqualTo(event.time, since)) &&
                (wanted.length === 0 || Filter.matches(wanted, Filter.eventFields(event)))
            )
          )
      })
    )

  const acknowledge = Effect.fn("Events.acknowledge")(function* ({ consumer: name, seq }: Acknowledgement) {
    const consumer = { name, seq: yield* within("seq", seq), updatedAt: yield* DateTime.now }
    yield* bus.commit([Change.PutConsumer({ namespace: yield* CurrentNamespace, consumer })], [])
  })

  const forget = Effect.fn("Events.forget")(function* (name: ConsumerName) {
    yield* bus.commit([Change.DeleteConsumer({ namespace: yield* CurrentNamespace, name })], [])
  })

  const consumers = Effect.flatMap(CurrentNamespace, store.consumers).pipe(Effect.withSpan("Events.consumers"))

  return Events.of({ subscribe, acknowledge, consumers, forget })
})

export const layer = Layer.effect(Events, make)
