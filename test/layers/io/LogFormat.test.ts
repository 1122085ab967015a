import { assert, describe, it } from "@effect/vitest"
import { DateTime, Schema } from "effect"
import * as ByteBatch from "../../../src/layers/io/ByteBatch.ts"
import { addLost, decode, makeEncoder } from "../../../src/layers/io/LogFormat.ts"

const time = "2026-03-04T05:06:07.008Z"

/** The lines of a log after these pieces of output, each a read of its own. */
const logOf = (pieces: ReadonlyArray<Uint8Array>): Array<string> => {
  const batch = ByteBatch.make()
  const encoder = makeEncoder("stdout")
  for (const piece of pieces) encoder.add(batch, time, piece)
  encoder.end(batch, time)
  const lines = batch.bytes.toString("utf8", 0, batch.length).split("\n")
  assert.strictEqual(lines.pop(), "")
  return lines
}
const outputOf = (lines: ReadonlyArray<string>): Buffer =>
  Buffer.concat(lines.map((line) => decode(line)?.bytes ?? assert.fail(`not a record: ${line}`)))
// In text, quotes are escaped.
const isPartial = (line: string) => line.includes(',"p":true,"')
const isBase64 = (line: string) => line.includes(',"b":"')
const bytes = (text: string) => new TextEncoder().encode(text)
const record = (fields: object) => JSON.stringify({ t: time, s: "stdout", ...fields })

/** What output is made of, picked by the generator; the last five are not text. */
const atoms = Array.from('aZ \n\n\t\r\u0007\u001b"\\/\u007fé漢字\ufeff\u2028😀', (text) => Buffer.from(text))
const garbage = [[0], [0xff], [0xe6, 0xbc], [0x80], [0xf0, 0x9f, 0x98]].map((list) => Buffer.from(list))

const picks = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 })))
const made = (from: ReadonlyArray<Buffer>, choice: ReadonlyArray<number>) =>
  Buffer.concat(choice.map((n) => from[n % from.length] ?? Buffer.alloc(0)))
/** The same bytes in pieces of these lengths, over and over. */
const cut = (whole: Buffer, lengths: ReadonlyArray<number>): Array<Buffer> => {
  const pieces: Array<Buffer> = []
  for (let from = 0, i = 0; from < whole.length; i++) {
    const length = ((lengths[i % Math.max(lengths.length, 1)] ?? 7) % 13) + 1
    pieces.push(whole.subarray(from, from + length))
    from += length
  }
  return pieces
}

describe("LogFormat", () => {
  it.prop(
    "gives back any bytes in any pieces",
    { choice: picks, lengths: picks, often: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 400 })) },
    ({ choice, lengths, often }) => {
      const whole = Buffer.concat(Array<Buffer>(often).fill(made([...atoms, ...garbage], choice)))
      for (const pieces of [cut(whole, lengths), [whole]]) {
        const lines = logOf(pieces)
        assert.isTrue(outputOf(lines).equals(whole))
        for (const line of lines) {
          assert.doesNotThrow(() => JSON.parse(line))
          assert.strictEqual(isPartial(line), decode(line)?.bytes.at(-1) !== 10)
        }
      }
    },
    { arbitrary: { runs: 200 } }
  )

  it.prop(
    "keeps text as text, wherever a read tears it",
    { choice: picks, lengths: picks },
    ({ choice, lengths }) => {
      const whole = Buffer.from(made(atoms, choice).toString())
      const lines = logOf(cut(whole, lengths))
      assert.isFalse(lines.some(isBase64))
      assert.isTrue(outputOf(lines).equals(whole))
    },
    { arbitrary: { runs: 200 } }
  )

  it("writes a record a line for what comes slowly, and marks what has no newline", () => {
    assert.deepStrictEqual(logOf([bytes("one\ntwo\nthr"), bytes("ee\n\n")]), [
      record({ d: "one\n" }),
      record({ d: "two\n" }),
      record({ p: true, d: "thr" }),
      record({ d: "ee\n" }),
      record({ d: "\n" })
    ])
  })

  it("writes one record for a large piece", () => {
    const lines = logOf([bytes("yes\n".repeat(16 * 1024))])
    assert.deepStrictEqual(lines, [record({ d: "yes\n".repeat(16 * 1024) })])
  })

  it("writes base64 for what is not text", () => {
    assert.deepStrictEqual(logOf([Buffer.from([0xff, 0xfe, 10])]), [record({ b: "//4K" })])
    assert.deepStrictEqual(logOf([Buffer.from([97, 0])]), [record({ p: true, b: "YQA=" })])
  })

  it("writes what never became a character when the stream ends", () => {
    assert.deepStrictEqual(logOf([Buffer.from([97, 0xe6, 0xbc])]), [
      record({ p: true, d: "a" }),
      record({ p: true, b: "5rw=" })
    ])
  })

  it("reads time and stream, and lost output as a line that says so", () => {
    const batch = ByteBatch.make()
    addLost(batch, time, "stderr", 4711)
    const chunk = decode(batch.bytes.toString("utf8", 0, batch.length).trim())
    assert.strictEqual(chunk?.stream, "stderr")
    assert.strictEqual(chunk === null ? "" : DateTime.formatIso(chunk.at), time)
    assert.match(Buffer.from(chunk?.bytes ?? []).toString(), /4711 bytes of output were lost.*\n$/)
  })

  it("refuses what is not a record", () => {
    const bad = ["", "{", "null", "[]", "7", `{"t":"${time}","s":"stdout"}`, `{"t":"${time}","s":"stdlog","d":""}`]
    for (const line of [...bad, `{"t":"yesterday","s":"stdout","d":"a"}`, `{"s":"stdout","d":"a"}`]) {
      assert.isNull(decode(line), line)
    }
  })
})
