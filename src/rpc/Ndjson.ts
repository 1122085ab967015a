/**
 * Newline-delimited JSON as Effect has it, but for two things: what cannot be read is answered without what the parser thinks of it, and the last line of a body
 * needs no end, so that a request made by hand is not silently ignored.
 */
import { Layer } from "effect"
import { RpcMessage, RpcSerialization } from "effect/rpc"

const unreadable = RpcMessage.ResponseDefectEncoded("the message cannot be read")

const isDefect = (message: unknown) =>
  typeof message === "object" && message !== null && "_tag" in message && message._tag === "Defect"

/** No text of a defect passes. */
const seal = (message: unknown): unknown => {
  if (Array.isArray(message)) return message.map(seal)
  return isDefect(message) ? unreadable : message
}

const make = (maxBufferSize: number, toLines: (data: Uint8Array | string) => Uint8Array | string) => {
  const inner = RpcSerialization.makeNdjson({ maxBufferSize })
  return RpcSerialization.RpcSerialization.of({
    ...inner,
    makeUnsafe: () => {
      const parser = inner.makeUnsafe()
      return { decode: (data) => parser.decode(toLines(data)), encode: (message) => parser.encode(seal(message)) }
    }
  })
}

/** For connections, where a message may come in pieces; together they have at most so many bytes. */
export const layer = (maxBytes: number) =>
  Layer.sync(RpcSerialization.RpcSerialization, () => make(maxBytes, (data) => data))

/** For bodies, which come whole. */
export const layerBody = (maxBytes: number) =>
  Layer.sync(RpcSerialization.RpcSerialization, () =>
    make(maxBytes + 1, (data) => `${typeof data === "string" ? data : new TextDecoder().decode(data)}\n`)
  )
