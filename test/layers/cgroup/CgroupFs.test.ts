import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Fiber, Layer, Queue, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import * as CgroupFs from "../../../src/layers/cgroup/CgroupFs.ts"
import { ContainerId } from "../../../src/schema/Ids.ts"
import { ProcessInfo, Stats } from "../../../src/schema/Stats.ts"
import { Cgroups } from "../../../src/services/Cgroups.ts"
import type { CgroupTarget } from "../../../src/services/Cgroups.ts"
import { cgroupTree } from "../../support/cgroupTree.ts"
import { withoutDescriptors } from "../../support/noDescriptors.ts"
import type { Tree } from "../../support/cgroupTree.ts"

const containerId = ContainerId.make("web")

/** A container of the tree, as found while its init lives. */
const open = Effect.fnUntraced(function* (tree: Tree, target: Partial<CgroupTarget> = {}) {
  const context = yield* Layer.build(CgroupFs.layer({ root: tree.root }))
  const { find } = yield* Effect.provide(Cgroups, context)
  return yield* find({ containerId, pid: 4242, cgroupsPath: null, ...target })
})

const eth0 = {
  interface: "eth0",
  rxBytes: 1_000_200,
  rxPackets: 30,
  rxErrors: 4,
  rxDropped: 5,
  txBytes: 70_008,
  txPackets: 90,
  txErrors: 10,
  txDropped: 11
}
const lo = {
  interface: "lo",
  rxBytes: 100,
  rxPackets: 2,
  rxErrors: 0,
  rxDropped: 0,
  txBytes: 100,
  txPackets: 2,
  txErrors: 0,
  txDropped: 0
}
const machine = { systemUsage: 418_410_000_000, onlineCpus: 2 }
const gib = 2 ** 30

const expectedV1: Omit<Stats, "readAt" | "containerId"> = {
  cpu: {
    usage: 1_234_567_890_123,
    user: 1_000_000_000_000,
    system: 234_560_000_000,
    periods: 7,
    throttledPeriods: 3,
    throttledTime: 250_000_000,
    ...machine
  },
  memory: {
    usage: 33_554_432,
    workingSet: 33_554_432 - 4_194_304,
    cache: 10_485_760,
    rss: 20_971_520,
    swap: 8192,
    limit: 67_108_864,
    swapLimit: 33_554_432,
    peak: 60_000_000,
    pageFaults: 321,
    majorPageFaults: 2,
    oomKills: 3,
    events: { low: null, high: null, max: null, oom: null, oomGroupKill: null }
  },
  pids: { current: 4, limit: 100 },
  io: [
    { major: 8, minor: 0, readBytes: 4096, writeBytes: 8192, readOps: 1, writeOps: 2 },
    { major: 253, minor: 2, readBytes: 7, writeBytes: 0, readOps: 5, writeOps: 0 }
  ],
  hugetlb: [{ pageSize: "2MB", usage: 2_097_152, limit: null, peak: 6_291_456 }],
  network: [lo, eth0],
  pressure: { cpu: null, memory: null, io: null }
}

const stall = (avg60: number, avg300: number, total: number) => ({ avg10: 0, avg60, avg300, total })
const hybridPressure = (total: number) => ({
  some: stall(0.01, 0.02, total * 1000),
  full: stall(0, 0.01, total * 500)
})

