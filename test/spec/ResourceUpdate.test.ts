import { assert, describe, it } from "@effect/vitest"
import type { Resources } from "../../src/schema/Resources.ts"
import * as Limits from "../../src/spec/Limits.ts"
import { plan } from "../../src/spec/ResourceUpdate.ts"
import { bad, good } from "./support.ts"

const rate = (minor: number, rate: number) => ({ major: 8, minor, rate })

describe("a plan", () => {
  it("sets what was asked for and stores it beside the rest", () => {
    const current: Resources = {
      devices: [{ allow: false }],
      memory: { limit: 100, swappiness: 5 },
      pids: { limit: 7 },
      blockIO: { leafWeight: 9, throttleReadBpsDevice: [rate(0, 10), rate(1, 20)] }
    }
    const request: Resources = {
      memory: { limit: 50 },
      cpu: { cpus: "0-1" },
      blockIO: { throttleReadBpsDevice: [rate(0, 0), rate(2, 30)] }
    }
    assert.deepStrictEqual(good(plan(current, request)), {
      changes: request,
      resources: {
        devices: [{ allow: false }],
        memory: { limit: 50, swappiness: 5 },
        cpu: { cpus: "0-1" },
        pids: { limit: 7 },
        blockIO: { leafWeight: 9, throttleReadBpsDevice: [rate(1, 20), rate(2, 30)] }
      }
    })
  })

  it("brings the other half of what goes in pairs", () => {
    const current: Resources = { memory: { limit: 50, swap: 100 }, cpu: { quota: 5000, period: 20_000 } }
    const { changes } = good(plan(current, { memory: { limit: 60 }, cpu: { quota: 8000 } }))
    assert.deepStrictEqual(changes, { memory: { limit: 60, swap: 100 }, cpu: { quota: 8000, period: 20_000 } })
    assert.deepStrictEqual(good(plan({}, { cpu: { quota: 8000 } })).changes, { cpu: { quota: 8000, period: 100_000 } })
  })

  it("stores no limit as nothing, and 0 processes as no limit", () => {
    const current: Resources = { memory: { limit: 50 }, pids: { limit: 7 }, cpu: { quota: 5000, period: 20_000 } }
    const planned = good(plan(current, { memory: { limit: -1 }, pids: { limit: 0 }, cpu: { quota: -1 } }))
    assert.deepStrictEqual(planned.changes.pids, { limit: -1 })
    assert.deepStrictEqual(planned.resources, { cpu: { period: 20_000 } })
  })

  it("refuses combinations with what is there, but does not mind what it does not touch", () => {
    const current: Resources = { memory: { limit: 50, swap: 60, reservation: 40 } }
    const cases: ReadonlyArray<readonly [Resources, Resources, string]> = [
      [current, { memory: { limit: 70 } }, "memory.limit: 70 is more than memory.swap (60); change both at once"],
      [current, { memory: { swap: 45 } }, "memory.limit: 50 is more than memory.swap (45)"],
      [current, { memory: { limit: 30 } }, "memory.reservation: 40 is more than memory.limit (30)"],
      [current, { memory: { limit: -1 } }, "memory.limit: cannot be without limit while memory.swap is 60"],
      [{}, { memory: { swap: 60 } }, "memory.swap: needs memory.limit, which it includes"],
      [{}, { cpu: { quota: 5000, burst: 6000 } }, "cpu.burst: 6000 is more than cpu.quota (5000)"],
      [
        {},
        { cpu: { realtimeRuntime: 9, realtimePeriod: 8 } },
        "cpu.realtimeRuntime: 9 is more than cpu.realtimePeriod"
      ],
      [{}, { rdma: {} }, "rdma: cannot be changed while the task exists"],
      [{}, { hugepageLimits: [{ pageSize: "2MB", limit: -2 }] }, "hugepageLimits 2MB: must be from 0"],
      [{}, { blockIO: { weightDevice: [] } }, "blockIO.weightDevice: cannot be changed"]
    ]
    for (const [before, request, problem] of cases) assert.include(bad(plan(before, request)), problem)
    const odd: Resources = { memory: { limit: 70, swap: 60 } }
    assert.deepStrictEqual(good(plan(odd, { pids: { limit: 1 } })).changes, { pids: { limit: 1 } })
    assert.deepStrictEqual(good(plan({ memory: { limit: 0, swap: 0 } }, { memory: { limit: 5 } })).changes, {
      memory: { limit: 5 }
    })
  })
})

describe("limits as a table", () => {
  it("can be undone, also where there was none", () => {
    const before: Resources = { memory: { limit: -1 }, cpu: { shares: 1024, cpus: "0-1" }, pids: { limit: 7 } }
    const changes: Resources = {
      memory: { limit: 5 },
      cpu: { cpus: "0" },
      blockIO: { throttleWriteIOPSDevice: [rate(0, 10)] },
      hugepageLimits: [{ pageSize: "2MB", limit: 4 }]
    }
    assert.deepStrictEqual(Limits.undo(changes, before), {
      memory: { limit: -1 },
      cpu: { cpus: "0-1" },
      blockIO: { throttleWriteIOPSDevice: [rate(0, 0)] },
      hugepageLimits: [{ pageSize: "2MB", limit: -1 }]
    })
  })

  it("says the same as resources", () => {
    const resources: Resources = {
      memory: { limit: 5, swap: -1 },
      cpu: { shares: 3, cpus: "0" },
      blockIO: { weight: 10, throttleReadBpsDevice: [rate(0, 1)] },
      hugepageLimits: [{ pageSize: "1GB", limit: 2 }]
    }
    assert.deepStrictEqual(Limits.unflatten(Limits.flatten(resources)), resources)
  })
})
