/**
 * The WebSocket on a path, with what the library leaves out: a writer that waits until its client has read, and a reader that takes no more from a client who
 * does not read. Without that, answers would pile up here for whoever asks and does not listen.
 */
import { Effect, Latch, Predicate, Semaphore } from "effect"
import { HttpRouter, HttpServerRequest } from "effect/http"
import { RpcServer } from "effect/rpc"
import { Socket } from "effect/socket"
import { IncomingMessage } from "node:http"
import type { Duplex } from "node:stream"
import { countLimited } from "../../services/Metrics.ts"

/** Bytes that may wait for a client before the next answer does. */
const ahead = 1024 * 1024

const tooLarge = 1009

/** What the library says of a message that it would not read to its end. */
const isTooLarge = ({ reason }: Socket.SocketError): boolean =>
  reason._tag === "SocketReadError" &&
  Predicate.hasProperty(reason.cause, "error") &&
  Predicate.hasProperty(reason.cause.error, "code") &&
  reason.cause.error.code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"

/** Returns when the client has taken what was sent to it, or has gone. */
const flushed = (connection: Duplex, open: Latch.Latch) =>
  Effect.suspend(() =>
    connection.writableLength <= ahead || connection.destroyed
      ? Effect.void
      : Effect.andThen(open.close, () => (connection.destroyed ? Effect.void : open.await))
  )

const bounded = Effect.fnUntraced(function* (socket: Socket.Socket, connection: Duplex) {
  const open = yield* Latch.make(true)
  const turns = yield* Semaphore.make(1)
  const release = () => open.openUnsafe()
  connection.on("drain", release).once("close", release)
  const ready = flushed(connection, open)
  const reader: Socket.Socket["reader"] = Effect.map(socket.reader, (inner) => ({
    ...inner,
    pull: Effect.andThen(ready, inner.pull).pipe(
      Effect.tapError((error) => (isTooLarge(error) ? countLimited("request") : Effect.void))
    )
  }))
  const writer: Socket.Socket["writer"] = Effect.map(socket.writer, (inner) => ({
    ...inner,
    write: (chunk) =>
      Socket.isCloseEvent(chunk)
        ? Effect.andThen(chunk.code === tooLarge ? countLimited("request") : Effect.void, inner.write(chunk))
        : turns.withPermit(Effect.andThen(ready, inner.write(chunk)))
  }))
  return Socket.make({ reader, writer })
})

const upgraded = (request: HttpServerRequest.HttpServerRequest) => {
  const { source } = request
  return source instanceof IncomingMessage
    ? Effect.flatMap(request.upgrade, (socket) => bounded(socket, source.socket))
    : request.upgrade
}

/** RPC over WebSocket at a path of the router. */
export const make = Effect.fnUntraced(function* (path: HttpRouter.PathInput) {
  const { httpEffect, protocol } = yield* RpcServer.makeProtocolWithHttpEffectWebsocket
  const router = yield* HttpRouter.HttpRouter
  const serve = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
    Effect.provideService(
      httpEffect,
      HttpServerRequest.HttpServerRequest,
      new Proxy(request, {
        get: (target, key) => (key === "upgrade" ? upgraded(target) : Reflect.get(target, key, target))
      })
    )
  )
  yield* router.add("GET", path, serve)
  return protocol
})
