import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Hierarchies from "../../../src/layers/cgroup/Hierarchies.ts"
import * as Reader from "../../../src/layers/cgroup/Reader.ts"
import { cgroupTree } from "../../support/cgroupTree.ts"

const locate = (root: string, pid: number | null, cgroupsPath: string | null) =>
  Hierarchies.make(Reader.make(root)).locate({ pid, cgroupsPath })

describe("mounts", () => {
  it("takes each controller of a joined hierarchy, undoes escapes and prefers a mount of the whole", () => {
    const mounts = Hierarchies.parseMounts(
      [
        "1 0 0:1 /docker/abc /else\\040where rw - cgroup cgroup rw,memory",
        "2 0 0:1 / /sys/fs/cgroup/my\\040memory rw master:1 - cgroup cgroup rw,memory",
        "3 0 0:1 /docker/abc /again rw - cgroup cgroup rw,memory",
        "4 0 0:2 / /cg/cpu,cpuacct rw shared:3 master:4 - cgroup none rw,cpu,cpuacct",
        "5 0 0:3 / /proc rw - proc cgroup rw,pids",
        "6 0 0:4 /nested /cg2 rw - cgroup2 cgroup2 rw"
      ].join("\n")
    )
    assert.deepStrictEqual(Object.fromEntries(mounts.v1), {
      memory: { root: "/", point: "/sys/fs/cgroup/my memory" },
      cpu: { root: "/", point: "/cg/cpu,cpuacct" },
      cpuacct: { root: "/", point: "/cg/cpu,cpuacct" }
    })
    assert.deepStrictEqual(mounts.v2, { root: "/nested", point: "/cg2" })
  })
})

describe("membership", () => {
  it("reads paths with colons and leaves out groups that are gone", () => {
    const groups = Hierarchies.parseMembership(
      "4:cpu,cpuacct:/a:b\n3:memory:/gone (deleted)\n1:name=systemd:/s\n0::/a:b/c\n"
    )
    assert.deepStrictEqual(Object.fromEntries(groups), {
      cpu: "/a:b",
      cpuacct: "/a:b",
      "name=systemd": "/s",
      "": "/a:b/c"
    })
  })
})

describe("locate", () => {
  it.effect("goes by the process, and up to the declared group where init sits below it", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("v2")
      const group = "/sys/fs/cgroup/pods/berth--default--web"
      assert.deepStrictEqual(locate(tree.root, 4242, null), { v1: {}, v2: group, top: "/sys/fs/cgroup" })
      assert.strictEqual(locate(tree.root, 4242, "/elsewhere")?.v2, group)
      tree.write("proc/4242/cgroup", "0::/pods/berth--default--web/init.scope\n")
      assert.strictEqual(locate(tree.root, 4242, "/pods/berth--default--web/")?.v2, group)
      assert.strictEqual(locate(tree.root, 4242, "system.slice:berth:web")?.v2, `${group}/init.scope`)
      // No part of a name: another container.
      assert.strictEqual(locate(tree.root, 4242, "/pods/berth--default--we")?.v2, `${group}/init.scope`)
    })
  )

  it.effect("falls back to the declared group once the process is gone, where that group exists", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("v2")
      assert.strictEqual(
        locate(tree.root, null, "/pods/berth--default--web")?.v2,
        "/sys/fs/cgroup/pods/berth--default--web"
      )
      for (const path of [null, "/", "", "/pods/other", "pods/berth--default--web", "/../pods/berth--default--web"]) {
        assert.isNull(locate(tree.root, null, path), `${path}`)
        assert.isNull(locate(tree.root, 9999, path), `${path}`)
      }
    })
  )

  it.effect("does not take the root or berth's own group for the container's", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("v2")
      for (const group of ["/", "/system.slice/berth.service"]) {
        tree.write("proc/4242/cgroup", `0::${group}\n`)
        assert.isNull(locate(tree.root, 4242, null))
        assert.isNull(locate(tree.root, 4242, group))
        // What was declared counts where it is there.
        assert.strictEqual(
          locate(tree.root, 4242, "/pods/berth--default--web")?.v2,
          "/sys/fs/cgroup/pods/berth--default--web"
        )
      }
    })
  )

  it.effect("leaves out the version 1 hierarchies that the container has no group in", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("v1")
      tree.write(
        "proc/4242/cgroup",
        "8:hugetlb:/\n7:blkio:/system.slice/berth.service\n4:memory:/berth--default--web\n0::/\n"
      )
      assert.deepStrictEqual(locate(tree.root, 4242, null)?.v1, { memory: "/sys/fs/cgroup/memory/berth--default--web" })
      // A dead init shows the root: what was declared still counts.
      tree.write("proc/4242/cgroup", "8:hugetlb:/\n7:blkio:/\n6:pids:/\n4:memory:/\n3:cpu,cpuacct:/\n")
      assert.deepStrictEqual(locate(tree.root, 4242, "/berth--default--web")?.v1, {
        cpu: "/sys/fs/cgroup/cpu,cpuacct/berth--default--web",
        cpuacct: "/sys/fs/cgroup/cpu,cpuacct/berth--default--web",
        memory: "/sys/fs/cgroup/memory/berth--default--web",
        pids: "/sys/fs/cgroup/pids/berth--default--web",
        blkio: "/sys/fs/cgroup/blkio/berth--default--web",
        hugetlb: "/sys/fs/cgroup/hugetlb/berth--default--web"
      })
    })
  )

  it.effect("strips what is above the mount where berth is itself in a container", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("v2")
      tree.write("proc/self/mountinfo", "30 25 0:26 /pods /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
      assert.strictEqual(locate(tree.root, 4242, null)?.v2, "/sys/fs/cgroup/berth--default--web")
      tree.write("proc/4242/cgroup", "0::/podsx/web\n")
      assert.isNull(locate(tree.root, 4242, null))
      tree.write("proc/4242/cgroup", "0::/../web\n")
      assert.isNull(locate(tree.root, 4242, null))
    })
  )

  it.effect("finds a hierarchy that was mounted after the start", () =>
    Effect.gen(function* () {
      const tree = yield* cgroupTree("hybrid")
      const { locate } = Hierarchies.make(Reader.make(tree.root))
      assert.isUndefined(locate({ pid: 4242, cgroupsPath: null })?.v1.hugetlb)
      tree.write("proc/self/mountinfo", "50 31 0:50 / /sys/fs/cgroup/hugetlb rw - cgroup hugetlb rw,hugetlb\n")
      tree.write("proc/4242/cgroup", "10:hugetlb:/berth--default--web\n")
      assert.strictEqual(
        locate({ pid: 4242, cgroupsPath: null })?.v1.hugetlb,
        "/sys/fs/cgroup/hugetlb/berth--default--web"
      )
    })
  )
})
