/** Thousands of random sequences of operations on the pretended machine agree with the model. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { BerthTest } from "../../src/testing.ts"
import { allCells, play } from "../suites/model.ts"
import { untilDone } from "../support/testTime.ts"

const batches = 40
const size = 50
const length = 40
const seen = new Set<string>()

for (let batch = 0; batch < batches; batch++) {
  const freezer = batch % 2 === 0 ? "v1" : "v2"
  it.effect(`sequences ${batch * size} to ${(batch + 1) * size - 1}, freezer ${freezer}`, () =>
    Effect.gen(function* () {
      for (let seed = batch * size; seed < (batch + 1) * size; seed++) {
        for (const cell of yield* untilDone(play(seed, length, "/rootfs"))) seen.add(cell)
      }
    }).pipe(Effect.provide(BerthTest.layer({ freezer })))
  )
}

it("they come to every operation in every state", () => {
  assert.deepStrictEqual(
    allCells.filter((cell) => !seen.has(cell)),
    []
  )
})
