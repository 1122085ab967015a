/**
 * Connections of clients to daemons, with the real protocol on both sides: client, encoding, middleware, handlers. What is between them is text, in order, one way and the
 * other, until the connection breaks: then what was on its way in either direction may be lost. Nobody else crosses from the clients to a daemon.
 */
import { Context, Effect, Layer, Queue, Scope } from "effect"
import { RpcClient, RpcClientError, RpcSerialization, RpcServer } from "effect/rpc"
import type { RpcMessage } from "effect/rpc"
import { Socket } from "effect/socket"
import { Admission } from "../../src/rpc/Admission.ts"
import { scrubbed } from "../../src/rpc/Answers.ts"
import { BerthRpc } from "../../src/rpc/BerthRpc.ts"
import * as Client from "../../src/rpc/Client.ts"
import * as Handlers from "../../src/rpc/Handlers.ts"
import { defaultLimits } from "../../src/rpc/Limits.ts"
import { Session } from "../../src/rpc/Session.ts"
import type { Containers } from "../../src/services/Containers.ts"
import type { Events } from "../../src/services/Events.ts"
import type { System } from "../../src/services/System.ts"
import type { Tasks } from "../../src/services/Tasks.ts"
import type { Domain, Kernel } from "./Kernel.ts"

export type Api = Containers | Tasks | Events | System

/** One direction: text in order, and null at its end. */
interface Way {
  readonly push: (text: string | null) => void
  /** What is on its way does not arrive. */
  readonly lose: () => void
}

interface Connection {
  readonly toServer: Way
  readonly toClient: Way
}

/** Where a daemon listens. */
export interface Door {
  /** `receive` is given what the daemon sends, null when the connection has ended. */
  readonly connect: (clients: Domain, receive: (text: string | null) => void) => Connection
  /** The daemon is dead: whoever is connected learns of it. */
  readonly dies: () => void
}

const session = Session.layer.pipe(Layer.provide(Admission.layer(defaultLimits)))

const serialization = RpcSerialization.makeNdjson()

// The other side is the same version of the same library: what it sends is what it says.
const isTagged = (message: unknown) => typeof message === "object" && message !== null && "_tag" in message
const isRequest = (message: unknown): message is RpcMessage.FromClientEncoded => isTagged(message)
const isResponse = (message: unknown): message is RpcMessage.FromServerEncoded => isTagged(message)

export const make = (kernel: Kernel) => {
  const { random } = kernel

  const way = (to: Domain, receive: (text: string | null) => void): Way => {
    const channel: Array<string | null> = []
    return {
      push: (text) => {
        channel.push(text)
        kernel.after(to, 0, () => {
          const [next] = channel.splice(0, 1)
          if (next !== undefined) receive(next)
        })
      },
      lose: () => void channel.splice(0)
    }
  }

  const breakOff = ({ toClient, toServer }: Connection) => {
    if (random.chance(0.5)) toClient.lose()
    if (random.chance(0.5)) toServer.lose()
    toClient.push(null)
    toServer.push(null)
  }

  /** The server's end, to be made in the daemon's domain. */
  const serve = Effect.fnUntraced(function* (daemon: Domain, api: Context.Context<Api>) {
    const connections = new Map<number, Connection>()
    const inbox = yield* Queue.unbounded<{ readonly id: number; readonly text: string | null }>()
    let count = 0
    const protocol = RpcServer.Protocol.make((request) =>
      Effect.gen(function* () {
        const disconnects = yield* Queue.unbounded<number>()
        const parser = serialization.makeUnsafe()
        const read = Effect.gen(function* () {
          const { id, text } = yield* Queue.take(inbox)
          if (!connections.has(id)) return
          if (text === null) {
            connections.delete(id)
            yield* Queue.offer(disconnects, id)
            return
          }
          for (const message of parser.decode(text).filter(isRequest)) {
            yield* request(id, message)
          }
        })
        yield* Effect.forkScoped(Effect.forever(read))
        return {
          disconnects,
          send: (id: number, response: RpcMessage.FromServerEncoded) =>
            Effect.sync(() => {
              const text = parser.encode(response)
              if (typeof text === "string") connections.get(id)?.toClient.push(text)
            }),
          end: () => Effect.void,
          clientIds: Effect.sync(() => new Set(connections.keys())),
          initialMessage: Effect.succeedNone,
          supportsAck: true,
          supportsTransferables: false,
          supportsSpanPropagation: false,
          supportsNotifications: false,
          codecFor: serialization.codecFor
        }
      })
    )
    const served = RpcServer.layer(BerthRpc, { disableTracing: true }).pipe(
      Layer.provide([
        scrubbed(Layer.effect(RpcServer.Protocol, protocol)),
        Handlers.layer.pipe(Layer.provide(Layer.succeedContext(api))),
        session
      ])
    )
    yield* Effect.provideService(Layer.build(served), Scope.Scope, Scope.makeUnsafe())
    const door: Door = {
      connect: (clients, receive) => {
        const id = ++count
        const connection: Connection = {
          toServer: way(daemon, (text) => void Queue.offerUnsafe(inbox, { id, text })),
          toClient: way(clients, receive)
        }
        connections.set(id, connection)
        return connection
      },
      dies: () => Array.from(connections.values()).forEach(breakOff)
    }
    return door
  })

  /** A client that connects when it is first asked, and anew when its connection has ended. `cut` breaks that; false where there is none. */
  const connect = Effect.fnUntraced(function* (clients: Domain, door: () => Door | null) {
    let current: Connection | null = null
    const inbox = yield* Queue.unbounded<{ readonly from: Connection | null; readonly text: string | null }>()
    const failed = (reason: Socket.SocketOpenError | Socket.SocketCloseError) =>
      new RpcClientError.RpcClientError({ reason })

    const protocol = RpcClient.Protocol.make((respond, ids) =>
      Effect.gen(function* () {
        const parser = serialization.makeUnsafe()
        const tell = (response: RpcMessage.FromServerEncoded) =>
          Effect.forEach(Array.from(ids), (id) => respond(id, response), { discard: true })
        const read = Effect.gen(function* () {
          const { from, text } = yield* Queue.take(inbox)
          if (from !== current) return
          if (text === null) {
            current = null
            const error = failed(new Socket.SocketCloseError({ code: 1006 }))
            return yield* tell({ _tag: "ClientProtocolError", error })
          }
          for (const message of parser.decode(text).filter(isResponse)) yield* tell(message)
        })
        yield* Effect.forkScoped(Effect.forever(read))
        return {
          send: (_, message) =>
            Effect.suspend(() => {
              if (current === null) {
                if (message._tag !== "Request") return Effect.void
                const found = door()
                if (found === null) {
                  return Effect.fail(failed(new Socket.SocketOpenError({ kind: "Unknown", cause: "nobody listens" })))
                }
                const opened: Connection = found.connect(clients, (text) =>
                  Queue.offerUnsafe(inbox, { from: opened, text })
                )
                current = opened
              }
              const text = parser.encode(message)
              if (typeof text === "string") current.toServer.push(text)
              return Effect.void
            }),
          supportsAck: true,
          supportsTransferables: false,
          codecFor: serialization.codecFor
        }
      })
    )
    const layer = Client.layer("simulation").pipe(Layer.provide(Layer.effect(RpcClient.Protocol, protocol)))
    const api: Context.Context<Api> = yield* Effect.provideService(Layer.build(layer), Scope.Scope, Scope.makeUnsafe())
    const cut = (): boolean => {
      if (current === null) return false
      breakOff(current)
      return true
    }
    return { api, cut }
  })

  return { serve, connect }
}
