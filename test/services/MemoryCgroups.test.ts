import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Fiber, Stream } from "effect"
import { ContainerId } from "../../src/schema/Ids.ts"
import type { Stats } from "../../src/schema/Stats.ts"
import { Cgroups } from "../../src/services/Cgroups.ts"
import * as Memory from "../../src/services/MemoryCgroups.ts"

const stats: Omit<Stats, "containerId"> = {
  readAt: DateTime.makeUnsafe("2026-01-02T03:04:05.006Z"),
  cpu: {
    usage: 1,
    user: 1,
    system: 0,
    systemUsage: 10,
    onlineCpus: 1,
    periods: 0,
    throttledPeriods: 0,
    throttledTime: 0
  },
  memory: {
    usage: 100,
    workingSet: 90,
    cache: 10,
    rss: 90,
    swap: null,
    limit: 1000,
    swapLimit: null,
    peak: 200,
    pageFaults: 0,
    majorPageFaults: 0,
    oomKills: 0,
    events: { low: null, high: null, max: null, oom: null, oomGroupKill: null }
  },
  pids: { current: 1, limit: null },
  io: null,
  hugetlb: null,
  network: null,
  pressure: { cpu: null, memory: null, io: null }
}
const init = {
  pid: 7,
  ppid: 1,
  user: 0,
  command: "sleep",
  args: ["sleep", "1"],
  startedAt: stats.readAt,
  state: "S",
  cpuTime: 0,
  rss: 4096,
  execId: null
}

layer(Memory.layer)("MemoryCgroups", (it) => {
  it.effect("answers what it was given, tells kills, and forgets", () =>
    Effect.gen(function* () {
      const { find } = yield* Cgroups
      const control = yield* Memory.MemoryCgroups
      const id = ContainerId.make("web")
      const cgroup = yield* find({ containerId: id, pid: 7, cgroupsPath: null })
      assert.strictEqual((yield* Effect.flip(cgroup.stats))._tag, "NotFound")
      assert.isFalse(yield* control.oom(id))

      yield* control.set(id, { stats, processes: [{ ...init, pid: 9 }, init] })
      const other = ContainerId.make("other")
      yield* control.set(other, { stats, processes: [] })
      assert.deepStrictEqual(yield* cgroup.stats, { containerId: id, ...stats })
      assert.deepStrictEqual(yield* cgroup.pids, [7, 9])
      assert.strictEqual(yield* cgroup.memoryPeak, 200)

      const told = yield* Effect.forkChild(Stream.runCollect(cgroup.watchOom(0)), { startImmediately: true })
      assert.isTrue(yield* control.oom(id))
      yield* control.oom(other)
      yield* control.oom(id)
      assert.strictEqual(yield* cgroup.oomKills, 2)
      yield* Effect.yieldNow
      yield* control.remove(id)
      assert.strictEqual((yield* Fiber.join(told)).at(-1), 2)
      assert.strictEqual((yield* Effect.flip(cgroup.oomKills))._tag, "NotFound")
    })
  )
})
