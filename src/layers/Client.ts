/** The services of a daemon elsewhere, over WebSocket on its unix socket: one connection for all calls, a fifth of the latency of HTTP requests. */
import { NodeWS } from "@effect/platform-node"
import { Effect, Layer, Schedule } from "effect"
import { RpcClient, RpcSerialization } from "effect/rpc"
import { Socket } from "effect/socket"
import * as Client from "../rpc/Client.ts"
import { parse } from "./server/Listen.ts"

export interface ClientOptions {
  /** `unix:///path/to/socket`. */
  readonly address: string
}

/** Connects at the first call; a lost connection is made again in the background, and calls meanwhile fail with Unavailable. */
export const layerClient = (options: ClientOptions) =>
  Layer.unwrap(
    Effect.map(Effect.fromResult(parse(options.address)), ({ path }) =>
      Client.layer(options.address).pipe(
        Layer.provide(
          RpcClient.layerProtocolSocket({
            retryPolicy: Schedule.min([Schedule.exponential("20 millis"), Schedule.spaced("1 second")])
          })
        ),
        Layer.provide(Socket.layerWebSocket(`ws+unix:${path}:/rpc`)),
        Layer.provide([NodeWS.layerWebSocketConstructor, RpcSerialization.layerNdjson])
      )
    )
  )
