/** Processor time of a group. Version 1 spreads it over two controllers, in nanoseconds and in ticks; version 2 has one file, in microseconds. */
import type { CpuStats } from "../../schema/Stats.ts"
import type { Located } from "./Hierarchies.ts"
import { amount, field, times } from "./Parse.ts"
import type { Reader } from "./Reader.ts"

/** Ticks of user space are hundredths of a second on every architecture that Node runs on. */
export const tick = 10_000_000

type GroupCpu = Omit<CpuStats, "systemUsage" | "onlineCpus">

const v2 = (stat: string | null): GroupCpu => ({
  usage: times(field(stat, "usage_usec"), 1000),
  user: times(field(stat, "user_usec"), 1000),
  system: times(field(stat, "system_usec"), 1000),
  periods: field(stat, "nr_periods"),
  throttledPeriods: field(stat, "nr_throttled"),
  throttledTime: times(field(stat, "throttled_usec"), 1000)
})

/** Every field `null` where the container has no group that counts. */
export const read = (reader: Reader, located: Located): GroupCpu => {
  const { cpu, cpuacct } = located.v1
  if (cpu === undefined && cpuacct === undefined) {
    return v2(located.v2 === null ? null : reader.once(`${located.v2}/cpu.stat`))
  }
  const ticks = cpuacct === undefined ? null : reader.once(`${cpuacct}/cpuacct.stat`)
  const bandwidth = cpu === undefined ? null : reader.once(`${cpu}/cpu.stat`)
  return {
    usage: cpuacct === undefined ? null : amount(reader.once(`${cpuacct}/cpuacct.usage`)),
    user: times(field(ticks, "user"), tick),
    system: times(field(ticks, "system"), tick),
    periods: field(bandwidth, "nr_periods"),
    throttledPeriods: field(bandwidth, "nr_throttled"),
    throttledTime: field(bandwidth, "throttled_time")
  }
}
