import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { stringify } from "../../src/schema/OciJson.ts"
import { Resources } from "../../src/schema/Resources.ts"
import { plainKeys } from "../support/plainKeys.ts"

const full = {
  devices: [{ allow: false, access: "rwm", future: 1 }],
  memory: {
    limit: 67_108_864,
    reservation: 1,
    swap: -1,
    kernel: 1,
    kernelTCP: 1,
    swappiness: 60,
    disableOOMKiller: false,
    future: [1]
  },
  cpu: { shares: 512, quota: 150_000, burst: 0, period: 100_000, cpus: "0-1", mems: "0", idle: 1, future: {} },
  pids: { limit: 100, future: null },
  blockIO: {
    weight: 500,
    weightDevice: [{ major: 8, minor: 0, weight: 10 }],
    throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1024, future: "x" }],
    throttleWriteBpsDevice: [{ major: 8, minor: 0, rate: 1024 }],
    throttleReadIOPSDevice: [{ major: 8, minor: 0, rate: 10 }],
    throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 10 }]
  },
  hugepageLimits: [{ pageSize: "2MB", limit: 9_223_372_036_854_771_712 }],
  network: { classID: 1, priorities: [{ name: "eth0", priority: 1 }] },
  rdma: { mlx5_1: { hcaHandles: 3 } },
  unified: { "memory.high": "1g" },
  future: { nested: true }
}

describe("Resources", () => {
  it.effect("keeps every key at every level, known or not", () =>
    Effect.gen(function* () {
      const decoded = yield* Schema.decodeEffect(Resources)(full)
      assert.deepStrictEqual<unknown>(decoded, full)
      assert.deepStrictEqual<unknown>(yield* Schema.encodeEffect(Resources)(decoded), full)
    })
  )

  it.effect("says where a value of the wrong shape is", () =>
    Effect.gen(function* () {
      const decode = Schema.decodeUnknownEffect(Resources)
      const cases: ReadonlyArray<readonly [unknown, string]> = [
        [{ memory: { limit: "64m" } }, `["memory"]["limit"]`],
        [{ memory: { limit: 1.5 } }, `["memory"]["limit"]`],
        [{ cpu: { cpus: 3 } }, `["cpu"]["cpus"]`],
        [{ devices: [{ access: "r" }] }, `["devices"][0]["allow"]`],
        [{ blockIO: { throttleReadBpsDevice: [{ major: 1, minor: 1 }] } }, `["rate"]`],
        [{ unified: { "memory.high": 1 } }, `["unified"]["memory.high"]`],
        [{ future: undefined }, `["future"]`]
      ]
      for (const [value, path] of cases) assert.include((yield* Effect.flip(decode(value))).message, path)
    })
  )

  it("is written with integers that 64-bit fields can hold", () => {
    const text = stringify({
      memory: { limit: JSON.parse("9223372036854775807") },
      hugepageLimits: full.hugepageLimits,
      none: JSON.parse("18446744073709551615")
    })
    assert.strictEqual(
      text,
      `{"memory":{"limit":9223372036854775807},"hugepageLimits":[{"pageSize":"2MB","limit":9223372036854771712}],"none":18446744073709551615}`
    )
  })

  it.prop("is written as JSON that reads back the same", { value: Schema.Json }, ({ value }) => {
    plainKeys(value)
    assert.deepStrictEqual(JSON.parse(stringify(value)), JSON.parse(JSON.stringify(value)))
  })
})
