/** Contract of `services/Events.ts`. */
import { Rpc, RpcGroup } from "effect/rpc"
import { BerthError } from "../schema/Errors.ts"
import { Event } from "../schema/Events.ts"
import { SubscribeRequest } from "../schema/Requests.ts"

export class EventsRpc extends RpcGroup.make(
  Rpc.make("Subscribe", { payload: SubscribeRequest, success: Event, error: BerthError, stream: true })
).prefix("Events.") {}
