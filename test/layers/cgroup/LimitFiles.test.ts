/** On plain files: what is read, what is written, in which order and how often. What the kernel makes of it is in test/integration/update.test.ts. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as LimitFiles from "../../../src/layers/cgroup/limits/LimitFiles.ts"
import { toWeight } from "../../../src/layers/cgroup/limits/V2.ts"
import { cgroupTree } from "../../support/cgroupTree.ts"
import type { Tree } from "../../support/cgroupTree.ts"

const own = "/pods/berth--default--web"
const pid = 4242

const opened = (tree: Tree) => {
  const files = LimitFiles.open({ root: tree.root, pid, cgroupsPath: null })
  if (files === null) return assert.fail("no groups")
  return files
}

/** What version 2 shows in a group with every controller. */
const version2 = Effect.fnUntraced(function* () {
  const tree = yield* cgroupTree("v2")
  const write = (name: string, text: string) => tree.write(`sys/fs/cgroup${own}/${name}`, `${text}\n`)
  for (const [name, text] of [
    ["memory.max", "max"],
    ["memory.low", "0"],
    ["memory.swap.max", "max"],
    ["cpu.weight", "100"],
    ["cpu.max", "max 100000"],
    ["cpuset.cpus", "0-1"],
    ["pids.max", "max"],
    ["io.weight", "default 100"],
    ["io.max", "8:0 rbps=1048576 wbps=max riops=max wiops=50"],
    ["hugetlb.2MB.max", "max"]
  ] as const) {
    write(name, text)
  }
  const read = (name: string) => readFileSync(join(tree.root, `sys/fs/cgroup${own}/${name}`), "utf8").trim()
  return { tree, write, read }
})

describe("limits of version 2", () => {
  it.effect("are read in the terms of OCI", () =>
    Effect.gen(function* () {
      const { tree } = yield* version2()
      const found = opened(tree).read()
      const pairs: ReadonlyArray<readonly [string, number | string | undefined]> = [
        ["memory.limit", -1],
        ["memory.swap", -1],
        ["cpu.quota", -1],
        ["cpu.period", 100_000],
        ["cpu.cpus", "0-1"],
        ["pids.limit", -1],
        ["blockIO.weight", 100],
        ["blockIO.throttleReadBpsDevice 8:0", 1_048_576],
        ["blockIO.throttleWriteBpsDevice 8:0", 0],
        ["blockIO.throttleWriteIOPSDevice 8:0", 50],
        ["hugepageLimits 2MB", -1],
        ["cpu.realtimeRuntime", undefined],
        ["cpu.burst", undefined]
      ]
      for (const [key, value] of pairs) assert.strictEqual(found.get(key), value, key)
      assert.isFalse(opened(tree).has("cpu.burst"))
    })
  )

  it.effect("are written in the kernel's: weights, pairs, swap by itself", () =>
    Effect.gen(function* () {
      const { read, tree } = yield* version2()
      const wanted = new Map<string, number | string>([
        ["memory.limit", 1000],
        ["memory.swap", 1500],
        ["cpu.shares", 1024],
        ["cpu.quota", 50_000],
        ["cpu.period", 200_000],
        ["pids.limit", 5],
        ["cpu.cpus", "0"],
        ["hugepageLimits 2MB", 4]
      ])
      assert.isNull(opened(tree).settle(wanted))
      assert.deepStrictEqual(
        ["memory.max", "memory.swap.max", "cpu.weight", "cpu.max", "pids.max", "cpuset.cpus", "hugetlb.2MB.max"].map(
          read
        ),
        ["1000", "500", `${toWeight(1024)}`, "50000 200000", "5", "0", "4"]
      )
      const files = opened(tree)
      assert.deepStrictEqual([files.read().get("memory.swap"), files.read().get("cpu.quota")], [1500, 50_000])
      assert.isNull(
        files.settle(
          new Map<string, number>([
            ["memory.swap", -1],
            ["pids.limit", -1],
            ["cpu.quota", -1]
          ])
        )
      )
      assert.deepStrictEqual(["memory.swap.max", "pids.max", "cpu.max"].map(read), ["max", "max", "max 200000"])
      assert.isNull(files.settle(new Map([["blockIO.throttleReadBpsDevice 8:0", 0]])))
      assert.strictEqual(read("io.max"), "8:0 rbps=max")
    })
  )

  it("shares and weights: both ends and the usual one", () => {
    assert.deepStrictEqual([2, 1024, 262_144].map(toWeight), [1, 39, 10_000])
  })
})

describe("the groups of a container", () => {
  it.effect("are those of its specification, else those of its init, never berth's own or a root", () =>
    Effect.gen(function* () {
      const { tree } = yield* version2()
      const found = (cgroupsPath: string | null, of: number | null) =>
        LimitFiles.open({ root: tree.root, pid: of, cgroupsPath })?.read().get("blockIO.weight") ?? null
      assert.strictEqual(found(own, null), 100)
      assert.strictEqual(found(null, pid), 100)
      assert.isNull(found("/not/there", pid))
      // Init has moved itself below, where nothing is limited.
      tree.write("proc/4242/cgroup", `0::${own}/init.scope\n`)
      assert.strictEqual(found(own, pid), 100)
      assert.isNull(found(null, pid))
      tree.write("proc/4242/cgroup", "0::/system.slice/berth.service\n")
      assert.isNull(found(null, pid))
      tree.write("proc/4242/cgroup", "0::/\n")
      assert.isNull(found(null, pid))
      tree.write("proc/4242/cgroup", "0::/../../etc\n")
      assert.isNull(found(null, pid))
    })
  )

  it.effect("are found in each hierarchy of version 1, that of processor sets too", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("hybrid")
      const mounts = readFileSync(join(tree.root, "proc/self/mountinfo"), "utf8")
      tree.write("proc/self/mountinfo", `${mounts}51 31 0:51 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n`)
      tree.write("sys/fs/cgroup/cpuset/berth--default--web/cpuset.cpus", "0-1\n")
      const files = LimitFiles.open({ root: tree.root, pid, cgroupsPath: "/berth--default--web" })
      assert.deepStrictEqual([files?.read().get("cpu.cpus"), files?.read().get("pids.limit")], ["0-1", 100])
    })
  )

  it.effect("lists of processors are compared by what is in them", () =>
    Effect.gen(function* () {
      const { tree, write } = yield* version2()
      write("cpuset.cpus", "0-2,4")
      const file = join(tree.root, `sys/fs/cgroup${own}/cpuset.cpus`)
      assert.isNull(opened(tree).settle(new Map([["cpu.cpus", "0,1,2,4"]])))
      assert.strictEqual(readFileSync(file, "utf8"), "0-2,4\n")
      assert.deepStrictEqual(opened(tree).settle(new Map([["cpu.idle", 1]])), { key: "cpu.idle", code: "ENOENT" })
    })
  )
})
