/**
 * The shim: parent of container processes, holder of their stdio, on a socket in the state folder. It lives as long as it holds a container; signals do not end
 * it while it does, for its end would cost them their parent.
 */
import { NodeServices } from "@effect/platform-node"
import { Deferred, Effect, Layer, Logger, Queue, Runtime } from "effect"
import { RpcSerialization, RpcServer } from "effect/rpc"
import { parseArgs } from "node:util"
import { Adopted } from "../host/Adoption.ts"
import * as Local from "../layers/Local.ts"
import * as RuntimeTable from "../layers/RuntimeTable.ts"
import { Libc } from "../layers/posix/Libc.ts"
import * as Keeper from "../layers/shim/Keeper.ts"
import * as ShimHandlers from "../layers/shim/ShimHandlers.ts"
import * as ShimLock from "../layers/shim/ShimLock.ts"
import { ShimRpc } from "../rpc/ShimRpc.ts"
import { version } from "../version.ts"
import { keepBounded } from "./BoundedLog.ts"
import * as Door from "./Door.ts"

/** Whoever does not get the folder tells us by this signal that there is no way in any more. */
const hangUps = Effect.gen(function* () {
  const asked = yield* Queue.sliding<void>(1)
  const listener = () => void Queue.offerUnsafe(asked, undefined)
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("SIGHUP", listener)),
    () => Effect.sync(() => process.off("SIGHUP", listener))
  )
  return { roused: Queue.take(asked) }
})

const serve = Effect.fnUntraced(function* (state: string) {
  const stopped = yield* Deferred.make<void>()
  const stop = Effect.asVoid(Deferred.succeed(stopped, undefined))
  yield* ShimLock.hold(state).pipe(
    Effect.provide(Libc.layer),
    Effect.tapErrorTag("Held", (error) => Effect.logError(`shim ${process.pid} ends: ${error.message}`))
  )
  const door = Door.layer({ path: ShimLock.socketOf(state), ...(yield* hangUps) })
  const keeper = yield* Keeper.make({ state }).pipe(Effect.provide(Libc.layer))
  const server = RpcServer.layer(ShimRpc, { disableFatalDefects: true }).pipe(
    Layer.provide(ShimHandlers.layer({ hello: ShimHandlers.current(version), stop })),
    Layer.provide(Local.layer({ state, runtimes: yield* RuntimeTable.load(state) })),
    Layer.provide(Layer.succeed(Adopted, keeper.release)),
    Layer.provide(RpcServer.layerProtocolSocketServer),
    Layer.provide([door, RpcSerialization.layerNdjson])
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
