/** Memory of a group: how much, of what kind, up to what limit, and how often the kernel killed for it. */
import type { MemoryStats } from "../../schema/Stats.ts"
import * as Bytes from "./Bytes.ts"
import type { Located } from "./Hierarchies.ts"
import type { Machine } from "./Machine.ts"
import type { File, Reader } from "./Reader.ts"

type Amount = number | null

/** Of one container, each read when it is asked for. */
export interface MemoryFiles {
  /** Every field but `limit` is `null` where the container has no group that counts memory. */
  readonly stats: (machine: Machine) => MemoryStats
  /** Kills alone; `null` where nobody counts them, or the group is gone. */
  readonly oomKills: () => Amount
  /** The peak alone. */
  readonly peak: () => Amount
}

const nothing: Omit<MemoryStats, "limit"> = {
  usage: null,
  workingSet: null,
  cache: null,
  rss: null,
  swap: null,
  swapLimit: null,
  peak: null,
  pageFaults: null,
  majorPageFaults: null,
  oomKills: null,
  events: { low: null, high: null, max: null, oom: null, oomGroupKill: null }
}

const workingSet = (usage: Amount, droppable: Amount) =>
  usage === null || droppable === null ? null : Math.max(0, usage - droppable)

const killed = Bytes.fields("oom_kill")
const first = (found: ReadonlyArray<Amount> | null): Amount => found?.[0] ?? null

/** Version 1 counts a kill in the victim's own group only, so those below are added up. */
const killsV1 = (reader: Reader, folder: string): (() => Amount) => {
  const control = reader.file(`${folder}/memory.oom_control`)
  const group = reader.folder(folder)
  let opened = 0
  let below: ReadonlyMap<string, () => Amount> = new Map()
  return () => {
    const own = first(control.read(killed))
    if (own === null) return null
    // That a group was removed and made again is told by its files, not by its folder.
    if (opened !== control.opened()) group.close()
    opened = control.opened()
    const names = group.folders()
    if (names.length === 0) return own
    const known = below
    below = new Map(names.map((name) => [name, known.get(name) ?? killsV1(reader, `${folder}/${name}`)] as const))
    return Array.from(below.values()).reduce((total, kills) => total + (kills() ?? 0), own)
  }
}

const statV1 = Bytes.fields(
  "hierarchical_memory_limit",
  "hierarchical_memsw_limit",
  "total_cache",
  "total_rss",
  "total_swap",
  "total_pgfault",
  "total_pgmajfault",
  "total_inactive_file"
)

const makeV1 = (reader: Reader, folder: string): MemoryFiles => {
  const usageFile = reader.file(`${folder}/memory.usage_in_bytes`)
  const statFile = reader.file(`${folder}/memory.stat`)
  const peakFile = reader.file(`${folder}/memory.max_usage_in_bytes`)
  const oomKills = killsV1(reader, folder)
  const peak = () => peakFile.read(Bytes.amount)
  const stats = (machine: Machine): MemoryStats => {
    const usage = usageFile.read(Bytes.amount)
    const [
      ownLimit = null,
      // Counts memory and swap together, and is missing where the kernel does not account for swap.
      both = null,
      cache = null,
      rss = null,
      swap = null,
      pageFaults = null,
      majorPageFaults = null,
      droppable = null
    ] = statFile.read(statV1) ?? []
    const limit = ownLimit ?? Number.POSITIVE_INFINITY
    return {
      usage,
      workingSet: workingSet(usage, droppable),
      cache,
      rss,
      swap: both === null ? null : swap,
      limit: Math.min(limit, machine.memory),
      swapLimit:
        both === null ? null : Math.min(Number.isFinite(both) ? Math.max(0, both - limit) : both, machine.swap),
      peak: peak(),
      pageFaults,
      majorPageFaults,
      oomKills: oomKills(),
      events: nothing.events
    }
  }
  return { stats, oomKills, peak }
}

/** The least of a limit's values from the group up to the top; `null` where the file does not exist. */
const tightest = (reader: Reader, folder: string, top: string, name: string): (() => Amount) => {
  const files: Array<File> = []
  for (let at = folder; at.length > top.length; at = at.slice(0, at.lastIndexOf("/"))) {
    files.push(reader.file(`${at}/${name}`))
  }
  return () => {
    let least: Amount = null
    for (const file of files) {
      const limit = file.read(Bytes.amount)
      if (limit === null) break
      least = Math.min(least ?? limit, limit)
    }
    return least
  }
}

const statV2 = Bytes.fields("anon", "file", "inactive_file", "pgfault", "pgmajfault")
const eventsV2 = Bytes.fields("low", "high", "max", "oom", "oom_kill", "oom_group_kill")

const makeV2 = (reader: Reader, folder: string, top: string): MemoryFiles => {
  const file = (name: string) => reader.file(`${folder}/memory.${name}`)
  const [usageFile, statFile, eventsFile, swapFile, peakFile] = [
    file("current"),
    file("stat"),
    file("events"),
    file("swap.current"),
    file("peak")
  ]
  const limit = tightest(reader, folder, top, "memory.max")
  const swapLimit = tightest(reader, folder, top, "memory.swap.max")
  const peak = () => peakFile.read(Bytes.amount)
  const stats = (machine: Machine): MemoryStats => {
    const usage = usageFile.read(Bytes.amount)
    if (usage === null) return { ...nothing, limit: machine.memory }
    const [rss = null, cache = null, droppable = null, pageFaults = null, majorPageFaults = null] =
      statFile.read(statV2) ?? []
    const [low = null, high = null, max = null, oom = null, oomKills = null, oomGroupKill = null] =
      eventsFile.read(eventsV2) ?? []
    const swap = swapFile.read(Bytes.amount)
    return {
      usage,
      workingSet: workingSet(usage, droppable),
      cache,
      rss,
      swap,
      limit: Math.min(limit() ?? machine.memory, machine.memory),
      swapLimit: swap === null ? null : Math.min(swapLimit() ?? machine.swap, machine.swap),
      peak: peak(),
      pageFaults,
      majorPageFaults,
      oomKills,
      events: { low, high, max, oom, oomGroupKill }
    }
  }
  return { stats, oomKills: () => first(eventsFile.read(killed)), peak }
}

const none: MemoryFiles = {
  stats: (machine) => ({ ...nothing, limit: machine.memory }),
  oomKills: () => null,
  peak: () => null
}

export const make = (reader: Reader, { top, v1, v2 }: Located): MemoryFiles => {
  if (v1.memory !== undefined) return makeV1(reader, v1.memory)
  return v2 === null ? none : makeV2(reader, v2, top)
}

/** The file that the kernel marks as changed at a kill: only version 2 has one. */
export const oomFile = ({ v1, v2 }: Located): string | null =>
  v1.memory === undefined && v2 !== null ? `${v2}/memory.events` : null
