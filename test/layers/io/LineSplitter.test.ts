import { assert, describe, it } from "@effect/vitest"
import * as LineSplitter from "../../../src/layers/io/LineSplitter.ts"

describe("LineSplitter", () => {
  it("puts lines together that blocks have torn, and reuses the block", () => {
    const splitter = LineSplitter.make()
    const block = Buffer.alloc(4)
    const lines = ["a\nbc", "d\ne", "", "é\n"].flatMap((text) => {
      const length = block.write(text)
      return splitter.add(block.subarray(0, length))
    })
    assert.deepStrictEqual(lines, ["a", "bcd", "eé"])
    assert.strictEqual(splitter.rest(), "")
    splitter.add(Buffer.from("end"))
    assert.strictEqual(splitter.rest(), "end")
    assert.strictEqual(splitter.rest(), "")
  })

  it("drops a line that cannot be a record, and only that", () => {
    const splitter = LineSplitter.make()
    for (let i = 0; i < 20; i++) assert.deepStrictEqual(splitter.add(Buffer.alloc(64 * 1024, "x")), [])
    assert.deepStrictEqual(splitter.add(Buffer.from("x\nnext\n")), ["", "next"])
  })
})