const expected = {
  v1: {
    stats: expectedV1,
    pids: [4242, 4250],
    group: "sys/fs/cgroup/memory/berth--default--web",
    path: "/berth--default--web"
  },
  hybrid: {
    stats: {
      ...expectedV1,
      hugetlb: [{ pageSize: "2MB", usage: 2_097_152, limit: 4_194_304, peak: null }],
      pressure: { cpu: hybridPressure(1000), memory: hybridPressure(2000), io: hybridPressure(3000) }
    },
    pids: [4242, 4250],
    group: "sys/fs/cgroup/memory/berth--default--web",
    path: "/berth--default--web"
  },
  v2: {
    stats: {
      cpu: {
        usage: 2_500_001_000,
        user: 2_000_001_000,
        system: 500_000_000,
        periods: 40,
        throttledPeriods: 12,
        throttledTime: 345_678_000,
        ...machine
      },
      memory: {
        usage: 104_857_600,
        workingSet: 104_857_600 - 20_971_520,
        cache: 41_943_040,
        rss: 50_331_648,
        swap: 4096,
        limit: 536_870_912,
        swapLimit: 67_108_864,
        peak: 209_715_200,
        pageFaults: 70_001,
        majorPageFaults: 17,
        oomKills: 3,
        events: { low: 1, high: 2, max: 30, oom: 4, oomGroupKill: 0 }
      },
      pids: { current: 3, limit: null },
      io: [
        { major: 254, minor: 0, readBytes: 4096, writeBytes: 8192, readOps: 1, writeOps: 2 },
        { major: 7, minor: 3, readBytes: 100, writeBytes: 0, readOps: 3, writeOps: 0 }
      ],
      hugetlb: [{ pageSize: "2MB", usage: 4_194_304, limit: null, peak: null }],
      network: [lo, eth0],
      pressure: {
        cpu: { some: { avg10: 9.99, avg60: 5, avg300: 1, total: 777_000 }, full: null },
        memory: {
          some: { avg10: 1.5, avg60: 0.75, avg300: 0.1, total: 12_345_000 },
          full: { avg10: 0.5, avg60: 0.25, avg300: 0.05, total: 2_345_000 }
        },
        io: null
      }
    },
    pids: [4199, 4242, 4250],
    group: "sys/fs/cgroup/pods/berth--default--web",
    path: "/pods/berth--default--web"
  }
} as const

for (const version of ["v1", "hybrid", "v2"] as const) {
  const { group, path, pids, stats } = expected[version]

  describe(`CgroupFs on ${version}`, () => {
    it.effect("samples everything, and the sample passes its schema", () =>
      Effect.gen(function* () {
        const sample = yield* (yield* open(yield* cgroupTree(version), { cgroupsPath: path })).stats
        assert.deepStrictEqual(sample, { containerId, readAt: yield* DateTime.now, ...stats })
        const json = yield* Schema.encodeEffect(Schema.fromJsonString(Stats))(sample)
        assert.deepStrictEqual(yield* Schema.decodeEffect(Schema.fromJsonString(Stats))(json), sample)
      })
    )

    it.effect("lists the processes of the groups below too, once each", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* (yield* open(yield* cgroupTree(version), { cgroupsPath: path })).pids, pids)
      })
    )

    it.effect("still tells kills and peak when init is gone, and NotFound when the group is", () =>
      Effect.gen(function* () {
        const tree = yield* cgroupTree(version)
        const found = yield* open(tree, { cgroupsPath: path })
        tree.remove("proc/4242")
        const late = yield* open(tree, { pid: null, cgroupsPath: path })
        for (const cgroup of [found, late]) {
          assert.strictEqual(yield* cgroup.oomKills, stats.memory.oomKills)
          assert.strictEqual(yield* cgroup.memoryPeak, stats.memory.peak)
          assert.isNull((yield* cgroup.stats).network)
        }
        tree.remove("sys/fs/cgroup")
        for (const cgroup of [found, late]) {
          for (const read of [cgroup.stats, cgroup.pids, cgroup.processes, cgroup.oomKills, cgroup.memoryPeak]) {
            const error = yield* Effect.flip<unknown, unknown, never>(read)
            assert.deepInclude(error, { _tag: "NotFound", kind: "task", id: "web" })
          }
          assert.deepStrictEqual(yield* Stream.runCollect(cgroup.watchOom(0)), [])
        }
      })
    )

    it.live("tells each rise of the count of kills above what is known, and ends with the group", () =>
      Effect.gen(function* () {
        const tree = yield* cgroupTree(version)
        const cgroup = yield* open(tree, { cgroupsPath: path })
        const file = `${group}/memory.${version === "v2" ? "events" : "oom_control"}`
        const before = readFileSync(join(tree.root, file), "utf8")
        const told = yield* Queue.unbounded<number>()
        const watcher = yield* Effect.forkChild(
          Stream.runForEach(cgroup.watchOom(1), (count) => Queue.offer(told, count))
        )
        assert.strictEqual(yield* Queue.take(told), 3)
        const kills = version === "v2" ? 3 : 2
        tree.write(file, before.replace(`oom_kill ${kills}`, `oom_kill ${kills + 2}`))
        assert.strictEqual(yield* Queue.take(told), 5)
        tree.remove("sys/fs/cgroup")
        yield* Fiber.join(watcher)
        assert.strictEqual(yield* Queue.size(told), 0)
      })
    )
  })
}

