/** A shim of another berth: the same code without the calls that came later, saying of itself what a file tells at the time. */
import { NodeServices, NodeSocketServer } from "@effect/platform-node"
import { Deferred, Effect, Layer, Logger, Schema } from "effect"
import { RpcSerialization, RpcServer } from "effect/rpc"
import { readFileSync } from "node:fs"
import * as Local from "../../src/layers/Local.ts"
import { bound } from "../../src/layers/server/Listen.ts"
import * as ShimHandlers from "../../src/layers/shim/ShimHandlers.ts"
import { socketOf } from "../../src/layers/shim/ShimLock.ts"
import { ShimRpc } from "../../src/rpc/ShimRpc.ts"

const FirstShimRpc = ShimRpc.omit("Stats", "StatsOf", "ProcessTable", "Update", "Resize")

const Said = Schema.fromJsonString(
  Schema.Struct({ protocol: Schema.Int, oldest: Schema.optionalKey(Schema.Int), version: Schema.String })
)

const [, , state = "", file = ""] = process.argv
const decode = Schema.decodeSync(Said)
const hello = () => ({ ...decode(readFileSync(file, "utf8")), pid: process.pid })
process.umask(0o077)

void Effect.gen(function* () {
  const stopped = yield* Deferred.make<void>()
  const stop = Effect.asVoid(Deferred.succeed(stopped, undefined))
  const { path } = yield* bound({ path: socketOf(state) })
  yield* Layer.build(
    RpcServer.layer(FirstShimRpc, { disableFatalDefects: true }).pipe(
      Layer.provide(ShimHandlers.layer({ hello, stop })),
      Layer.provide(Local.layer({ state, runtimes: {} })),
      Layer.provide(RpcServer.layerProtocolSocketServer),
      Layer.provide([NodeSocketServer.layer({ path }), RpcSerialization.layerNdjson])
    )
  )
  process.stdout.write("ready\n")
  yield* Deferred.await(stopped)
}).pipe(
  Effect.scoped,
  Effect.provide(NodeServices.layer),
  Effect.provideService(Logger.LogToStderr, true),
  Effect.runPromise
)
