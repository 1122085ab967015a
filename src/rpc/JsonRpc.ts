/**
 * JSON-RPC 2.0 as other languages expect it: `error` is `{ code, message, data }` with our typed error as `data`. The codes are those of the standard where
 * it has one, else -32000. A JSON-RPC response is one document, so a stream answers when it has ended, with all its items in one array; one that is followed
 * could wait for ever, and is refused: it is for the other two protocols.
 */
import { Data, Layer, Option, Schema } from "effect"
import { RpcSchema, RpcSerialization } from "effect/rpc"
import { BerthError, InvalidArgument } from "../schema/Errors.ts"
import { BerthRpc } from "./BerthRpc.ts"

const codes: { readonly [K in BerthError["_tag"]]?: number } = { InvalidArgument: -32602, Internal: -32603 }

const decodeError = Schema.decodeUnknownOption(BerthError)
const encodeError = Schema.encodeSync(BerthError)

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
const decodeWithId = Schema.decodeUnknownOption(Schema.Struct({ id: Schema.Unknown }))

const Request = Schema.Struct({
  id: Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.String, Schema.Finite]))),
  method: Schema.String,
  params: Schema.optionalKey(Schema.Unknown),
  headers: Schema.optionalKey(Schema.Array(Schema.Tuple([Schema.String, Schema.String])))
})
const decodeRequests = Schema.decodeUnknownOption(Schema.NonEmptyArray(Request))
const follows = Schema.is(Schema.Struct({ follow: Schema.Literal(true) }))
const decodeText = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/** JSON, but not what JSON-RPC calls a request or a batch of them. */
class NotARequest extends Data.TaggedError("NotARequest")<{}> {}
class NotJson extends Data.TaggedError("NotJson")<{}> {}
/** A stream that is to be followed; the message is the id of its request, as JSON. */
class Followed extends Data.TaggedError("Followed")<{ readonly message: string }> {}

const decodeRefusal = Schema.decodeUnknownOption(
  Schema.Struct({ name: Schema.Literals(["NotARequest", "NotJson", "Followed"]), message: Schema.String })
)
const decodeId = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.NullOr(Schema.Union([Schema.String, Schema.Finite])))
)
const followed = new InvalidArgument({
  field: "params.follow",
  problem: "a JSON-RPC response cannot go on; leave it out, or use /rpc, where items come one by one"
})

type Id = string | number

/** The items of each stream that was asked for, by the id of its request. */
type Streams = Map<unknown, Array<unknown>>

const isStream = (method: string): boolean => {
  const rpc = BerthRpc.requests.get(method)
  return rpc !== undefined && RpcSchema.isStreamSchema(rpc.successSchema)
}

/** The requests of a body. Nothing of it is carried out where any of them is wrong, or two have one id, for only one of those would be answered. */
const check = (text: string): ReadonlyArray<typeof Request.Type> => {
  const document = decodeText(text)
  if (Option.isNone(document)) throw new NotJson()
  const requests = decodeRequests(Array.isArray(document.value) ? document.value : [document.value])
  if (Option.isNone(requests)) throw new NotARequest()
  const ids = requests.value.flatMap(({ id }) => (id === undefined ? [] : [id ?? ""]))
  if (new Set(ids).size < ids.length) throw new NotARequest()
  const endless = requests.value.find(({ method, params }) => isStream(method) && follows(params))
  if (endless !== undefined) throw new Followed({ message: JSON.stringify(endless.id ?? null) })
  return requests.value
}

/** The chunks of each stream go into the response that ends it. */
const gather = (streams: Streams, documents: ReadonlyArray<unknown>): ReadonlyArray<unknown> =>
  documents.flatMap((document) => {
    const chunk = decodeChunk(document)
    if (Option.isSome(chunk)) {
      const { id, result } = chunk.value
      streams.set(id, [...(streams.get(id) ?? []), ...result])
      return []
    }
    const end = decodeEnd(document)
    const items = Option.isSome(end) ? streams.get(end.value.id) : undefined
    return [items === undefined || Option.isNone(end) ? document : { jsonrpc: "2.0", id: end.value.id, result: items }]
  })

const failure = (id: Id | null, code: number, message: string, data?: unknown) => ({
  jsonrpc: "2.0",
  id,
  error: { code, message, ...(data === undefined ? {} : { data }) }
})

/** Every other response as it is, an error in the form of the standard. */
const translate = (document: unknown): unknown => {
  const found = decodeFailure(document)
  if (Option.isNone(found)) return document
  const { error, id = null } = found.value
  if (error._tag === "Defect") {
    const why = Option.getOrUndefined(decodeRefusal(error.data))
    if (why === undefined) return failure(null, -32603, "internal error")
    if (why.name === "Followed") {
      const id = Option.getOrNull(decodeId(why.message))
      return failure(id, -32602, followed.message, encodeError(followed))
    }
    return why.name === "NotJson"
      ? failure(null, -32700, "the request is not JSON-RPC 2.0")
      : failure(null, -32600, "neither a request nor a batch of them, each with an id of its own")
  }
  const typed = Option.flatMap(decodeFailures(error.data), ([first]) => decodeError(first?.error))
  if (Option.isNone(typed)) return failure(id, -32603, "internal error")
  const { _tag, message } = typed.value
  const code = _tag === "NotFound" && typed.value.kind === "method" ? -32601 : (codes[_tag] ?? -32000)
  return failure(id, code, message, encodeError(typed.value))
}

/** Effect's JSON-RPC, strict in what it takes, with its error form and its streams replaced. */
export const layer = Layer.sync(RpcSerialization.RpcSerialization, () => {
  const inner = RpcSerialization.jsonRpc({ controlMessages: false })
  return RpcSerialization.RpcSerialization.of({
    ...inner,
    makeUnsafe: () => {
      const parser = inner.makeUnsafe()
      const streams: Streams = new Map()
      let batch = false
      /** Effect makes it an empty text. */
      let nullId = false
      const withId = (response: unknown) =>
        nullId && Option.exists(decodeWithId(response), ({ id }) => id === "")
          ? Object.assign({}, response, { id: null })
          : response
      return {
        decode: (data) => {
          const text = typeof data === "string" ? data : new TextDecoder().decode(data)
          const requests = check(text)
          for (const { id, method } of requests) if (isStream(method)) streams.set(id ?? "", [])
          nullId = requests.some(({ id }) => id === null)
          batch = /^\s*\[/.test(text)
          return parser.decode(text)
        },
        encode: (response) => {
          const text = parser.encode(response)
          if (typeof text !== "string") return text
          const document: unknown = JSON.parse(text)
          const responses = gather(streams, Array.isArray(document) ? document : [document]).map((each) =>
            withId(translate(each))
          )
          const [first] = responses
          if (first === undefined) return undefined
          return JSON.stringify(batch ? responses : first)
        }
      }
    }
  })
})
