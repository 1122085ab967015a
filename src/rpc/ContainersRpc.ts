/** Contract of `services/Containers.ts`. */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { Container, ContainerPatch, NewContainer } from "../schema/Container.ts"
import { BerthError } from "../schema/Errors.ts"
import { ContainerId } from "../schema/Ids.ts"
import { ById, ListRequest } from "../schema/Requests.ts"

const error = BerthError

export class ContainersRpc extends RpcGroup.make(
  Rpc.make("Create", { payload: NewContainer, success: Container, error }),
  Rpc.make("Get", { payload: ById, success: Container, error }),
  Rpc.make("List", { payload: ListRequest, success: Schema.Array(Container), error }),
  Rpc.make("Update", { payload: { id: ContainerId, patch: ContainerPatch }, success: Container, error }),
  Rpc.make("Delete", { payload: ById, success: Schema.Null, error })
).prefix("Containers.") {}
