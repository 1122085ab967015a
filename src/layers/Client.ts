/** The services of a daemon elsewhere, over WebSocket on its unix socket: one connection for all calls, a fifth of the latency of HTTP requests. */
import { NodeFileSystem, NodeWS } from "@effect/platform-node"
import { Duration, Effect, FileSystem, Layer, Option, Result, Schedule, Schema } from "effect"
import { RpcClient, RpcSerialization } from "effect/rpc"
import { Socket } from "effect/socket"
import type { ClientRequest, IncomingMessage } from "node:http"
import { BerthError, PermissionDenied } from "../schema/Errors.ts"
import * as Client from "../rpc/Client.ts"
import { parse } from "./server/Listen.ts"

/** Largest answer, in bytes: a list of containers carries their specifications. */
const maxFrame = 256 * 1024 * 1024

const decodeError = Schema.decodeUnknownOption(Schema.fromJsonString(BerthError))

/** A connection that is refused: the error of the answer's header, where the library would tell its status only. */
const refused = ({ headers, statusCode }: IncomingMessage): Error =>
  Option.getOrElse(decodeError(headers["berth-error"]), () => new Error(`it answered with status ${statusCode}`))

const webSockets = Layer.succeed(Socket.WebSocketConstructor)((url) => {
  const socket = new NodeWS.WebSocket(url)
  socket.on("unexpected-response", (request: ClientRequest, response: IncomingMessage) => {
    socket.emit("error", refused(response))
    request.destroy()
  })
  return socket
})

export interface ClientOptions {
  /** `unix:///path/to/socket`. */
  readonly address: string
}

/** Asked first, because a connection that the system refuses looks like one that nobody answers. */
const checkAccess = Effect.fnUntraced(function* (socket: string) {
  const fs = yield* FileSystem.FileSystem
  const found = yield* Effect.result(fs.access(socket, { writable: true }))
  if (Result.isFailure(found) && found.failure.reason._tag === "PermissionDenied") {
    return yield* new PermissionDenied({ problem: `the socket ${socket} is not yours to use, try sudo` })
  }
})

/** Connects at the first call; a lost connection is made again in the background, and calls meanwhile fail with Unavailable. */
export const layerClient = (options: ClientOptions) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { path } = yield* Effect.fromResult(parse(options.address))
      yield* checkAccess(path)
      return Client.layer(options.address).pipe(
        Layer.provide(
          RpcClient.layerProtocolSocket({
            // Output that nobody takes stops the reading of the socket, and with it the answers to pings: a pager may wait for its user as long as it likes.
            pingTimeout: Duration.infinity,
            retryPolicy: Schedule.min([Schedule.exponential("20 millis"), Schedule.spaced("1 second")])
          })
        ),
        Layer.provide(Socket.layerWebSocket(`ws+unix:${path}:/rpc`)),
        Layer.provide([webSockets, RpcSerialization.layerNdjsonWith({ maxBufferSize: maxFrame })])
      )
    })
  ).pipe(Layer.provide(NodeFileSystem.layer))
