/**
 * Contract between daemon and shim: `services/ProcessHost.ts` over a socket. Old shims live on under new daemons, and new ones under old: change it only by
 * adding. A call that a shim does not know is answered as such, and needs no number; a number is for what it would take for something else.
 */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { BerthError } from "../schema/Errors.ts"
import { Bytes } from "../schema/Bytes.ts"
import {
  ContainerRef,
  CreateRequest,
  DeleteResult,
  ExecRequest,
  Hosted,
  HostEvent,
  HostSignal,
  Ref,
  Updated,
  UpdateRequest
} from "../schema/Host.ts"
import { ContainerId, Namespace } from "../schema/Ids.ts"
import { Exit, TerminalSize } from "../schema/Process.ts"
import { ProcessInfo, Stats, StatsListFromShim } from "../schema/Stats.ts"

/** What both sides speak. 2: a signal may name a pid, which a shim of 1 would send to init. */
export const shimProtocol = 2

/** The oldest that is still served, by a daemon and by a shim alike. Raised when that ends. */
export const oldestShimProtocol = 1

/** What a shim says of itself; `oldest` is absent in those of protocol 1, which speak no other. */
const Hello = Schema.Struct({
  protocol: Schema.Int,
  oldest: Schema.optionalKey(Schema.Int),
  version: Schema.String,
  pid: Schema.Int
})
export type Hello = typeof Hello.Type

/** Whether a daemon of this version can work with that shim: either may be the older one. */
export const understands = ({ oldest, protocol }: Hello): boolean =>
  protocol >= oldestShimProtocol && (oldest ?? protocol) <= shimProtocol

const error = BerthError
const done = Schema.Null

export class ShimRpc extends RpcGroup.make(
  Rpc.make("Hello", { success: Hello, error }),
  Rpc.make("Create", { payload: CreateRequest, success: Hosted, error }),
  Rpc.make("Start", { payload: ContainerRef, success: done, error }),
  Rpc.make("Exec", { payload: ExecRequest, success: Hosted, error }),
  Rpc.make("Signal", { payload: HostSignal, success: done, error }),
  Rpc.make("Pause", { payload: ContainerRef, success: done, error }),
  Rpc.make("Resume", { payload: ContainerRef, success: done, error }),
  Rpc.make("Update", { payload: UpdateRequest, success: Updated, error }),
  Rpc.make("Delete", { payload: ContainerRef, success: DeleteResult, error }),
  Rpc.make("DeleteExec", { payload: Ref, success: Schema.NullOr(Exit), error }),
  Rpc.make("Pids", { payload: ContainerRef, success: Schema.Array(Schema.Int), error }),
  Rpc.make("ProcessTable", { payload: ContainerRef, success: Schema.Array(ProcessInfo), error }),
  Rpc.make("Stats", { payload: ContainerRef, success: Stats, error }),
  Rpc.make("StatsOf", {
    payload: { namespace: Namespace, containerIds: Schema.Array(ContainerId) },
    success: StatsListFromShim,
    error
  }),
  Rpc.make("WriteStdin", { payload: { ref: Ref, bytes: Bytes }, success: done, error }),
  Rpc.make("CloseStdin", { payload: Ref, success: done, error }),
  Rpc.make("Resize", { payload: { ref: Ref, ...TerminalSize.fields }, success: done, error }),
  Rpc.make("Watch", { success: HostEvent, error, stream: true }),
  /** Ends the shim if it holds no container; true where it holds one, and stays. */
  Rpc.make("Shutdown", { success: Schema.Boolean, error })
) {}
