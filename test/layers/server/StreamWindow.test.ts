import { assert, describe, it } from "@effect/vitest"
import * as StreamWindow from "../../../src/layers/server/StreamWindow.ts"

describe("StreamWindow", () => {
  it("lets so many pieces go ahead, then one for each that was taken", () => {
    const { acknowledged, sent } = StreamWindow.make(3, new Set([1]))
    assert.deepStrictEqual([sent(1, "a"), sent(1, "a"), sent(1, "a")], [true, true, false])
    // The first acknowledgement is awaited; the next ones only make room.
    assert.isTrue(acknowledged(1, "a"))
    assert.isFalse(sent(1, "a"))
    assert.isTrue(acknowledged(1, "a"))
    assert.isFalse(acknowledged(1, "a"))
    assert.deepStrictEqual([sent(1, "a"), sent(1, "a")], [true, false])
  })

  it("counts each stream of each client for itself, and begins anew with an id that is used again", () => {
    const { acknowledged, ended, sent } = StreamWindow.make(2, new Set([1, 2]))
    assert.deepStrictEqual([sent(1, "a"), sent(1, "b"), sent(2, "a")], [true, true, true])
    assert.deepStrictEqual([sent(1, "a"), sent(1, "b"), sent(2, "a")], [false, false, false])
    ended(1, "a")
    // One that comes late finds no stream here: whoever is behind knows what to make of it.
    assert.isTrue(acknowledged(1, "a"))
    assert.deepStrictEqual([sent(1, "a"), sent(1, "a")], [true, false])
    assert.isTrue(acknowledged(2, "a"))
  })

  it("knows which streams it counts", () => {
    const { counts, ended, sent } = StreamWindow.make(2, new Set([1]))
    assert.isFalse(counts(1, "a"))
    sent(1, "a")
    assert.deepStrictEqual([counts(1, "a"), counts(1, "b"), counts(2, "a")], [true, false, false])
    ended(1, "a")
    assert.isFalse(counts(1, "a"))
  })

  it("is not made wider by who acknowledges what was never sent", () => {
    const { acknowledged, sent } = StreamWindow.make(2, new Set([1]))
    assert.isTrue(sent(1, "a"))
    for (let i = 0; i < 10; i++) acknowledged(1, "a")
    assert.deepStrictEqual([sent(1, "a"), sent(1, "a")], [true, false])
  })

  it("forgets clients that have gone", () => {
    const connected = new Set([1])
    const { sent } = StreamWindow.make(2, connected)
    assert.deepStrictEqual([sent(1, "a"), sent(1, "a")], [true, false])
    connected.delete(1)
    assert.isFalse(sent(1, "a"))
    connected.add(2)
    assert.isTrue(sent(2, "a"))
    connected.add(1)
    assert.isTrue(sent(1, "a"))
  })
})
