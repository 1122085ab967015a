/**
 * What every call carries and what every answer must not: the namespace travels in a header, absent means `default`; a defect of a handler is logged here
 * and reaches the client as `Internal` with the reference under which it was logged. The header names a namespace, never an identity. A call for which there
 * is no room ends here.
 */
import { Cause, Effect, Layer, Option, Random, Schema } from "effect"
import { Headers } from "effect/http"
import { RpcMiddleware, RpcSchema } from "effect/rpc"
import { Internal, InvalidArgument, ResourceExhausted } from "../schema/Errors.ts"
import { Namespace } from "../schema/Ids.ts"
import { CurrentNamespace } from "../services/CurrentNamespace.ts"
import { Admission } from "./Admission.ts"

export const namespaceHeader = "berth-namespace"

const decodeNamespace = Schema.decodeUnknownEffect(Namespace)

export class Session extends RpcMiddleware.Service<Session>()("berth/rpc/Session", {
  error: Schema.Union([InvalidArgument, Internal, ResourceExhausted]),
  requiredForClient: true
}) {
  static readonly layer = Layer.effect(
    Session,
    Effect.map(
      Admission,
      ({ admit }) =>
        (effect, { client, headers, rpc }) =>
          Effect.gen(function* () {
            const header = Headers.get(headers, namespaceHeader)
            const namespace = Option.isNone(header)
              ? Namespace.make("default")
              : yield* decodeNamespace(header.value).pipe(
                  Effect.mapError((error) => new InvalidArgument({ field: "namespace", problem: error.message }))
                )
            return yield* Effect.provideService(effect, CurrentNamespace, namespace)
          }).pipe(
            Effect.catchCauseIf(Cause.hasDies, (cause) =>
              Effect.gen(function* () {
                const reference = (yield* Random.nextIntBetween(0x10000000, 0xffffffff)).toString(16)
                yield* Effect.logError(`defect ${reference} in ${rpc._tag}`, cause)
                return yield* new Internal({ reference })
              })
            ),
            admit(client, RpcSchema.isStreamSchema(rpc.successSchema) ? "stream" : "call")
          )
    )
  )

  static readonly layerClient = RpcMiddleware.layerClient(Session, ({ next, request }) =>
    Effect.flatMap(CurrentNamespace, (namespace) =>
      next({ ...request, headers: Headers.set(request.headers, namespaceHeader, namespace) })
    )
  )
}
