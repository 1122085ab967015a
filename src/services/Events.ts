/**
 * The event log for users: every state change of the caller's namespace, durable, in order, from any point. Who reads may keep its own place, or have it
 * kept here under a name.
 */
import { Context } from "effect"
import type { Effect, Stream } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import type { Consumer, Event } from "../schema/Events.ts"
import type { ConsumerName } from "../schema/Ids.ts"
import type { Acknowledgement, SubscribeRequest } from "../schema/Requests.ts"

export class Events extends Context.Service<
  Events,
  {
    /**
     * Past events, then with `follow` live ones, without gap or repeat. To go on after a break, pass the last `seq` as `after`, or the name of a consumer that
     * acknowledged it. FailedPrecondition where the log no longer reaches back so far: nothing is left out unsaid.
     */
    readonly subscribe: (request: SubscribeRequest) => Stream.Stream<Event, BerthError>
    /** Keeps the place of a consumer, who need not exist before. It never goes back. InvalidArgument past the end of the log. */
    readonly acknowledge: (request: Acknowledgement) => Effect.Effect<void, BerthError>
    /** By name. */
    readonly consumers: Effect.Effect<ReadonlyArray<Consumer>, BerthError>
    /** Its next subscription begins with all that the log holds. One that is not there is forgotten too. */
    readonly forget: (consumer: ConsumerName) => Effect.Effect<void, BerthError>
  }
>()("berth/services/Events") {}
