import { assert, describe, it } from "@effect/vitest"
import { all, type Check, isAtLeast, isFit } from "../../../src/cli/doctor/Checks.ts"
import type { Facts } from "../../../src/cli/doctor/Facts.ts"
import type { DriverInfo } from "../../../src/schema/Runtime.ts"
import { RuntimeName } from "../../../src/schema/Ids.ts"

const driver = (name: string, works: boolean): DriverInfo => ({
  name: RuntimeName.make(name),
  binary: `/usr/bin/${name}`,
  version: "1.1.5",
  capabilities: ["isolation", "exec"],
  available: works,
  problem: works ? null : "it refuses cgroups of both versions",
  mend: works ? null : "mount -t cgroup …",
  default: works
})

/** A machine that lacks nothing. */
const healthy: Facts = {
  platform: "linux",
  kernel: "6.18.44-fc",
  node: "24.21.0",
  sqlite: "3.53.4",
  uid: 0,
  status: "Name:\tnode\nCapEff:\t000001ffffffffff\nSeccomp:\t0\n",
  filesystems: "nodev\tproc\n\text4\nnodev\toverlay\n",
  mounts: "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
  cgroup2: "cpuset cpu io memory pids\n",
  unified: null,
  maxUserNamespaces: "63000\n",
  libc: null,
  drivers: [driver("runc", true)],
  criu: "/usr/sbin/criu",
  orphans: { found: [], problem: null },
  store: { file: "/x/berth.db", damages: [] },
  daemon: { address: "unix:///x", version: "0.1.0", root: "/x", shim: "0.1.0" }
}

const v1 = (...controllers: ReadonlyArray<string>) =>
  controllers
    .map((name, index) => `${index} 25 0:26 / /sys/fs/cgroup/${name} rw,nosuid - cgroup cgroup rw,${name}\n`)
    .join("")

/** What is wrong with a machine, and what the doctor says of it. */
const cases: ReadonlyArray<readonly [name: string, facts: Partial<Facts>, check: Partial<Check>, fit: boolean]> = [
  ["other systems", { platform: "darwin" }, { name: "linux", missing: "this is darwin" }, false],
  ["users", { uid: 1000 }, { name: "root", missing: "this is user 1000", mend: "sudo berth doctor" }, false],
  ["root without rights", { status: "CapEff:\t00000000a80425fb\nSeccomp:\t2\n" }, { name: "root" }, false],
  ["an old Node", { node: "22.1.0" }, { name: "node", version: "22.1.0", missing: "older than 24" }, false],
  ["no SQLite", { sqlite: null }, { name: "sqlite" }, false],
  ["no native library", { libc: "cannot load" }, { name: "native calls", missing: "cannot load" }, false],
  ["no cgroups", { cgroup2: null, mounts: "" }, { name: "cgroups", missing: "no hierarchy is mounted" }, false],
  [
    "missing controllers",
    { cgroup2: "cpu io\n" },
    { name: "cgroups", missing: "limits of memory, pids cannot be set", needed: false },
    true
  ],
  ["no runtime", { drivers: [] }, { name: "a runtime", missing: "none works here" }, false],
  [
    "a runtime that does not work beside one that does",
    { drivers: [driver("crun", false), driver("runc", true)] },
    { name: "crun", missing: "it refuses cgroups of both versions", mend: "mount -t cgroup …" },
    true
  ],
  ["no overlayfs", { filesystems: "\text4\n" }, { name: "overlayfs", mend: "modprobe overlay" }, true],
  ["an old kernel", { kernel: "6.14.9" }, { name: "exit codes after a lost shim", version: "6.14.9" }, true],
  ["no user namespaces", { maxUserNamespaces: "0\n" }, { name: "user namespaces" }, true],
  ["no seccomp", { status: "CapEff:\t000001ffffffffff\n" }, { name: "seccomp" }, true],
  ["no criu", { criu: null }, { name: "criu", mend: "apt-get install criu" }, true],
  [
    "a row of the store that cannot be read",
    { store: { file: "/x/berth.db", damages: ["row default/web of table tasks cannot be read: …"] } },
    { name: "store", missing: "/x/berth.db: row default/web of table tasks cannot be read: …" },
    true
  ],
  [
    "no daemon",
    { daemon: { address: "unix:///x", problem: "nobody answers" } },
    { name: "daemon", missing: "unix:///x: nobody answers", mend: "berth daemon" },
    true
  ]
]

describe("doctor", () => {
  it("finds nothing wrong with a healthy machine", () => {
    const checks = all(healthy)
    assert.deepStrictEqual(
      checks.filter(({ found, missing, mend }) => !found || missing !== null || mend !== null),
      []
    )
    assert.isTrue(isFit(checks))
  })

  it("knows version 1, alone and with version 2 beside it", () => {
    const one = { ...healthy, cgroup2: null, mounts: v1("cpu,cpuacct", "memory", "pids") }
    assert.deepInclude(
      all(one).find(({ name }) => name === "cgroups"),
      { found: true, version: "v1" }
    )
    const both = { ...one, mounts: v1("cpu", "memory"), unified: "hugetlb pids\n" }
    assert.deepInclude(
      all(both).find(({ name }) => name === "cgroups"),
      { found: true, version: "v1 with v2 beside it" }
    )
  })

  it.each(cases)("finds %s", (_, facts, expected, fit) => {
    const checks = all({ ...healthy, ...facts })
    const check = checks.find(({ name }) => name === expected.name)
    assert.deepInclude(check, { found: false, ...expected })
    assert.isString(check?.missing)
    assert.strictEqual(isFit(checks), fit)
    assert.strictEqual(checks.filter(({ found }) => !found).length, 1)
  })

  it("lets users do without root where plain processes of the host are allowed, and says that they are not isolated", () => {
    const host: DriverInfo = { ...driver("host", true), default: false, capabilities: ["exec"] }
    const checks = all({ ...healthy, uid: 1000, drivers: [driver("runc", false), host] })
    assert.deepInclude(
      checks.find(({ name }) => name === "root"),
      { found: false, needed: false }
    )
    assert.deepInclude(
      checks.find(({ name }) => name === "host"),
      { found: true, missing: "isolation: plain processes of this machine" }
    )
    assert.isTrue(isFit(checks))
  })

  it("compares versions by number", () => {
    const least = [6, 15]
    assert.deepStrictEqual(
      ["6.15.0", "6.15", "6.18.44-fc", "7.0.0-rc1", "10.1"].map((version) => isAtLeast(version, least)),
      Array.from({ length: 5 }, () => true)
    )
    assert.deepStrictEqual(
      ["6.14.99", "6.9", "5.20", ""].map((version) => isAtLeast(version, least)),
      [false, false, false, false]
    )
  })
})
