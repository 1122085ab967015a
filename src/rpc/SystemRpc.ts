/** Contract of `services/System.ts`. */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { BerthError } from "../schema/Errors.ts"
import { Orphan } from "../schema/Orphan.ts"
import { ServerInfo } from "../schema/Requests.ts"
import { DriverInfo } from "../schema/Runtime.ts"

export class SystemRpc extends RpcGroup.make(
  Rpc.make("Info", { payload: Schema.Struct({}), success: ServerInfo, error: BerthError }),
  Rpc.make("Runtimes", { payload: Schema.Struct({}), success: Schema.Array(DriverInfo), error: BerthError }),
  Rpc.make("Orphans", {
    payload: Schema.Struct({ repair: Schema.Boolean }),
    success: Schema.Array(Orphan),
    error: BerthError
  })
).prefix("System.") {}
