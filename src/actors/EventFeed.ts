/** `Events` over the bus: the caller's namespace, from a sequence number or a time, through filters. */
import { DateTime, Effect, Layer, Stream } from "effect"
import { InvalidArgument } from "../schema/Errors.ts"
import * as Filter from "../schema/Filter.ts"
import { Seq } from "../schema/Ids.ts"
import type { SubscribeRequest } from "../schema/Requests.ts"
import { CurrentNamespace } from "../services/CurrentNamespace.ts"
import { EventBus } from "../services/EventBus.ts"
import { Events } from "../services/Events.ts"

const make = Effect.gen(function* () {
  const bus = yield* EventBus

  const subscribe = ({ after, filters, follow, since }: SubscribeRequest) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const namespace = yield* CurrentNamespace
        const wanted = yield* Effect.fromResult(Filter.parseAll(filters ?? []))
        const last = yield* bus.last
        if (after !== undefined && after > last) {
          return yield* new InvalidArgument({
            field: "after",
            problem: `the log ends at ${last}; is it of another daemon?`
          })
        }
        return bus
          .subscribe({ after: after ?? Seq.make(0), follow: follow ?? false })
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

  return Events.of({ subscribe })
})

export const layer = Layer.effect(Events, make)