describe("CgroupFs", () => {
  it.effect("looks at version 1 each second, with one fiber for all", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("v1")
      const cgroup = yield* open(tree, { cgroupsPath: "/berth--default--web" })
      const told: Array<number> = []
      const watching = cgroup.watchOom(3).pipe(Stream.runForEach((count) => Effect.sync(() => told.push(count))))
      const first = yield* Effect.forkChild(watching, { startImmediately: true })
      yield* Effect.forkChild(watching, { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(told, [])
      tree.write("sys/fs/cgroup/memory/berth--default--web/below/memory.oom_control", "oom_kill 2\n")
      yield* TestClock.adjust("900 millis")
      assert.deepStrictEqual(told, [])
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(told, [4, 4])
      // The group below goes, and its count with it; then another kill.
      tree.remove("sys/fs/cgroup/memory/berth--default--web/below")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(told, [4, 4])
      yield* Fiber.interrupt(first)
      tree.write("sys/fs/cgroup/memory/berth--default--web/memory.oom_control", "oom_kill 3\n")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(told, [4, 4, 3])
    })
  )

  it.effect("goes on to watch a group that it could not look at for want of descriptors", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("v1")
      const cgroup = yield* open(tree, { cgroupsPath: "/berth--default--web" })
      const told: Array<number> = []
      const watcher = yield* Effect.forkChild(
        Stream.runForEach(cgroup.watchOom(3), (count) => Effect.sync(() => told.push(count))),
        { startImmediately: true }
      )
      yield* withoutDescriptors(TestClock.adjust("3 seconds"))
      tree.write("sys/fs/cgroup/memory/berth--default--web/below/memory.oom_control", "oom_kill 2\n")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(told, [4])
      const counting = yield* withoutDescriptors(
        Effect.tap(Effect.forkChild(cgroup.oomKills, { startImmediately: true }), TestClock.adjust("500 millis"))
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(counting), 4)
      yield* Fiber.interrupt(watcher)
    }).pipe(Effect.provide(Libc.layer))
  )

  it.effect("shows the machine's limits where there are none, and no swap where the kernel counts none", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("v1")
      const stat = "hierarchical_memory_limit 9223372036854771712\ntotal_inactive_file 99999999\ntotal_swap 0\n"
      tree.write("sys/fs/cgroup/memory/berth--default--web/memory.stat", stat)
      const { memory } = yield* (yield* open(tree, { cgroupsPath: "/berth--default--web" })).stats
      assert.deepInclude(memory, { limit: 4 * gib, swap: null, swapLimit: null, workingSet: 0 })
      tree.write(
        "sys/fs/cgroup/memory/berth--default--web/memory.stat",
        `${stat}hierarchical_memsw_limit 9223372036854771712\n`
      )
      const swapping = (yield* (yield* open(tree, { cgroupsPath: "/berth--default--web" })).stats).memory
      assert.deepInclude(swapping, { swap: 0, swapLimit: gib })
    })
  )

  it.effect("has null for what version 2 does not offer the group", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("v2")
      const group = "sys/fs/cgroup/pods/berth--default--web"
      for (const file of ["memory.current", "memory.events", "io.stat", "pids.current", "hugetlb.2MB.current"]) {
        tree.remove(`${group}/${file}`)
      }
      const cgroup = yield* open(tree)
      const { hugetlb, io, memory, pids } = yield* cgroup.stats
      assert.deepStrictEqual([hugetlb, io, memory.usage, memory.oomKills, pids.current], [null, null, null, null, null])
      assert.strictEqual(memory.limit, 4 * gib)
      assert.isNull(yield* cgroup.oomKills)
    })
  )

  it.effect("shows no network that is ours, and not that of another process with the pid", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("v2")
      const cgroup = yield* open(tree)
      tree.link("proc/4242/ns/net", "net:[4026539999]")
      assert.isNull((yield* cgroup.stats).network)
      tree.link("proc/4242/ns/net", "net:[4026531840]")
      assert.isNull((yield* (yield* open(tree)).stats).network)
    })
  )

  it.effect("shows no network any more once it is told that init has ended, and the rest all the same", () =>
    Effect.gen(function* () {
      const cgroup = yield* open(yield* cgroupTree("v2"))
      const before = yield* cgroup.stats
      assert.isNotNull(before.network)
      yield* cgroup.ended
      assert.deepStrictEqual(yield* cgroup.stats, { ...before, network: null })
    })
  )

  it.effect("is Unavailable, not missing, on a machine without cgroups", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip((yield* open(yield* cgroupTree(), { cgroupsPath: "/x" })).stats)
      assert.deepInclude(error, { _tag: "Unavailable", what: "cgroups" })
    })
  )

  it.effect("is Unavailable where a file cannot be read", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("v2")
      const cgroup = yield* open(tree)
      tree.remove("sys/fs/cgroup/pods/berth--default--web/memory.current")
      tree.write("sys/fs/cgroup/pods/berth--default--web/memory.current/folder", "")
      const error = yield* Effect.flip(cgroup.stats)
      assert.deepInclude(error, { _tag: "Unavailable", problem: "cannot be read: EISDIR" })
    })
  )

  it.effect("knows parent, user, name, arguments and start of each process that still is", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("v2")
      // Booted at 1700000000.4 of the epoch; the kernel says 1700000000.
      yield* TestClock.setTime(1_700_005_000_650)
      const cgroup = yield* open(tree, { cgroupsPath: "/pods/berth--default--web" })
      const found = yield* cgroup.processes
      const encoded = yield* Schema.encodeEffect(Schema.Array(ProcessInfo))(found)
      assert.deepStrictEqual(encoded, [
        {
          pid: 4242,
          ppid: 4200,
          user: 0,
          command: "sh",
          args: ["/bin/sh", "-c", "sleep 100; true"],
          startedAt: "2023-11-14T22:33:54.960Z",
          state: "S",
          cpuTime: 30_000_000,
          rss: 1234 * 1024,
          execId: null
        },
        {
          pid: 4250,
          ppid: 4242,
          user: 1000,
          command: "my (odd) tool",
          args: ["tool", "", "größe"],
          startedAt: "2023-11-14T22:46:40.400Z",
          state: "R",
          cpuTime: 30_000_000,
          rss: 0,
          execId: null
        }
      ])
      // Later, a little off: the same moment of boot.
      yield* TestClock.setTime(1_700_005_000_990)
      assert.deepStrictEqual(yield* cgroup.processes, found)
      // The clock was set back by a day, and the kernel's moment of boot with it.
      tree.write("proc/stat", "cpu  1 1\nbtime 1699913600\n")
      const [init] = yield* cgroup.processes
      assert.strictEqual(init === undefined ? "" : DateTime.formatIso(init.startedAt), "2023-11-13T22:33:54.560Z")
    })
  )
})
