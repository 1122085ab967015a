/** What a container could leave on this machine: looked for where it would be, whoever had made it. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { release } from "node:os"
import { join } from "node:path"

/** Since 6.15 Linux tells the exit status of a process that was never a child of who asks. */
export const kernelTells =
  release()
    .split(".", 2)
    .map(Number)
    .reduce((all, part) => all * 1000 + part, 0) >= 6015

const cgroupRoot = "/sys/fs/cgroup"

/** Cgroups whose name has this in it, at the top of any hierarchy. */
export const cgroupsOf = (id: string): ReadonlyArray<string> =>
  [".", ...readdirSync(cgroupRoot)].flatMap((hierarchy) => {
    const folder = join(cgroupRoot, hierarchy)
    try {
      return readdirSync(folder)
        .filter((name) => name.includes(id))
        .map((name) => join(folder, name))
    } catch {
      return []
    }
  })

/** Processes that live and have this in their command line. */
export const processesWith = (text: string): ReadonlyArray<number> =>
  readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      return readFileSync(`/proc/${name}/cmdline`, "utf8").includes(text) ? [Number(name)] : []
    } catch {
      return []
    }
  })

/** Everything below a folder whose path has this in it. */
export const filesWith = (folder: string, id: string): ReadonlyArray<string> =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => path.includes(id))
    : []

/** Whether a process lives: a zombie does not. */
export const lives = (pid: number): boolean => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}
