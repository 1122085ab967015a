/**
 * What a container uses, at one moment, and the processes in it. Bytes and nanoseconds throughout; `null` where this kernel, or the container's
 * controllers, do not tell. Counters only ever grow while the container lives: rates come from two samples and their `readAt`.
 */
import { DateTime, Effect, Schema, SchemaGetter } from "effect"
import { ContainerId, ExecId } from "./Ids.ts"

/** Counters may pass 2^53, where a double is no longer exact to the unit. One check for all that is wanted: a sample of many containers has thousands. */
const Amount = Schema.Finite.check(
  Schema.makeFilter((n: number) => n >= 0 && n <= 2 ** 64 && Number.isInteger(n), {
    expected: "an integer from 0 on of at most 64 bits",
    arbitraryConstraint: { number: "integer" }
  })
)
const Maybe = Schema.NullOr(Amount)

/** Processor time in nanoseconds. `usage` over `systemUsage`, each as the difference of two samples, is the container's part of the machine. */
export const CpuStats = Schema.Struct({
  usage: Maybe,
  user: Maybe,
  system: Maybe,
  /** Time of every processor of the machine, idle time too. */
  systemUsage: Amount,
  onlineCpus: Schema.Int,
  /** Bandwidth periods that have passed, and those in which the container had to stop; both 0 without a limit. */
  periods: Maybe,
  throttledPeriods: Maybe,
  throttledTime: Maybe
})
export type CpuStats = typeof CpuStats.Type

/** How often the container met each of its memory limits. Cgroup v1 has no such counts. */
export const MemoryEvents = Schema.Struct({ low: Maybe, high: Maybe, max: Maybe, oom: Maybe, oomGroupKill: Maybe })
export type MemoryEvents = typeof MemoryEvents.Type

export const MemoryStats = Schema.Struct({
  usage: Maybe,
  /** Usage without the file pages that the kernel would drop first: what the container cannot well do without. */
  workingSet: Maybe,
  /** Pages of files. */
  cache: Maybe,
  /** Pages of no file. */
  rss: Maybe,
  swap: Maybe,
  /** The tightest that binds: the container's own limit, one of a group above it, or the machine's memory. */
  limit: Amount,
  /** The same for swap alone, whatever the kernel's limit counts. */
  swapLimit: Maybe,
  /** The most that was ever used. */
  peak: Maybe,
  pageFaults: Maybe,
  majorPageFaults: Maybe,
  /** Processes that the kernel has killed for want of memory. */
  oomKills: Maybe,
  events: MemoryEvents
})
export type MemoryStats = typeof MemoryStats.Type

/** Tasks in the kernel's sense: threads count too. `limit` is `null` where there is none. */
export const PidsStats = Schema.Struct({ current: Maybe, limit: Maybe })
export type PidsStats = typeof PidsStats.Type

/** What went to and from one block device. */
export const IoStats = Schema.Struct({
  major: Schema.Int,
  minor: Schema.Int,
  readBytes: Amount,
  writeBytes: Amount,
  readOps: Amount,
  writeOps: Amount
})
export type IoStats = typeof IoStats.Type

/** One size of huge pages (`2MB`). */
export const HugetlbStats = Schema.Struct({ pageSize: Schema.String, usage: Amount, limit: Maybe, peak: Maybe })
export type HugetlbStats = typeof HugetlbStats.Type

/** One interface in the network namespace of the init process. */
export const NetworkStats = Schema.Struct({
  interface: Schema.String,
  rxBytes: Amount,
  rxPackets: Amount,
  rxErrors: Amount,
  rxDropped: Amount,
  txBytes: Amount,
  txPackets: Amount,
  txErrors: Amount,
  txDropped: Amount
})
export type NetworkStats = typeof NetworkStats.Type

/** Percentages of the last 10, 60 and 300 seconds, and the whole time in nanoseconds. */
export const Stall = Schema.Struct({
  avg10: Schema.Finite,
  avg60: Schema.Finite,
  avg300: Schema.Finite,
  total: Amount
})
export type Stall = typeof Stall.Type

/** Time in which some, or all, of the processes waited for a resource. */
export const Pressure = Schema.Struct({ some: Stall, full: Schema.NullOr(Stall) })
export type Pressure = typeof Pressure.Type

/** One sample. */
export const Stats = Schema.Struct({
  containerId: ContainerId,
  readAt: Schema.DateTimeUtcFromString,
  cpu: CpuStats,
  memory: MemoryStats,
  pids: PidsStats,
  /** By device; those that the container has not touched may be missing. */
  io: Schema.NullOr(Schema.Array(IoStats)),
  /** The sizes of which the machine has a pool. */
  hugetlb: Schema.NullOr(Schema.Array(HugetlbStats)),
  /** `null` where the container shares the network of berth's machine, and once its init has ended. */
  network: Schema.NullOr(Schema.Array(NetworkStats)),
  pressure: Schema.Struct({
    cpu: Schema.NullOr(Pressure),
    memory: Schema.NullOr(Pressure),
    io: Schema.NullOr(Pressure)
  })
})
export type Stats = typeof Stats.Type

/** What a sample is in JSON: all as it is but the time. */
type StatsJson = Omit<Stats, "readAt"> & { readonly readAt: string }

const Samples = Schema.declare((value: unknown): value is ReadonlyArray<Stats> => Array.isArray(value))
const decodeAll = Schema.decodeUnknownEffect(Schema.toCodecJson(Schema.Array(Stats)))
const encodeAll = SchemaGetter.transform((samples: ReadonlyArray<Stats>) =>
  samples.map((sample): StatsJson => ({ ...sample, readAt: DateTime.formatIso(sample.readAt) }))
)

/**
 * `Schema.Array(Stats)` for whoever decodes, the same JSON for whoever encodes, who does not look at it again: it made the samples itself, and those of a
 * hundred containers have eight thousand fields.
 */
export const StatsList = Schema.Any.pipe(
  Schema.decodeTo(Samples, {
    decode: SchemaGetter.transformEffect((json: unknown) => Effect.mapError(decodeAll(json), ({ issue }) => issue)),
    encode: encodeAll
  })
)

/** The same for who passes them on to somebody that decodes them: nobody but its own shim is believed. */
export const StatsListFromShim = Schema.Any.pipe(
  Schema.decodeTo(Samples, {
    decode: SchemaGetter.transform((samples: ReadonlyArray<StatsJson>) =>
      samples.map((sample): Stats => ({ ...sample, readAt: DateTime.makeUnsafe(sample.readAt) }))
    ),
    encode: encodeAll
  })
)

/** A process in a container, with pids as the machine sees them. */
export const ProcessInfo = Schema.Struct({
  pid: Schema.Int,
  ppid: Schema.Int,
  /** The effective user id, as the machine sees it. */
  user: Schema.Int,
  /** The kernel's name for it, 15 bytes at most. */
  command: Schema.String,
  /** Empty where the process has none left. */
  args: Schema.Array(Schema.String),
  startedAt: Schema.DateTimeUtcFromString,
  /** One letter, as the kernel has it: R runs, S and D sleep, T is stopped, Z has ended. */
  state: Schema.String,
  /** Processor time of all its threads so far, in nanoseconds. */
  cpuTime: Amount,
  /** Memory that it has mapped and that is in RAM, shared pages too, in bytes. */
  rss: Amount,
  /** Set for the first process of an exec. */
  execId: Schema.NullOr(ExecId)
})
export type ProcessInfo = typeof ProcessInfo.Type
