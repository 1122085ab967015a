/** What a sample needs to know of the whole machine. Kept for a moment, so that a round over many containers reads it a few times only. */
import * as Bytes from "./Bytes.ts"
import { tick } from "./Cpu.ts"
import { times } from "./Parse.ts"
import type { File, Reader } from "./Reader.ts"

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

const cpuWord = Buffer.from("cpu", "latin1")

/** Of /proc/stat, which begins with a line of ticks for all processors and one for each. */
const processors: Bytes.Parse<{ readonly ticks: number; readonly lines: number }> = (bytes, length) => {
  let [ticks, lines] = [0, 0]
  Bytes.eachLine(bytes, length, (start, end) => {
    if (!Bytes.isWord(bytes, start, start + cpuWord.length, cpuWord)) return
    lines++
    if (lines > 1) return
    let at = Bytes.wordEnd(bytes, start, end)
    // Time of guests, which comes after these, is in user time already.
    for (let kinds = 8; kinds > 0; kinds--) {
      const from = Bytes.nextWord(bytes, at, end)
      at = Bytes.wordEnd(bytes, from, end)
      ticks += Bytes.number(bytes, from, at) ?? 0
    }
  })
  return { ticks, lines }
}

/** In kibibytes. */
const totals = Bytes.fields("MemTotal:", "SwapTotal:")

const isPositive = (file: File) => (file.read(Bytes.amount) ?? 0) > 0

const readerOf = (reader: Reader) => {
  const [stat, meminfo] = [reader.file("/proc/stat"), reader.file("/proc/meminfo")]
  // The sizes are those of the processor; pools come and go.
  const pools = reader.folders(sizes).map((size) => ({
    size: sizeName(size),
    files: ["nr_hugepages", "nr_overcommit_hugepages"].map((pool) => reader.file(`${sizes}/${size}/${pool}`))
  }))
  return (): Machine => {
    const { lines, ticks } = stat.read(processors) ?? { lines: 0, ticks: 0 }
    const [memory = null, swap = null] = meminfo.read(totals) ?? []
    return {
      cpuTime: ticks * tick,
      onlineCpus: Math.max(1, lines - 1),
      memory: times(memory, 1024) ?? 0,
      swap: times(swap, 1024) ?? 0,
      hugePages: pools.flatMap(({ files, size }) => (files.some(isPositive) ? [size] : []))
    }
  }
}

/** Gives the machine as it was at most a moment before `now`, a time in nanoseconds. */
export const make = (reader: Reader) => {
  let read: (() => Machine) | null = null
  let last: { readonly at: bigint; readonly machine: Machine } | null = null
  return (now: bigint): Machine => {
    read ??= readerOf(reader)
    if (last === null || now - last.at > freshness) last = { at: now, machine: read() }
    return last.machine
  }
}
