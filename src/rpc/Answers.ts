/**
 * The last gate of every RPC protocol: whatever the machinery beneath the handlers would answer as a defect becomes a typed error, so that no stack, path or
 * parser text that names our insides leaves the server. Handlers' own defects are caught before (`Session.ts`); left are requests that cannot be decoded,
 * methods that do not exist, and calls that a shutdown cut off.
 */
import { Effect, Layer, Schema } from "effect"
import type { RpcMessage } from "effect/rpc"
import { RpcServer } from "effect/rpc"
import { BerthError, Internal, InvalidArgument, NotFound, Unavailable } from "../schema/Errors.ts"

const encodeError = Schema.encodeSync(BerthError)
const unknownMethod = "Unknown request tag: "

const fromDefect = (defect: unknown): BerthError => {
  if (typeof defect !== "string") return new Internal({ reference: "request" })
  return defect.startsWith(unknownMethod)
    ? new NotFound({ kind: "method", id: defect.slice(unknownMethod.length) })
    : new InvalidArgument({ field: "params", problem: defect.replaceAll(/\s+/g, " ") })
}

type Cause = Extract<RpcMessage.ResponseExitEncoded["exit"], { _tag: "Failure" }>["cause"]

/** The typed error that stands for an encoded cause without one. */
const substitute = (cause: Cause): BerthError => {
  const die = cause.find((reason) => reason._tag === "Die")
  return die === undefined
    ? new Unavailable({ what: "daemon", problem: "the call was cut off", mend: "try again" })
    : fromDefect(die.defect)
}

export const scrub = (response: RpcMessage.FromServerEncoded): RpcMessage.FromServerEncoded => {
  if (response._tag !== "Exit" || response.exit._tag === "Success") return response
  const { cause } = response.exit
  // A typed error may come with defects of whatever was cleaned up after it.
  const typed = cause.find((reason) => reason._tag === "Fail")
  const only = typed ?? { _tag: "Fail" as const, error: encodeError(substitute(cause)) }
  return { ...response, exit: { _tag: "Failure", cause: [only] } }
}

/** Puts the gate before a protocol. */
export const scrubbed = <E, R>(
  protocol: Layer.Layer<RpcServer.Protocol, E, R>
): Layer.Layer<RpcServer.Protocol, E, R> =>
  Layer.effect(
    RpcServer.Protocol,
    Effect.map(RpcServer.Protocol, (inner) =>
      RpcServer.Protocol.of({
        ...inner,
        send: (clientId, response, transferables) => inner.send(clientId, scrub(response), transferables)
      })
    )
  ).pipe(Layer.provide(protocol))
