/**
 * Where daemons come in: the socket of the state folder, and another one in its place where somebody has removed it. A daemon that goes without a word, as it
 * does when it is killed, is no error of the shim's.
 */
import { NodeSocket, NodeSocketServer } from "@effect/platform-node"
import { Cause, Effect, Layer, Option, Scope } from "effect"
import type { FileSystem, Path } from "effect"
import { Socket, SocketServer } from "effect/socket"
import { bound } from "../layers/server/Listen.ts"
import { failing } from "./ClosedConnection.ts"

export interface DoorOptions {
  readonly path: string
  /** Completes when the door should look whether its socket is still there; asked for again and again. */
  readonly roused: Effect.Effect<void>
}

const quiet =
  <R, E, A>(handler: (socket: Socket.Socket) => Effect.Effect<A, E, R>) =>
  (socket: Socket.Socket) =>
    Effect.serviceOption(NodeSocket.NetSocket).pipe(
      Effect.flatMap((connection) => handler(Option.isSome(connection) ? failing(connection.value, socket) : socket)),
      Effect.catchCause((cause) => {
        const error = Cause.squash(cause)
        return Socket.isSocketError(error)
          ? Effect.logInfo(`a daemon has gone: ${error.message}`)
          : Effect.failCause(cause)
      })
    )

/** The old socket stays open: nobody finds it any more, but to close it would remove what has its name. */
const make = Effect.fnUntraced(function* ({ path, roused }: DoorOptions) {
  const files = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  const scope = yield* Effect.scope
  const open = Effect.andThen(Effect.provideContext(bound({ path }), files), NodeSocketServer.make({ path })).pipe(
    Scope.provide(scope)
  )
  const first = yield* open
  return SocketServer.SocketServer.of({
    ...first,
    run: (handler) => {
      const again = open.pipe(
        Effect.tap(() => Effect.logWarning(`the socket ${path} was gone, listening on another`)),
        Effect.flatMap((server) => Effect.forkIn(server.run(quiet(handler)), scope)),
        // Where somebody answers there, nothing has happened.
        Effect.catch((error) => Effect.logInfo(`told to look at the socket: ${error.message}`)),
        (look) => Effect.forever(Effect.andThen(roused, look))
      )
      return Effect.raceFirst(first.run(quiet(handler)), again)
    }
  })
})

/** Takes the place of a dead socket, and refuses to take that of a living one. */
export const layer = (options: DoorOptions) => Layer.effect(SocketServer.SocketServer, make(options))
