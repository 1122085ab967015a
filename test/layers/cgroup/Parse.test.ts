import { assert, describe, it } from "@effect/vitest"
import * as Network from "../../../src/layers/cgroup/Network.ts"
import { amount, field, finite } from "../../../src/layers/cgroup/Parse.ts"

describe("Parse", () => {
  for (const [text, value] of [
    ["123\n", 123],
    ["0\n", 0],
    ["max\n", Infinity],
    ["9223372036854771712\n", Infinity],
    ["18446744073709551615\n", Infinity],
    ["-4096\n", 0],
    ["", null],
    ["none\n", null],
    [null, null]
  ] as const) {
    it(`reads ${JSON.stringify(text)} as ${value}`, () => assert.strictEqual(amount(text), value))
  }

  it("finds a key at the start, in the middle and at the end, and no part of another one", () => {
    const text = "oom 1\noom_kill 2\ntotal_oom 3\nlast 4"
    assert.deepStrictEqual(
      ["oom", "oom_kill", "total_oom", "last", "kill", "oom_"].map((key) => field(text, key)),
      [1, 2, 3, 4, null, null]
    )
  })

  it("takes no limit for no value", () => {
    assert.deepStrictEqual([finite(5), finite(Infinity), finite(null)], [5, null, null])
  })

  it("reads an interface whose name holds a colon, and counters that touch it", () => {
    const text = "head|\n face |x\n eth0:1:123456789 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
    assert.deepStrictEqual(Network.parse(Buffer.from(text), text.length), [
      {
        interface: "eth0:1",
        rxBytes: 123456789,
        rxPackets: 2,
        rxErrors: 3,
        rxDropped: 4,
        txBytes: 9,
        txPackets: 10,
        txErrors: 11,
        txDropped: 12
      }
    ])
  })
})
