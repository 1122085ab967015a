import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { RpcSchema, RpcSerialization } from "effect/rpc"
import { BerthRpc } from "../../src/rpc/BerthRpc.ts"
import * as Ndjson from "../../src/rpc/Ndjson.ts"

const parser = Effect.map(RpcSerialization.RpcSerialization, (serialization) => serialization.makeUnsafe())
const bytes = (text: string) => new TextEncoder().encode(text)
const unreadable = `${JSON.stringify({ _tag: "Defect", defect: "the message cannot be read" })}\n`

describe("of a body", () => {
  const test = (name: string, body: (of: RpcSerialization.Parser) => void) =>
    it.effect(name, () => Effect.map(parser, body).pipe(Effect.provide(Ndjson.layerBody(4096))))

  test("the last line needs no end", ({ decode }) => {
    assert.deepStrictEqual(decode('{"a":1}\n{"b":2}'), [{ a: 1 }, { b: 2 }])
  })
  test("an end does no harm, nor do empty lines, nor those of Windows", ({ decode }) => {
    assert.deepStrictEqual(decode('{"a":1}\r\n\n{"b":2}\r\n'), [{ a: 1 }, { b: 2 }])
  })
  test("bytes are text", ({ decode }) => {
    assert.deepStrictEqual(decode(bytes('"é"')), ["é"])
  })
  test("a line that is not JSON is an error", ({ decode }) => {
    assert.throws(() => decode('{"a":1}\nnot json'))
    assert.throws(() => decode('{"a":'))
  })
})

describe("of a connection", () => {
  const test = (name: string, body: (of: RpcSerialization.Parser) => void) =>
    it.effect(name, () => Effect.map(parser, body).pipe(Effect.provide(Ndjson.layer(65_536))))

  test("a message may come in pieces, in the middle of a character too", ({ decode }) => {
    const [first, second] = [bytes('{"a":"é"}\n').slice(0, 7), bytes('{"a":"é"}\n').slice(7)]
    assert.deepStrictEqual([decode(first), decode(second)], [[], [{ a: "é" }]])
  })
  test("a defect is answered, and nothing of it", ({ encode }) => {
    const defect = { _tag: "Defect", defect: { name: "TypeError", message: "secret", stack: "secret" } }
    assert.strictEqual(encode(defect), unreadable)
    assert.strictEqual(encode([{ _tag: "Pong" }, defect]), `{"_tag":"Pong"}\n${unreadable}`)
  })
  test("output is the same JSON, though nobody looks at each of its characters", ({ decode, encode }) => {
    const bytes = "QUJD".repeat(1000)
    const values = [
      { stream: "stdout", at: "2026-01-02T03:04:05.006Z", bytes },
      { bytes, _tag: "Output", 'qu"ote': ["\n", null] },
      { bytes },
      { bytes: "c2hvcnQ=", more: 1 },
      { bytes: 7 },
      "text",
      null
    ]
    const chunk = { _tag: "Chunk", requestId: 'a"b', values }
    const line = encode(chunk)
    assert.deepStrictEqual(decode(line ?? ""), [chunk])
    assert.deepStrictEqual(encode({ ...chunk, values: [] }), `${JSON.stringify({ ...chunk, values: [] })}\n`)
  })
  test("everything else is as it is", ({ encode }) => {
    const chunk = { _tag: "Chunk", requestId: "1", values: [{ _tag: "Defect", defect: "of a client's own data" }] }
    assert.strictEqual(encode(chunk), `${JSON.stringify(chunk)}\n`)
    assert.strictEqual(encode("Defect"), '"Defect"\n')
  })
})

it("`bytes` of a stream is base64, which is what makes it safe to copy", () => {
  const found: Array<unknown> = []
  const walk = (schema: unknown): void => {
    if (typeof schema !== "object" || schema === null) return
    for (const [key, value] of Object.entries(schema)) {
      if (key === "properties" && typeof value === "object" && value !== null && "bytes" in value)
        found.push(value.bytes)
      walk(value)
    }
  }
  for (const rpc of BerthRpc.requests.values()) {
    if (RpcSchema.isStreamSchema(rpc.successSchema)) walk(Schema.toJsonSchemaDocument(rpc.successSchema.success))
  }
  assert.isAtLeast(found.length, 2)
  for (const each of found) assert.deepInclude(each, { type: "string", contentEncoding: "base64" })
})
