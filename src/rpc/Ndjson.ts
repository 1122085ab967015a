/**
 * Newline-delimited JSON as Effect has it, but for three things: what cannot be read is answered without what the parser thinks of it, the last line of a body
 * needs no end, so that a request made by hand is not silently ignored, and output is not looked at again for what JSON would escape in it.
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

/** From so many characters on it is worth while. */
const long = 256

/** `bytes` of what a stream gives is base64 everywhere in the contract, which a test holds it to. */
const toJson = (value: unknown): string => {
  if (typeof value !== "object" || value === null || !("bytes" in value)) return JSON.stringify(value)
  const { bytes, ...rest } = value
  if (typeof bytes !== "string" || bytes.length < long) return JSON.stringify(value)
  const others = JSON.stringify(rest).slice(1, -1)
  return `{${others}${others === "" ? "" : ","}"bytes":"${bytes}"}`
}

/** A piece of a stream as its line; `null` where the message is something else. */
const chunkLine = (message: unknown): string | null => {
  if (typeof message !== "object" || message === null || !("_tag" in message) || message._tag !== "Chunk") return null
  if (!("values" in message) || !Array.isArray(message.values)) return null
  const { values, ...rest } = message
  return `${JSON.stringify(rest).slice(0, -1)},"values":[${values.map(toJson).join(",")}]}\n`
}

const make = (maxBufferSize: number, toLines: (data: Uint8Array | string) => Uint8Array | string) => {
  const inner = RpcSerialization.makeNdjson({ maxBufferSize })
  return RpcSerialization.RpcSerialization.of({
    ...inner,
    makeUnsafe: () => {
      const parser = inner.makeUnsafe()
      return {
        decode: (data) => parser.decode(toLines(data)),
        encode: (message) => chunkLine(message) ?? parser.encode(seal(message))
      }
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
