import { assert, describe, it } from "@effect/vitest"
import * as Bytes from "../../../src/layers/cgroup/Bytes.ts"

/** With something of an earlier read behind it. */
const of = <A>(parse: Bytes.Parse<A>, text: string): A => parse(Buffer.from(`${text}7 max stale\n`), text.length)

describe("Bytes", () => {
  for (const [text, value] of [
    ["123\n", 123],
    ["0", 0],
    ["max\n", Infinity],
    ["123456789012345\n", 123_456_789_012_345],
    // Not what adding up its digits one by one would give.
    ["3939393939393939393\n", 3_939_393_939_393_939_500],
    ["9223372036854771712\n", Infinity],
    ["-4096\n", 0],
    ["\n", null],
    ["", null],
    ["none\n", null],
    ["12x\n", null]
  ] as const) {
    it(`reads ${JSON.stringify(text)} as ${value}`, () => assert.strictEqual(of(Bytes.amount, text), value))
  }

  it("finds keys at the start, in the middle and at the end, in any order, and no part of another one", () => {
    const parse = Bytes.fields("last", "oom", "oom_kill", "kill", "oom_", "total:")
    assert.deepStrictEqual(of(parse, "oom 1\noom_kill 2\nkey\n\ntotal_oom 3\ntotal:   5 kB\nlast 4"), [
      4,
      1,
      2,
      null,
      null,
      5
    ])
    assert.deepStrictEqual(of(parse, ""), [null, null, null, null, null, null])
  })

  it("reads percentages to the last digit, and none where there is none", () => {
    for (const text of ["0.00", "0.07", "9.99", "100.00", "33", ".5"]) {
      assert.strictEqual(
        of((bytes, length) => Bytes.decimal(bytes, 0, length), text),
        Number(text)
      )
    }
    for (const text of ["1.2.3", "x", ""]) {
      assert.strictEqual(
        of((bytes, length) => Bytes.decimal(bytes, 0, length), text),
        0,
        text
      )
    }
  })

  it("finds a value among words, wherever it is", () => {
    const value = (text: string, key: string) =>
      of((bytes, length) => {
        const start = Bytes.valueOf(bytes, 0, length, Buffer.from(key))
        return start === -1 ? null : Bytes.number(bytes, start, Bytes.wordEnd(bytes, start, length))
      }, text)
    const text = "rbytes=1 wbytes=22  rios=333 dios=\t"
    assert.deepStrictEqual(
      ["rbytes", "wbytes", "rios", "bytes", "dios", "total"].map((key) => value(text, key)),
      [1, 22, 333, null, null, null]
    )
  })

  it("passes over blank lines, and sees the last one without its end", () => {
    const lines = of((bytes, length) => {
      const found: Array<string> = []
      Bytes.eachLine(bytes, length, (start, end) => found.push(bytes.toString("utf8", start, end)))
      return found
    }, "\n  a b\n \nlast")
    assert.deepStrictEqual(lines, ["a b", "last"])
  })
})
