/**
 * Where the groups of a process are. The kernel says which hierarchies are mounted where (one of version 2, several of version 1, or both), and which group
 * of each a process is in; the specification says where the container was meant to be. A group that is the root, or berth's own, is not the container's.
 */
import type { CgroupTarget } from "../../services/Cgroups.ts"
import type { Reader } from "./Reader.ts"

export const controllers = ["cpu", "cpuacct", "memory", "pids", "blkio", "hugetlb", "freezer", "cpuset"] as const
export type Controller = (typeof controllers)[number]

interface Mount {
  readonly point: string
  /** The group that shows at the mount point; `/` unless berth itself is in a container. */
  readonly root: string
}

export interface Mounts {
  readonly v1: ReadonlyMap<string, Mount>
  readonly v2: Mount | null
}

/** The folder of a container in each hierarchy. */
export interface Located {
  readonly v1: { readonly [C in Controller]?: string }
  readonly v2: string | null
  /** Where the hierarchy of version 2 begins: no limit is looked for above. */
  readonly top: string
}

const unescape = (path: string) => path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)))

/** Of /proc/PID/mountinfo. Where a hierarchy is mounted more than once, the first mount of all of it counts, then the first. */
export const parseMounts = (mountinfo: string): Mounts => {
  const v1 = new Map<string, Mount>()
  let v2: Mount | null = null
  const better = (mount: Mount, than: Mount | null | undefined) =>
    than === null || than === undefined || (mount.root === "/" && than.root !== "/")
  for (const line of mountinfo.split("\n")) {
    const [mounted = "", system = ""] = line.split(" - ")
    if (!system.startsWith("cgroup")) continue
    const [, , , root = "/", point = ""] = mounted.split(" ")
    const [type, , options = ""] = system.split(" ")
    const mount = { root: unescape(root), point: unescape(point) }
    if (type === "cgroup2" && better(mount, v2)) v2 = mount
    if (type !== "cgroup") continue
    for (const name of options.split(",")) {
      if (controllers.some((known) => known === name) && better(mount, v1.get(name))) v1.set(name, mount)
    }
  }
  return { v1, v2 }
}

/** Of /proc/PID/cgroup: the group for each controller, under `""` the one of version 2. Groups that are removed are left out. */
export const parseMembership = (text: string): ReadonlyMap<string, string> => {
  const groups = new Map<string, string>()
  for (const line of text.split("\n")) {
    const [, names, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (names === undefined || path === undefined || path.endsWith(" (deleted)")) continue
    for (const name of names.split(",")) groups.set(name, path)
  }
  return groups
}

/** Where a group shows; `null` where that mount does not show it. */
export const folderOf = ({ point, root }: Mount, group: string): string | null => {
  if (group.split("/").includes("..")) return null
  if (root === "/") return point + group
  if (group === root) return point
  return group.startsWith(`${root}/`) ? point + group.slice(root.length) : null
}

const isWithin = (group: string, above: string) => group === above || group.startsWith(`${above}/`)

export const make = (reader: Reader) => {
  const load = () => parseMounts(reader.all("/proc/self/mountinfo") ?? "")
  let mounts = load()

  const membership = (pid: number | "self") => parseMembership(reader.all(`/proc/${pid}/cgroup`) ?? "")

  /** The container's own folder in each hierarchy; none where it has no group of its own. */
  const locate = ({ cgroupsPath, pid }: Omit<CgroupTarget, "containerId">): Located | null => {
    const found = pid === null ? new Map<string, string>() : membership(pid)
    // A hierarchy that was mounted since.
    if (controllers.some((name) => found.has(name) && !mounts.v1.has(name))) mounts = load()
    const own = membership("self")
    const trimmed = cgroupsPath?.replace(/\/+$/, "") ?? ""
    const declared = trimmed.startsWith("/") ? trimmed : null

    const folder = (mount: Mount | null | undefined, name: string): string | null => {
      if (mount === null || mount === undefined) return null
      const member = found.get(name)
      // A version 1 hierarchy shows the root for a process that has ended, as it does for one that was never moved.
      const real = member === undefined || member === "/" || member === own.get(name) ? null : member
      // An init that manages groups itself sits below its container's.
      const group = declared !== null && (real === null || isWithin(real, declared)) ? declared : real
      const path = group === null || group === own.get(name) ? null : folderOf(mount, group)
      return path !== null && (group === real || reader.exists(path)) ? path : null
    }

    const v1: { [C in Controller]?: string } = {}
    for (const name of controllers) {
      const path = folder(mounts.v1.get(name), name)
      if (path !== null) v1[name] = path
    }
    const v2 = folder(mounts.v2, "")
    const none = v2 === null && Object.keys(v1).length === 0
    return none ? null : { v1, v2, top: mounts.v2?.point ?? "" }
  }

  return {
    locate,
    /** Whether this machine has groups at all. */
    any: () => mounts.v2 !== null || mounts.v1.size > 0
  }
}
