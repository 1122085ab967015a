/**
 * A server that holds no more connections than it may. One too many is told so with a 503 and the typed error in the header `berth-error` and the body, after
 * its first bytes have come, for a client that is answered before it has asked may not read the answer; it goes after a second whether it has asked or
 * not. Of those waiting for that there is a bound too.
 */
import { Effect, Schema } from "effect"
import type { Context } from "effect"
import { createServer } from "node:http"
import type { Server } from "node:http"
import type { Socket } from "node:net"
import { BerthError, ResourceExhausted } from "../../schema/Errors.ts"
import type { Limited } from "../../services/Metrics.ts"
import { countLimited, setConnections } from "../../services/Metrics.ts"

/** Refused connections that may wait for their answer at a time; the next ones are just closed. */
const refusing = 64
/** For one to ask and read. */
const patience = "1 second"
/** Requests on one connection, of which the first is not answered yet. */
const pipelined = 64
/** Milliseconds for the head of a request, counted from the connection too: one that says nothing holds a place. */
const headersTimeout = 60_000

const encodeError = Schema.encodeSync(Schema.fromJsonString(BerthError))

const answer = (error: ResourceExhausted): string => {
  const text = encodeError(error)
  return [
    "HTTP/1.1 503 Service Unavailable",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(text) + 1}`,
    `berth-error: ${text}`,
    "Retry-After: 1",
    "Connection: close",
    "",
    `${text}\n`
  ].join("\r\n")
}

/** Answers a connection that is refused, once it has asked; ends when it has gone, in a fixed time, whatever it sends. */
const refuse = (socket: Socket, text: string): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    socket.on("error", () => {})
    socket.once("close", () => resume(Effect.void))
    socket.once("data", () => socket.end(text))
    socket.resume()
  }).pipe(Effect.timeoutOption(patience), Effect.andThen(Effect.sync(() => void socket.destroy())))

/** More requests than one answers to in turn: they could not be refused but by closing, since their answers would wait too. */
const boundPipelining = (server: Server, count: (what: Limited) => void): void => {
  const waiting = new WeakMap<Socket, number>()
  server.on("request", ({ socket }, response) => {
    const now = (waiting.get(socket) ?? 0) + 1
    waiting.set(socket, now)
    response.once("close", () => waiting.set(socket, (waiting.get(socket) ?? 1) - 1))
    if (now <= pipelined) return
    count("pipelined")
    socket.destroy()
  })
}

/** The server, not listening yet. */
export const server = (limit: number) =>
  Effect.map(Effect.context(), (context: Context.Context<never>) => {
    // Node calls listeners outside of any fiber; what they run here only counts, and never waits.
    const run = (effect: Effect.Effect<void>) => Effect.runSyncWith(context)(effect)
    const text = answer(new ResourceExhausted({ resource: "connections", limit }))
    const server = createServer({ requestTimeout: 0, headersTimeout, connectionsCheckingInterval: 10_000 })
    const serving = server.listeners("connection")
    server.removeAllListeners("connection")
    let open = 0
    let refused = 0
    server.on("connection", (socket: Socket) => {
      if (open >= limit) {
        run(countLimited("connections"))
        if (refused >= refusing) {
          socket.destroy()
          return
        }
        refused++
        socket.once("close", () => refused--)
        Effect.runForkWith(context)(refuse(socket, text))
        return
      }
      run(setConnections(++open))
      socket.once("close", () => run(setConnections(--open)))
      for (const serve of serving) serve.call(server, socket)
    })
    boundPipelining(server, (what) => run(countLimited(what)))
    return server
  })
