/** Our base64 is Effect's, whatever the size: the same text, the same bytes, the same refusals. */
import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import { Bytes } from "../../src/schema/Bytes.ts"

const ours = { encode: Schema.encodeSync(Bytes), decode: Schema.decodeUnknownOption(Bytes) }
const theirs = {
  encode: Schema.encodeSync(Schema.Uint8ArrayFromBase64),
  decode: Schema.decodeUnknownOption(Schema.Uint8ArrayFromBase64)
}
const sizes = [0, 1, 2, 3, 100, 255, 256, 257, 1000, 1001, 1002, 70_000]
const some = (size: number) => Uint8Array.from({ length: size }, (_, index) => (index * 7 + (index >> 8)) & 255)

describe("Bytes", () => {
  it("is the same text and back", () => {
    for (const size of sizes) {
      const text = theirs.encode(some(size))
      assert.strictEqual(ours.encode(some(size)), text)
      assert.deepStrictEqual(ours.decode(text), Option.some(some(size)))
      // A part of something larger is that part alone.
      assert.strictEqual(
        ours.encode(some(size + 10).subarray(5, size + 5)),
        theirs.encode(some(size + 10).slice(5, size + 5))
      )
    }
  })

  it("refuses and takes what Effect's does", () => {
    const text = theirs.encode(some(999))
    const at = (place: number, piece: string) => text.slice(0, place) + piece + text.slice(place + piece.length)
    const strange = [
      ...["*", "-", "_", " ", "=", "é", "\u{1F600}", "\0"].map((piece) => at(500, piece)),
      `\u0141${"A".repeat(399)}`,
      ...["===", "====", "A", "=A", "\n"].map((piece) => text + piece),
      ...["=", "==", "===", "-=", "_A=="].map((piece) => at(text.length - piece.length, piece)),
      `${text.slice(0, 600)}\r\n${text.slice(600)}`,
      `${text.slice(0, 600)}\n \n\n${text.slice(600)}`,
      text.slice(1)
    ]
    for (const each of strange) assert.deepStrictEqual(ours.decode(each), theirs.decode(each), each.slice(480))
    assert.isTrue(Option.isNone(ours.decode(at(500, "*"))))
    assert.deepStrictEqual(ours.decode(7), Option.none())
  })
})
