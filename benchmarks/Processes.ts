/**
 * Processes of this machine, told apart by the folder that their arguments name: each server of a benchmark has folders
 * of its own.
 */
import { readdirSync, readFileSync } from "node:fs"
import { dirname } from "node:path"

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    // It has ended meanwhile.
    return ""
  }
}

/** Pids of the processes that have a path below `folder` among their arguments. */
export const processesOf = (folder: string): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && read(`/proc/${name}/cmdline`).includes(`${folder}/`))
    .map(Number)

/** Memory of processes in MB, what they share with others divided among all that share it. */
export const proportionalMemory = (pids: ReadonlyArray<number>): number => {
  const kibibytes = pids.map((pid) => Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0))
  return kibibytes.reduce((sum, value) => sum + value, 0) / 1024
}

/** The daemons and shims on a volatile folder of a workspace; what runs in containers names no folder. */
export const servedBy = (volatile: string) => {
  const pids = processesOf(dirname(volatile))
  const isShim = (pid: number) => read(`/proc/${pid}/cmdline`).includes("/shim.")
  return { daemons: pids.filter((pid) => !isShim(pid)), shims: pids.filter(isShim) }
}

/** Milliseconds of processor time that processes, and the children that they have waited for, have used so far. */
export const processorTime = (pids: ReadonlyArray<number>) => {
  const sum = { own: 0, children: 0 }
  for (const pid of pids) {
    const line = read(`/proc/${pid}/stat`)
    const fields = line
      .slice(line.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number)
    const at = (index: number) => (fields[index] ?? 0) * 10
    sum.own += at(11) + at(12)
    sum.children += at(13) + at(14)
  }
  return sum
}
