/**
 * The shim: parent of container processes, holder of their stdio, on a socket in the state folder. It lives as long as it holds a container; signals do not end
 * it while it does, for its end would cost them their parent.
 */
import { NodeServices, NodeSocketServer } from "@effect/platform-node"
import { Cause, Deferred, Effect, Layer, Logger, Runtime } from "effect"
import { RpcSerialization, RpcServer } from "effect/rpc"
import { Socket, SocketServer } from "effect/socket"
import { parseArgs } from "node:util"
import { Adopted } from "../host/Adoption.ts"
import * as Local from "../layers/Local.ts"
import * as RuntimeTable from "../layers/RuntimeTable.ts"
import { Libc } from "../layers/posix/Libc.ts"
import { bound } from "../layers/server/Listen.ts"
import * as Keeper from "../layers/shim/Keeper.ts"
import * as ShimHandlers from "../layers/shim/ShimHandlers.ts"
import { socketOf } from "../layers/shim/ShimProcess.ts"
import { ShimRpc } from "../rpc/ShimRpc.ts"
import { version } from "../version.ts"
import { keepBounded } from "./BoundedLog.ts"

/** Where daemons come in. One that goes without a word, as it does when it is killed, is no error of the shim's. */
const doorAt = (path: string) =>
  Layer.effect(
    SocketServer.SocketServer,
    Effect.map(SocketServer.SocketServer, (server) =>
      SocketServer.SocketServer.of({
        ...server,
        run: (handler) =>
          server.run((socket) =>
            Effect.catchCause(handler(socket), (cause) => {
              const error = Cause.squash(cause)
              return Socket.isSocketError(error)
                ? Effect.logInfo(`a daemon has gone: ${error.message}`)
                : Effect.failCause(cause)
            })
          )
      })
    )
  ).pipe(Layer.provide(NodeSocketServer.layer({ path })))

const serve = Effect.fnUntraced(function* (state: string) {
  const stopped = yield* Deferred.make<void>()
  const stop = Effect.asVoid(Deferred.succeed(stopped, undefined))
  const { path } = yield* bound({ path: socketOf(state) })
  const keeper = yield* Keeper.make({ state }).pipe(Effect.provide(Libc.layer))
  const server = RpcServer.layer(ShimRpc, { disableFatalDefects: true }).pipe(
    Layer.provide(ShimHandlers.layer({ hello: ShimHandlers.current(version), stop })),
    Layer.provide(Local.layer({ state, runtimes: yield* RuntimeTable.load(state) })),
    Layer.provide(Layer.succeed(Adopted, keeper.release)),
    Layer.provide(RpcServer.layerProtocolSocketServer),
    Layer.provide([doorAt(path), RpcSerialization.layerNdjson])
  )
  yield* keepBounded(state)
  yield* Layer.build(server)
  yield* Effect.logInfo(`shim ${process.pid} serves ${state}`)
  yield* Deferred.await(stopped)
}, Effect.scoped)

const { values } = parseArgs({ options: { state: { type: "string" } }, strict: true })
const state = values.state
if (state === undefined) {
  process.stderr.write("berth: cannot start a shim: --state is missing\n")
  process.exit(2)
}
process.umask(0o077)
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE"] as const) process.on(signal, () => {})

const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  fiber.addObserver((exit) => teardown(exit, (code) => process.exit(code)))
})

serve(state).pipe(
  Effect.provide(NodeServices.layer),
  Effect.provideService(Logger.LogToStderr, true),
  Effect.withTracerEnabled(false),
  (program) => runMain(program)
)
