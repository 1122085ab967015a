/**
 * The folders of one container's groups, by controller: where its limits are written. Where the specification names a path, that counts alone: an init may
 * have moved itself below it, or its pid be somebody else's. Else it is the group of the init process. Never a root, never berth's own group.
 */
import { existsSync, readFileSync } from "node:fs"
import { parseMembership } from "../Hierarchies.ts"

export interface Groups {
  /** Of version 1, by controller. */
  readonly v1: ReadonlyMap<string, string>
  readonly v2: string | null
}

export interface Where {
  /** A folder that stands for `/`, with `proc` and `sys` in it. */
  readonly root: string
  /** Of init, alive; `null` where it is not known. */
  readonly pid: number | null
  readonly cgroupsPath: string | null
}

const lines = (path: string): ReadonlyArray<string> => {
  try {
    return readFileSync(path, "utf8").split("\n")
  } catch {
    return []
  }
}

/** Mount points by controller, `""` for version 2; a mount that shows only a part of its hierarchy is left out. */
const mounts = (root: string): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  for (const line of lines(`${root}/proc/self/mountinfo`)) {
    const [mounted = "", system = ""] = line.split(" - ")
    const [, , , top, point = ""] = mounted.split(" ")
    const [type, , options = ""] = system.split(" ")
    if (top !== "/" || (type !== "cgroup" && type !== "cgroup2")) continue
    for (const name of type === "cgroup2" ? [""] : options.split(",")) {
      if (!found.has(name)) found.set(name, point)
    }
  }
  return found
}

const membership = (path: string) => parseMembership(lines(path).join("\n"))

/** Finds them now. Empty where the container has none of its own. */
export const locate = ({ cgroupsPath, pid, root }: Where): Groups => {
  const own = membership(`${root}/proc/self/cgroup`)
  const member = pid === null ? new Map<string, string>() : membership(`${root}/proc/${pid}/cgroup`)
  const folder = (name: string, point: string): string | null => {
    const declared = cgroupsPath === null ? null : `${point}${cgroupsPath}`
    if (declared !== null) return existsSync(root + declared) ? root + declared : null
    const group = member.get(name)
    if (group === undefined || group === "/" || group === own.get(name) || group.split("/").includes("..")) return null
    return existsSync(`${root}${point}${group}`) ? `${root}${point}${group}` : null
  }
  const v1 = new Map<string, string>()
  let v2: string | null = null
  for (const [name, point] of mounts(root)) {
    const path = folder(name, point)
    if (path === null) continue
    if (name === "") v2 = path
    else v1.set(name, path)
  }
  return { v1, v2 }
}
