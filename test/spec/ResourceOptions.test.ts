import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { Resources } from "../../src/schema/Resources.ts"
import { make, ResourceOptions } from "../../src/spec/ResourceOptions.ts"
import { bad, good } from "./support.ts"

describe("ResourceOptions", () => {
  it("writes only what was said", () => {
    assert.deepStrictEqual(good(make({})), {})
    assert.deepStrictEqual(good(make({ memory: 67_108_864 })), { memory: { limit: 67_108_864 } })
    assert.deepStrictEqual(good(make({ cpus: 1.5, cpusetCpus: "0-1,3" })), {
      cpu: { quota: 150_000, period: 100_000, cpus: "0-1,3" }
    })
    assert.deepStrictEqual(
      good(
        make({
          memory: 10,
          memoryReservation: 5,
          memorySwap: 20,
          cpuShares: 512,
          cpusetMems: "0",
          pidsLimit: 7,
          blkioWeight: 300
        })
      ),
      {
        memory: { limit: 10, reservation: 5, swap: 20 },
        cpu: { shares: 512, mems: "0" },
        pids: { limit: 7 },
        blockIO: { weight: 300 }
      }
    )
  })

  it("no limit is -1", () => {
    assert.deepStrictEqual(good(make({ memory: -1, memorySwap: -1, pidsLimit: -1 })), {
      memory: { limit: -1, swap: -1 },
      pids: { limit: -1 }
    })
    assert.deepStrictEqual(good(make({ pidsLimit: 0 })), { pids: { limit: -1 } })
    assert.deepStrictEqual(good(make({ memory: 64, memorySwap: -1 })), { memory: { limit: 64, swap: -1 } })
  })

  it("options win over raw resources and leave the rest of them alone", () => {
    const throttle = [{ major: 8, minor: 0, rate: 1_048_576 }]
    assert.deepStrictEqual(
      good(
        make({
          memory: 64,
          cpus: 2,
          resources: {
            memory: { limit: 1, swappiness: 0 },
            cpu: { shares: 2 },
            blockIO: { throttleReadBpsDevice: throttle },
            unified: { "memory.high": "1" }
          }
        })
      ),
      {
        memory: { limit: 64, swappiness: 0 },
        cpu: { shares: 2, quota: 200_000, period: 100_000 },
        blockIO: { throttleReadBpsDevice: throttle },
        unified: { "memory.high": "1" }
      }
    )
  })

  it("says what is wrong, by the name of the option", () => {
    const cases: ReadonlyArray<readonly [ResourceOptions, string]> = [
      [{ memory: 0 }, "memory: must be positive, or -1 for no limit"],
      [{ memory: -2 }, "memory: must be positive"],
      [{ memorySwap: -2 }, "memorySwap: must be positive"],
      [{ pidsLimit: -2 }, "pidsLimit: must be positive"],
      [{ memory: 20, memorySwap: 10 }, "memory: 20 is more than memorySwap (10)"],
      [{ memory: 20, memoryReservation: 30 }, "memoryReservation: 30 is more than memory (20)"],
      [{ cpus: 0 }, "cpus: must be from 0.01"],
      [{ cpuShares: 1 }, "cpuShares: must be from 2 to 262144"],
      [{ blkioWeight: 1001 }, "blkioWeight: must be from 10 to 1000, got 1001"],
      [{ cpusetCpus: "0-" }, `cpusetCpus: expected a list such as 0-2,4, got "0-"`],
      [{ cpusetMems: "all" }, "cpusetMems: expected a list"]
    ]
    for (const [options, problem] of cases) assert.include(bad(make(options)), problem)
  })

  it.effect.prop("what it makes is what the schema reads", { options: ResourceOptions }, ({ options }) =>
    Effect.gen(function* () {
      const result = make(options)
      if (Result.isFailure(result)) return
      assert.deepStrictEqual(yield* Schema.decodeEffect(Resources)(result.success), result.success)
    })
  )
})
