/** What berth needs of a machine, one small judgement each over the facts. Pure: the facts are read elsewhere. */
import type { DriverInfo } from "../../schema/Runtime.ts"
import type { Facts } from "./Facts.ts"

/** One prerequisite. `needed`: berth cannot run without it; otherwise only what `missing` says is lacking. */
export interface Check {
  readonly name: string
  readonly found: boolean
  readonly version: string | null
  readonly missing: string | null
  readonly mend: string | null
  readonly needed: boolean
}

const good = (name: string, needed: boolean, version: string | null): Check => ({
  name,
  found: true,
  version,
  missing: null,
  mend: null,
  needed
})

const bad = (
  name: string,
  needed: boolean,
  missing: string,
  mend: string | null,
  version: string | null = null
): Check => ({
  name,
  found: false,
  version,
  missing,
  mend,
  needed
})

/** Whether a version is at least another, number by number. */
export const isAtLeast = (version: string, least: ReadonlyArray<number>): boolean => {
  const numbers = version.split(/[.-]/).map(Number)
  const different = least.findIndex((wanted, index) => (numbers[index] || 0) !== wanted)
  return different < 0 || (numbers[different] || 0) > (least[different] ?? 0)
}

export const platform = (facts: Facts): Check =>
  facts.platform === "linux"
    ? good("linux", true, facts.kernel)
    : bad("linux", true, `this is ${facts.platform}`, "run berth on Linux")

const leastNode = [24]

export const node = (facts: Facts): Check =>
  isAtLeast(facts.node, leastNode)
    ? good("node", true, facts.node)
    : bad("node", true, `older than ${leastNode.join(".")}`, "install Node.js 24 or newer", facts.node)

export const sqlite = (facts: Facts): Check =>
  facts.sqlite === null
    ? bad("sqlite", true, "this Node.js has no node:sqlite", "install Node.js 24 or newer")
    : good("sqlite", true, facts.sqlite)

export const libc = (facts: Facts): Check =>
  facts.libc === null ? good("native calls", true, null) : bad("native calls", true, facts.libc, "npm rebuild koffi")

/** CAP_SYS_ADMIN, without which nobody makes namespaces and mounts. */
const sysAdmin = 1n << 21n

