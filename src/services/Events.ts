/** The event log for users: every state change of the caller's namespace, durable, in order, from any point. */
import { Context } from "effect"
import type { Stream } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import type { Event } from "../schema/Events.ts"
import type { SubscribeRequest } from "../schema/Requests.ts"

export class Events extends Context.Service<
  Events,
  {
    /** Past events, then with `follow` live ones, without gap or repeat. To go on after a break, pass the last `seq` as `after`. */
    readonly subscribe: (request: SubscribeRequest) => Stream.Stream<Event, BerthError>
  }
>()("berth/services/Events") {}
