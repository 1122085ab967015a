/** What a sample needs to know of the whole machine. Kept for a moment, so that a round over many containers reads it a few times only. */
import { tick } from "./Cpu.ts"
import { amount, field, rows, times } from "./Parse.ts"
import type { Reader } from "./Reader.ts"

export interface Machine {
  /** Nanoseconds of all processors together, idle or not. */
  readonly cpuTime: number
  readonly onlineCpus: number
  /** Bytes. */
  readonly memory: number
  readonly swap: number
  /** Sizes of huge pages of which there is a pool, as cgroupfs writes them. */
  readonly hugePages: ReadonlyArray<string>
}

/** Short beside any interval between two samples of one container, which this blurs. */
const freshness = 10_000_000n

const sizes = "/sys/kernel/mm/hugepages"

/** `hugepages-2048kB` is 2MB. */
const sizeName = (folder: string): string => {
  const kilobytes = Number.parseInt(folder.slice(folder.indexOf("-") + 1), 10)
  if (kilobytes >= 1 << 20) return `${kilobytes >> 20}GB`
  return kilobytes >= 1 << 10 ? `${kilobytes >> 10}MB` : `${kilobytes}KB`
}

const read = (reader: Reader): Machine => {
  const lines = rows(reader.once("/proc/stat") ?? "").filter(([name = ""]) => name.startsWith("cpu"))
  const meminfo = reader.once("/proc/meminfo")
  // Time of guests is in user time already.
  const ticks = lines[0]?.slice(1, 9) ?? []
  return {
    cpuTime: ticks.reduce((total, value) => total + Number(value), 0) * tick,
    onlineCpus: Math.max(1, lines.length - 1),
    memory: times(kilobytes(meminfo, "MemTotal:"), 1024) ?? 0,
    swap: times(kilobytes(meminfo, "SwapTotal:"), 1024) ?? 0,
    hugePages: reader
      .folders(sizes)
      .filter((size) =>
        ["nr_hugepages", "nr_overcommit_hugepages"].some(
          (pool) => (amount(reader.once(`${sizes}/${size}/${pool}`)) ?? 0) > 0
        )
      )
      .map(sizeName)
  }
}

const kilobytes = (meminfo: string | null, key: string) => field(meminfo?.replaceAll(" kB", "") ?? null, key)

/** Gives the machine as it was at most a moment before `now`, a time in nanoseconds. */
export const make = (reader: Reader) => {
  let last: { readonly at: bigint; readonly machine: Machine } | null = null
  return (now: bigint): Machine => {
    if (last === null || now - last.at > freshness) last = { at: now, machine: read(reader) }
    return last.machine
  }
}