export const root = (facts: Facts): Check => {
  if (facts.uid !== 0) {
    // The one driver that needs nobody's rights.
    const without = facts.drivers.some((info) => info.available && !isolates(info))
    return bad("root", !without, `this is user ${facts.uid}`, "sudo berth doctor")
  }
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(facts.status)?.[1] ?? "0"}`)
  return (effective & sysAdmin) === 0n
    ? bad(
        "root",
        true,
        "without the capability CAP_SYS_ADMIN",
        "run berth outside of a container, or in a privileged one"
      )
    : good("root", true, null)
}

/** Controllers mounted as version 1, by name. */
const version1 = (mounts: string): ReadonlyArray<string> =>
  mounts.split("\n").flatMap((line) => {
    const [, type, , options] = / - (\S+) (\S+) (\S+)/.exec(line) ?? []
    return type === "cgroup" && options !== undefined ? options.split(",") : []
  })

const wantedControllers = ["memory", "cpu", "pids"]

export const cgroups = (facts: Facts): Check => {
  const old = version1(facts.mounts)
  const all = facts.cgroup2 === null ? [...old, ...(facts.unified ?? "").split(/\s+/)] : facts.cgroup2.split(/\s+/)
  const kind = facts.cgroup2 !== null ? "v2" : facts.unified === null ? "v1" : "v1 with v2 beside it"
  if (facts.cgroup2 === null && old.length === 0) {
    return bad("cgroups", true, "no hierarchy is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
  }
  const lacking = wantedControllers.filter((name) => !all.includes(name))
  return lacking.length === 0
    ? good("cgroups", true, kind)
    : bad(
        "cgroups",
        false,
        `limits of ${lacking.join(", ")} cannot be set`,
        `boot with cgroup_enable=${lacking.join(",")}`,
        kind
      )
}

const isolates = ({ capabilities }: DriverInfo): boolean => capabilities.includes("isolation")

const driver = (info: DriverInfo): Check =>
  info.available
    ? {
        ...good(info.name, false, info.version),
        missing: isolates(info) ? null : "isolation: plain processes of this machine"
      }
    : bad(info.name, false, info.problem ?? "does not work", info.mend, info.version)

/** Each runtime by itself, and that there is one at all. */
export const runtimes = (facts: Facts): ReadonlyArray<Check> => {
  const usual = facts.drivers.find((info) => info.default) ?? facts.drivers.find((info) => info.available)
  const any =
    usual === undefined
      ? bad("a runtime", true, "none works here", "apt-get install runc")
      : good("a runtime", true, `${usual.name} ${usual.version ?? ""}`.trim())
  return [any, ...facts.drivers.map(driver)]
}

export const overlayfs = (facts: Facts): Check =>
  /\boverlay$/m.test(facts.filesystems)
    ? good("overlayfs", false, null)
    : bad("overlayfs", false, "no copy on write for root filesystems", "modprobe overlay")

/** The first Linux that tells the exit status of a process to who is not its parent. */
const pidfdExit = [6, 15]

export const exitAfterLoss = (facts: Facts): Check =>
  isAtLeast(facts.kernel, pidfdExit)
    ? good("exit codes after a lost shim", false, facts.kernel)
    : bad(
        "exit codes after a lost shim",
        false,
        `Linux older than ${pidfdExit.join(".")}: such exits are reported as unknown`,
        "boot a newer kernel",
        facts.kernel
      )

export const seccomp = (facts: Facts): Check =>
  /^Seccomp:/m.test(facts.status)
    ? good("seccomp", false, null)
    : bad(
        "seccomp",
        false,
        "the kernel cannot filter system calls",
        "boot a kernel with CONFIG_SECCOMP_FILTER, or use --seccomp unconfined"
      )

export const userNamespaces = (facts: Facts): Check =>
  facts.maxUserNamespaces === null || Number(facts.maxUserNamespaces) === 0
    ? bad("user namespaces", false, "no --uidmap and --gidmap", "sysctl user.max_user_namespaces=10000")
    : good("user namespaces", false, null)

export const criu = (facts: Facts): Check =>
  facts.criu === null ? bad("criu", false, "no checkpoints", "apt-get install criu") : good("criu", false, facts.criu)

/** A row that cannot be read is left out by the daemon; what it told of still takes up its id. */
export const store = ({ store: { damages, file } }: Facts): Check =>
  damages.length === 0
    ? good("store", false, null)
    : bad("store", false, `${file}: ${damages.join("; ")}`, "restore it from a backup, or delete those rows")

/** What is removed already is no problem any more. */
export const leftovers = ({ orphans: { found, problem } }: Facts): Check => {
  if (problem !== null) return bad("leftovers of crashes", false, problem, null)
  const left = found.filter(({ fate }) => fate !== "removed")
  if (left.length === 0) return good("leftovers of crashes", false, null)
  const mend = left.some(({ fate }) => fate === "found") ? "berth doctor --repair" : null
  return bad("leftovers of crashes", false, `${left.length} left, listed below`, mend)
}

export const daemon = ({ daemon }: Facts): Check =>
  "version" in daemon
    ? good("daemon", false, daemon.version)
    : bad("daemon", false, `${daemon.address}: ${daemon.problem}`, "berth daemon")

/** One of another version than its daemon goes on until its last container is gone. */
export const shim = ({ daemon }: Facts): ReadonlyArray<Check> => {
  if (!("version" in daemon) || daemon.shim === null) return []
  return daemon.shim === daemon.version
    ? [good("shim", false, daemon.shim)]
    : [
        bad(
          "shim",
          false,
          `the daemon is of ${daemon.version}; calls that came in between may fail`,
          "nothing: it is replaced when its last container is deleted",
          daemon.shim
        )
      ]
}

/** Everything, what is needed first. */
export const all = (facts: Facts): ReadonlyArray<Check> => [
  platform(facts),
  root(facts),
  node(facts),
  sqlite(facts),
  libc(facts),
  cgroups(facts),
  ...runtimes(facts),
  seccomp(facts),
  overlayfs(facts),
  userNamespaces(facts),
  exitAfterLoss(facts),
  criu(facts),
  store(facts),
  leftovers(facts),
  daemon(facts),
  ...shim(facts)
]

/** Whether berth can run. */
export const isFit = (checks: ReadonlyArray<Check>): boolean => checks.every(({ found, needed }) => found || !needed)
