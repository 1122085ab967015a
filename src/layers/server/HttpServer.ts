/**
 * The daemon's door: RPC as newline-delimited JSON and WebSocket on `/rpc`, JSON-RPC on `/jsonrpc`, health and metrics, on one listener. Handlers come from
 * outside and are shared by all of them.
 */
import { NodeHttpServer } from "@effect/platform-node"
import { ByteSize, Effect, FileSystem, Layer } from "effect"
import { HttpIncomingMessage, HttpRouter, HttpServerResponse } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import type { RpcSerialization } from "effect/rpc"
import { RpcServer } from "effect/rpc"
import { createServer } from "node:http"
import { scrubbed } from "../../rpc/Answers.ts"
import { BerthRpc } from "../../rpc/BerthRpc.ts"
import * as JsonRpc from "../../rpc/JsonRpc.ts"
import * as Ndjson from "../../rpc/Ndjson.ts"
import type { Listen } from "./Listen.ts"
import { bound } from "./Listen.ts"

/** Largest request body; the largest spec in use is far below. Beyond it: 413. */
const maxBody = ByteSize.fromStringUnsafe("4 MiB")

const rpc = (
  protocol: Layer.Layer<RpcServer.Protocol, never, RpcSerialization.RpcSerialization | HttpRouter.HttpRouter>
) => RpcServer.layer(BerthRpc, { disableFatalDefects: true }).pipe(Layer.provide(scrubbed(protocol)))

const routes = Layer.mergeAll(
  rpc(RpcServer.layerProtocolHttp({ path: "/rpc" })).pipe(Layer.provide(Ndjson.layerBody)),
  rpc(RpcServer.layerProtocolWebsocket({ path: "/rpc" })).pipe(Layer.provide(Ndjson.layer)),
  rpc(RpcServer.layerProtocolHttp({ path: "/jsonrpc" })).pipe(Layer.provide(JsonRpc.layer)),
  HttpRouter.add("GET", "/healthz", HttpServerResponse.text("ok\n")),
  PrometheusMetrics.layerHttp({ path: "/metrics" })
)

/** Serves until its scope closes. Building it succeeds when the listener accepts connections. */
export const layer = (listen: Listen) => ownersOnly(listen).pipe(Layer.provideMerge(serving(listen)))

/** Whoever may write to the socket may do everything. */
const ownersOnly = ({ path }: Listen) =>
  Layer.effectDiscard(Effect.flatMap(FileSystem.FileSystem, (fs) => fs.chmod(path, 0o600)))

const serving = (listen: Listen) =>
  HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide(
      Layer.unwrap(
        Effect.map(bound(listen), (options) =>
          NodeHttpServer.layer(() => createServer({ requestTimeout: 0 }), {
            ...options,
            gracefulShutdownTimeout: "200 millis",
            websocket: { maxPayload: ByteSize.toNumberUnsafe(maxBody) }
          })
        )
      )
    ),
    Layer.provide(Layer.succeed(HttpIncomingMessage.MaxBodySize, maxBody))
  )
