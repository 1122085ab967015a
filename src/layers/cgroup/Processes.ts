/** Processes as people know them, from /proc. Nothing is kept but the moment of boot. */
import { DateTime, Option } from "effect"
import type { ProcessInfo } from "../../schema/Stats.ts"
import * as Proc from "../posix/Proc.ts"
import { tick } from "./Cpu.ts"
import { field } from "./Parse.ts"
import type { Reader } from "./Reader.ts"

/** Start times count in hundredths of a second. */
const tickMillis = 10

/** Of /proc/PID/stat, after the name: user and system time in ticks. */
const [userTime, systemTime] = [11, 12]

/** `stat` names the boot to the second, rounded down. */
const precision = 2000

export const make = (reader: Reader) => {
  let precise = Number.NaN

  /** Milliseconds of the epoch. To the hundredth of a second by `uptime`, and the same at each call while nobody sets the clock. */
  const bootTime = (now: number): number => {
    const coarse = (field(reader.once("/proc/stat"), "btime") ?? 0) * 1000
    if (Math.abs(precise - coarse) <= precision) return precise
    precise = now - Number.parseFloat(reader.once("/proc/uptime") ?? "NaN") * 1000
    return Math.abs(precise - coarse) <= precision ? precise : coarse
  }

  const info = (pid: number, boot: number): ProcessInfo | null => {
    const line = reader.once(`/proc/${pid}/stat`) ?? ""
    const stat = Option.getOrNull(Proc.parseStat(line))
    const status = reader.once(`/proc/${pid}/status`) ?? ""
    const user = /^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1]
    if (stat === null || user === undefined) return null
    const fields = line.slice(line.lastIndexOf(")") + 2).split(" ")
    const ticks = Number(fields[userTime] ?? 0) + Number(fields[systemTime] ?? 0)
    return {
      pid,
      ppid: stat.parent,
      user: Number(user),
      command: line.slice(line.indexOf("(") + 1, line.lastIndexOf(")")),
      args: (reader.all(`/proc/${pid}/cmdline`) ?? "").split("\0").slice(0, -1),
      startedAt: DateTime.makeUnsafe(Math.round(boot + Number(stat.startTime) * tickMillis)),
      state: stat.state,
      cpuTime: ticks * tick,
      // Absent for threads of the kernel and for what has ended.
      rss: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024,
      execId: null
    }
  }

  /** Those of the processes that still are, at the time `now` in milliseconds of the epoch. */
  return (pids: ReadonlyArray<number>, now: number): ReadonlyArray<ProcessInfo> => {
    const boot = bootTime(now)
    return pids.map((pid) => info(pid, boot)).filter((found) => found !== null)
  }
}
