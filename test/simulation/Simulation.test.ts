/** A fixed set of seeds, whole; that a seed is one story and no other; and that what the simulation is for, it finds. */
import { assert, describe, it } from "@effect/vitest"
import { mutations } from "./Mutations.ts"
import type { Options } from "./Simulation.ts"
import { run } from "./Simulation.ts"

const seeds = (first: number, count: number) => Array.from({ length: count }, (_, index) => first + index)
const faultsOf = (faults: ReadonlyMap<string, number>) =>
  Array.from(faults.values()).reduce((sum, each) => sum + each, 0)

/** Fails with the seed and how to see it happen. */
const holds = (options: Options) => {
  const { faults, steps, violations } = run(options)
  const replay = `npm run sim -- --seed ${options.seed} --store ${options.store ?? "memory"}`
  assert.deepStrictEqual(violations, [], `seed ${options.seed}; to replay it: ${replay}`)
  assert.isAtLeast(steps, 200)
  assert.isAtLeast(faultsOf(faults), 5)
}

describe("whatever is killed, late, lost or full, nothing is lost and everybody is answered", () => {
  it("in memory", { timeout: 180_000 }, () => {
    for (const seed of seeds(1, 120)) holds({ seed })
  })

  it("in SQLite", { timeout: 180_000 }, () => {
    for (const seed of seeds(1000, 20)) holds({ seed, store: "sqlite" })
  })
})

it("is the same story each time a seed is told, and another for another seed", () => {
  for (const store of ["memory", "sqlite"] as const) {
    const { trace } = run({ seed: 7, store })
    assert.deepStrictEqual(run({ seed: 7, store }).trace, trace)
    assert.notDeepEqual(run({ seed: 8, store }).trace, trace)
  }
})

describe("finds it where", () => {
  for (const [name, mutation] of Object.entries(mutations)) {
    it(name, { timeout: 60_000 }, () => {
      const found = seeds(1, 20).some((seed) => run({ seed, mutation }).violations.length > 0)
      assert.isTrue(found, "none of 20 seeds noticed")
    })
  }
})
