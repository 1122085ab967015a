/**
 * JSON-RPC 2.0 as other languages expect it: `error` is `{ code, message, data }` with our typed error as `data`. The codes are those of the standard where
 * it has one, else -32000. A JSON-RPC response is one document, so a stream answers when it has ended, with all its items in one array; one that never ends is
 * for the other two protocols.
 */
import { Layer, Option, Schema } from "effect"
import { RpcSerialization } from "effect/rpc"
import { BerthError } from "../schema/Errors.ts"

const codes: { readonly [K in BerthError["_tag"]]?: number } = { InvalidArgument: -32602, Internal: -32603 }

const decodeError = Schema.decodeUnknownOption(BerthError)

const Failure = Schema.Struct({
  jsonrpc: Schema.Literal("2.0"),
  id: Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.String, Schema.Finite]))),
  error: Schema.Struct({ _tag: Schema.Literals(["Cause", "Defect"]), data: Schema.optionalKey(Schema.Unknown) })
})
const Failures = Schema.Array(Schema.TaggedStruct("Fail", { error: Schema.Unknown }))
const decodeFailure = Schema.decodeUnknownOption(Failure)
const decodeFailures = Schema.decodeUnknownOption(Failures)

const decodeChunk = Schema.decodeUnknownOption(
  Schema.Struct({ chunk: Schema.Literal(true), id: Schema.Unknown, result: Schema.Array(Schema.Unknown) })
)
const decodeEnd = Schema.decodeUnknownOption(Schema.Struct({ id: Schema.Unknown, result: Schema.Unknown }))

/** The chunks of each stream of a batch go into the response that ends it. */
const gather = (documents: ReadonlyArray<unknown>): ReadonlyArray<unknown> => {
  const streams = new Map<unknown, Array<unknown>>()
  return documents.flatMap((document) => {
    const chunk = decodeChunk(document)
    if (Option.isNone(chunk)) {
      const end = decodeEnd(document)
      const items = Option.isSome(end) ? streams.get(end.value.id) : undefined
      return [items === undefined || Option.isNone(end) ? document : { jsonrpc: "2.0", id: end.value.id, result: items }]
    }
    const { id, result } = chunk.value
    streams.set(id, [...(streams.get(id) ?? []), ...result])
    return []
  })
}

const translate = (document: unknown): unknown => {
  if (Array.isArray(document)) {
    const responses = gather(document).map(translate)
    // One request that streamed: its chunks came as if they were a batch.
    return responses.length === 1 && responses.length < document.length ? responses[0] : responses
  }
  const failure = decodeFailure(document)
  if (Option.isNone(failure)) return document
  const { error, id } = failure.value
  if (error._tag === "Defect") {
    return { jsonrpc: "2.0", id: null, error: { code: -32700, message: "the request is not JSON-RPC 2.0" } }
  }
  const typed = Option.flatMap(decodeFailures(error.data), ([first]) => decodeError(first?.error))
  if (Option.isNone(typed)) {
    return { jsonrpc: "2.0", id: id ?? null, error: { code: -32603, message: "internal error" } }
  }
  const { _tag, message } = typed.value
  const code = _tag === "NotFound" && typed.value.kind === "method" ? -32601 : (codes[_tag] ?? -32000)
  return {
    jsonrpc: "2.0",
    id: id ?? null,
    error: { code, message, data: Schema.encodeSync(BerthError)(typed.value) }
  }
}

/** Effect's JSON-RPC with its error form replaced. */
export const layer = Layer.sync(RpcSerialization.RpcSerialization, () => {
  const inner = RpcSerialization.jsonRpc({ controlMessages: false })
  return RpcSerialization.RpcSerialization.of({
    ...inner,
    makeUnsafe: () => {
      const parser = inner.makeUnsafe()
      return {
        decode: parser.decode,
        encode: (response) => {
          const text = parser.encode(response)
          return typeof text === "string" ? JSON.stringify(translate(JSON.parse(text))) : text
        }
      }
    }
  })
})
