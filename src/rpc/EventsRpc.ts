/** Contract of `services/Events.ts`. */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { BerthError } from "../schema/Errors.ts"
import { Consumer, Event } from "../schema/Events.ts"
import { ConsumerName } from "../schema/Ids.ts"
import { Acknowledgement, SubscribeRequest } from "../schema/Requests.ts"

const error = BerthError

export class EventsRpc extends RpcGroup.make(
  Rpc.make("Subscribe", { payload: SubscribeRequest, success: Event, error, stream: true }),
  Rpc.make("Acknowledge", { payload: Acknowledgement, success: Schema.Null, error }),
  Rpc.make("Consumers", { payload: Schema.Struct({}), success: Schema.Array(Consumer), error }),
  Rpc.make("Forget", { payload: { consumer: ConsumerName }, success: Schema.Null, error })
).prefix("Events.") {}
