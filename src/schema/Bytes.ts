/**
 * Bytes as base64, in JSON. The same codec as Effect's, with the same refusals, but by the platform's own code where there is some: output goes through it by the
 * gigabyte, once on either side, and by the character that costs more than all the rest of its way.
 */
import { Effect, Schema, SchemaGetter, SchemaIssue } from "effect"
import { Base64 } from "effect/encoding"

/** Below that a call of native code gains nothing. */
const worthwhile = 256

const platform = typeof globalThis.Buffer === "function" ? globalThis.Buffer : null

const encode = (bytes: Uint8Array): string =>
  platform === null || bytes.length < worthwhile
    ? Base64.encode(bytes)
    : platform.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")

/** The platform takes a character beyond ASCII for its lower byte. */
const isAscii = (text: string) => /^[ -~]*$/.test(text)

/** `null` where this has to be looked at by character: the platform skips over what is not base64, and takes another alphabet too. */
const decodeNatively = (text: string): Uint8Array | null => {
  if (platform === null || text.length < worthwhile || text.length % 4 !== 0) return null
  if (text.includes("-") || text.includes("_") || !isAscii(text)) return null
  const decoded = platform.from(text, "base64")
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0
  if (decoded.length !== (text.length / 4) * 3 - padding) return null
  return new Uint8Array(decoded.buffer, decoded.byteOffset, decoded.length)
}

const decode = SchemaGetter.transformEffect((text: string, options) => {
  const bytes = decodeNatively(text)
  if (bytes !== null) return Effect.succeed(bytes)
  return Effect.mapError(
    Effect.fromResult(Base64.decode(text)),
    () => new SchemaIssue.InvalidValue({ expected: "a valid Base64 string" }, text, options)
  )
})

/** Bytes that are base64 where they are JSON. */
export const Bytes = Schema.String.annotate({
  expected: "a base64 encoded string that will be decoded as Uint8Array",
  format: "byte",
  contentEncoding: "base64"
}).pipe(Schema.decodeTo(Schema.Uint8Array, { decode, encode: SchemaGetter.transform(encode) }))
