/** Memory of a group: how much, of what kind, up to what limit, and how often the kernel killed for it. */
import type { MemoryStats } from "../../schema/Stats.ts"
import type { Located } from "./Hierarchies.ts"
import type { Machine } from "./Machine.ts"
import { amount, field } from "./Parse.ts"
import type { Reader } from "./Reader.ts"

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

const workingSet = (usage: number | null, droppable: number | null) =>
  usage === null || droppable === null ? null : Math.max(0, usage - droppable)

/** Version 1 counts a kill in the victim's own group only, so those below are added up. */
const killsV1 = (reader: Reader, folder: string): number | null => {
  const own = field(reader.once(`${folder}/memory.oom_control`), "oom_kill")
  if (own === null) return null
  return reader.folders(folder).reduce((total, name) => total + (killsV1(reader, `${folder}/${name}`) ?? 0), own)
}

const readV1 = (reader: Reader, folder: string, machine: Machine): MemoryStats => {
  const usage = amount(reader.once(`${folder}/memory.usage_in_bytes`))
  const stat = reader.once(`${folder}/memory.stat`)
  const limit = field(stat, "hierarchical_memory_limit") ?? Number.POSITIVE_INFINITY
  // Counts memory and swap together, and is missing where the kernel does not account for swap.
  const both = field(stat, "hierarchical_memsw_limit")
  return {
    usage,
    workingSet: workingSet(usage, field(stat, "total_inactive_file")),
    cache: field(stat, "total_cache"),
    rss: field(stat, "total_rss"),
    swap: both === null ? null : field(stat, "total_swap"),
    limit: Math.min(limit, machine.memory),
    swapLimit: both === null ? null : Math.min(Number.isFinite(both) ? Math.max(0, both - limit) : both, machine.swap),
    peak: amount(reader.once(`${folder}/memory.max_usage_in_bytes`)),
    pageFaults: field(stat, "total_pgfault"),
    majorPageFaults: field(stat, "total_pgmajfault"),
    oomKills: killsV1(reader, folder),
    events: nothing.events
  }
}

/** The least of a limit's values from the group up to the top; `null` where the file does not exist. */
const tightest = (reader: Reader, { top, v2 }: Located, file: string): number | null => {
  let least: number | null = null
  for (let folder = v2 ?? top; folder.length > top.length; folder = folder.slice(0, folder.lastIndexOf("/"))) {
    const limit = amount(reader.once(`${folder}/${file}`))
    if (limit === null) break
    least = Math.min(least ?? limit, limit)
  }
  return least
}

const readV2 = (reader: Reader, located: Located, folder: string, machine: Machine): MemoryStats => {
  const usage = amount(reader.once(`${folder}/memory.current`))
  if (usage === null) return { ...nothing, limit: machine.memory }
  const stat = reader.once(`${folder}/memory.stat`)
  const events = reader.once(`${folder}/memory.events`)
  const swap = amount(reader.once(`${folder}/memory.swap.current`))
  return {
    usage,
    workingSet: workingSet(usage, field(stat, "inactive_file")),
    cache: field(stat, "file"),
    rss: field(stat, "anon"),
    swap,
    limit: Math.min(tightest(reader, located, "memory.max") ?? machine.memory, machine.memory),
    swapLimit:
      swap === null ? null : Math.min(tightest(reader, located, "memory.swap.max") ?? machine.swap, machine.swap),
    peak: amount(reader.once(`${folder}/memory.peak`)),
    pageFaults: field(stat, "pgfault"),
    majorPageFaults: field(stat, "pgmajfault"),
    oomKills: field(events, "oom_kill"),
    events: {
      low: field(events, "low"),
      high: field(events, "high"),
      max: field(events, "max"),
      oom: field(events, "oom"),
      oomGroupKill: field(events, "oom_group_kill")
    }
  }
}

/** Every field but `limit` is `null` where the container has no group that counts memory. */
export const read = (reader: Reader, located: Located, machine: Machine): MemoryStats => {
  if (located.v1.memory !== undefined) return readV1(reader, located.v1.memory, machine)
  if (located.v2 !== null) return readV2(reader, located, located.v2, machine)
  return { ...nothing, limit: machine.memory }
}

/** Kills alone; `null` where nobody counts them, or the group is gone. */
export const oomKills = (reader: Reader, { v1, v2 }: Located): number | null => {
  if (v1.memory !== undefined) return killsV1(reader, v1.memory)
  return v2 === null ? null : field(reader.once(`${v2}/memory.events`), "oom_kill")
}

/** The file that the kernel marks as changed at a kill: only version 2 has one. */
export const oomFile = ({ v1, v2 }: Located): string | null =>
  v1.memory === undefined && v2 !== null ? `${v2}/memory.events` : null

/** The peak alone. */
export const peak = (reader: Reader, { v1, v2 }: Located): number | null => {
  if (v1.memory !== undefined) return amount(reader.once(`${v1.memory}/memory.max_usage_in_bytes`))
  return v2 === null ? null : amount(reader.once(`${v2}/memory.peak`))
}
