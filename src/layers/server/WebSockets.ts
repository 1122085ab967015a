/**
 * The WebSocket on a path, with what the library leaves out: a writer that waits until its client has read, and a reader that takes no more calls from a client who
 * does not read. Without that, answers would pile up here for whoever asks and does not listen. And streams that are some pieces ahead of their acknowledgements.
 */
import { Context, Effect, Latch, Predicate, Semaphore } from "effect"
import { HttpRouter, HttpServerRequest } from "effect/http"
import { RpcServer } from "effect/rpc"
import { Socket } from "effect/socket"
import { IncomingMessage } from "node:http"
import type { Duplex } from "node:stream"
import { countLimited } from "../../services/Metrics.ts"
import * as StreamWindow from "./StreamWindow.ts"

/** Bytes that may wait for a client before the next answer does. */
const ahead = 1024 * 1024

/** Pieces of output that may be on their way to a client: enough that neither side waits for the other, and of a size that both can hold. */
const piecesAhead = 4
/** Of other streams one at a time is soon enough. */
const isOutput = ([first]: ReadonlyArray<unknown>): boolean => Predicate.hasProperty(first, "bytes")

const tooLarge = 1009

/** What the library says of a message that it would not read to its end. */
const isTooLarge = ({ reason }: Socket.SocketError): boolean =>
  reason._tag === "SocketReadError" &&
  Predicate.hasProperty(reason.cause, "error") &&
  Predicate.hasProperty(reason.cause.error, "code") &&
  reason.cause.error.code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"

/** Returns when the client of this fiber's connection has taken what was answered so far, but for a little. */
const Taken = Context.Reference<Effect.Effect<void>>("berth/server/Taken", { defaultValue: () => Effect.void })

/** What waits for the client of a connection, kept small. Whoever has to wait does so in turn. */
const pressureOf = (connection: Duplex) => {
  const open = Latch.makeUnsafe(true)
  const turns = Semaphore.makeUnsafe(1)
  const release = () => open.openUnsafe()
  connection.on("drain", release).once("close", release)
  const flushed = Effect.suspend(() => {
    if (connection.writableLength <= ahead || connection.destroyed) return Effect.void
    open.closeUnsafe()
    return open.await
  })
  return {
    taken: turns.withPermit(flushed),
    write: <E>(write: Effect.Effect<void, E>) => turns.withPermit(Effect.andThen(flushed, write))
  }
}

const bounded = (socket: Socket.Socket, { write }: ReturnType<typeof pressureOf>) =>
  Socket.make({
    reader: Effect.map(socket.reader, (inner) => ({
      ...inner,
      pull: Effect.tapError(inner.pull, (error) => (isTooLarge(error) ? countLimited("request") : Effect.void))
    })),
    writer: Effect.map(socket.writer, (inner) => ({
      ...inner,
      write: (chunk) =>
        Socket.isCloseEvent(chunk)
          ? Effect.andThen(chunk.code === tooLarge ? countLimited("request") : Effect.void, inner.write(chunk))
          : write(inner.write(chunk))
    }))
  })

/** RPC over WebSocket at a path of the router. */
export const make = Effect.fnUntraced(function* (path: HttpRouter.PathInput) {
  const { httpEffect, protocol } = yield* RpcServer.makeProtocolWithHttpEffectWebsocket
  const router = yield* HttpRouter.HttpRouter
  const serve = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const { source } = request
    if (!(source instanceof IncomingMessage)) return httpEffect
    const pressure = pressureOf(source.socket)
    const upgrade = Effect.map(request.upgrade, (socket) => bounded(socket, pressure))
    const proxy = new Proxy(request, {
      get: (target, key) => (key === "upgrade" ? upgrade : Reflect.get(target, key, target))
    })
    return httpEffect.pipe(
      Effect.provideService(HttpServerRequest.HttpServerRequest, proxy),
      Effect.provideService(Taken, pressure.taken)
    )
  })
  yield* router.add("GET", path, serve)
  const window = StreamWindow.make(piecesAhead, yield* protocol.clientIds)
  let deliver: Parameters<typeof protocol.run>[0] = () => Effect.void
  return RpcServer.Protocol.of({
    ...protocol,
    send: (client, response, transferables) => {
      const sending = protocol.send(client, response, transferables)
      if (response._tag === "Exit") window.ended(client, response.requestId)
      if (response._tag !== "Chunk") return sending
      const { requestId } = response
      if (!isOutput(response.values) && !window.counts(client, requestId)) return sending
      // Counted first: the client may have it before the write returns.
      return window.sent(client, requestId)
        ? Effect.andThen(
            sending,
            Effect.suspend(() => deliver(client, { _tag: "Ack", requestId }))
          )
        : sending
    },
    // Messages are taken one by one by the fiber that reads the connection: what it waits for here, the client waits for.
    run: (take) => {
      deliver = take
      return protocol.run((client, message) => {
        switch (message._tag) {
          case "Request":
          case "Ping":
            return Effect.flatMap(Taken, (taken) => Effect.andThen(taken, take(client, message)))
          case "Ack":
            return window.acknowledged(client, message.requestId) ? take(client, message) : Effect.void
          default:
            return take(client, message)
        }
      })
    }
  })
})
