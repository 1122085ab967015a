/**
 * The daemon's door: RPC as newline-delimited JSON and WebSocket on `/rpc`, JSON-RPC on `/jsonrpc`, health and metrics, on one listener. Handlers come from
 * outside and are shared by all of them. Nothing behind it grows without a bound: `rpc/Limits.ts` has the numbers.
 */
import { NodeHttpServer } from "@effect/platform-node"
import { ByteSize, Cause, Effect, FileSystem, Layer } from "effect"
import { HttpIncomingMessage, HttpRouter, HttpServerError, HttpServerResponse } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import type { RpcSerialization } from "effect/rpc"
import { RpcServer } from "effect/rpc"
import { scrubbed } from "../../rpc/Answers.ts"
import { BerthRpc } from "../../rpc/BerthRpc.ts"
import * as JsonRpc from "../../rpc/JsonRpc.ts"
import type { Limits } from "../../rpc/Limits.ts"
import * as Ndjson from "../../rpc/Ndjson.ts"
import { countLimited } from "../../services/Metrics.ts"
import { Unavailable } from "../../schema/Errors.ts"
import { reasonOf } from "../Folders.ts"
import * as Connections from "./Connections.ts"
import type { Listen } from "./Listen.ts"
import { bound } from "./Listen.ts"
import * as WebSockets from "./WebSockets.ts"

/** Pieces of an answer over HTTP that may wait for their reader, for each stream. */
const streamBufferSize = 2

const rpc = (
  protocol: Layer.Layer<RpcServer.Protocol, never, RpcSerialization.RpcSerialization | HttpRouter.HttpRouter>
) => RpcServer.layer(BerthRpc, { disableFatalDefects: true }).pipe(Layer.provide(scrubbed(protocol)))

/** A body that is too large is answered with 413 by whoever reads it. */
const isTooLarge = (reason: Cause.Reason<unknown>): boolean =>
  reason._tag === "Die" &&
  reason.defect instanceof HttpServerError.HttpServerError &&
  reason.defect.reason._tag === "RequestParseError" &&
  reason.defect.reason.reason === "BodyTooLarge"

const counting = HttpRouter.middleware(
  (handled) =>
    Effect.onError(handled, ({ reasons }) => (reasons.some(isTooLarge) ? countLimited("request") : Effect.void)),
  { global: true }
)

const routes = ({ requestBytes }: Limits) =>
  Layer.mergeAll(
    rpc(RpcServer.layerProtocolHttp({ path: "/rpc", streamBufferSize })).pipe(
      Layer.provide(Ndjson.layerBody(requestBytes))
    ),
    rpc(Layer.effect(RpcServer.Protocol, WebSockets.make("/rpc"))).pipe(Layer.provide(Ndjson.layer(requestBytes))),
    rpc(RpcServer.layerProtocolHttp({ path: "/jsonrpc" })).pipe(Layer.provide(JsonRpc.layer)),
    HttpRouter.add("GET", "/healthz", HttpServerResponse.text("ok\n")),
    PrometheusMetrics.layerHttp({ path: "/metrics" }),
    counting
  )

/** Serves until its scope closes. Building it succeeds when the listener accepts connections. */
export const layer = (listen: Listen, limits: Limits) =>
  ownersOnly(listen).pipe(Layer.provideMerge(serving(listen, limits)))

/** Whoever may write to the socket may do everything. */
const ownersOnly = ({ path }: Listen) =>
  Layer.effectDiscard(Effect.flatMap(FileSystem.FileSystem, (fs) => fs.chmod(path, 0o600)))

const refused = ({ path }: Listen, cause: unknown) =>
  Effect.fail(
    new Unavailable({
      what: `socket ${path}`,
      problem: `cannot listen there: ${reasonOf(cause)}`,
      mend: "choose another --listen"
    })
  )

const serving = (listen: Listen, limits: Limits) =>
  HttpRouter.serve(routes(limits), { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide(
      Layer.unwrap(
        Effect.gen(function* () {
          const options = yield* bound(listen)
          const server = yield* Connections.server(limits.connections)
          return NodeHttpServer.layer(() => server, {
            ...options,
            gracefulShutdownTimeout: "200 millis",
            websocket: { maxPayload: limits.requestBytes }
          })
        })
      )
    ),
    Layer.provide(Layer.succeed(HttpIncomingMessage.MaxBodySize, ByteSize.fromInputUnsafe(limits.requestBytes))),
    Layer.catchTag("ServeError", ({ cause }) => Layer.effectDiscard(refused(listen, cause)))
  )
