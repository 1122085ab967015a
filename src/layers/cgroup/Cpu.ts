/** Processor time of a group. Version 1 spreads it over two controllers, in nanoseconds and in ticks; version 2 has one file, in microseconds. */
import type { CpuStats } from "../../schema/Stats.ts"
import * as Bytes from "./Bytes.ts"
import type { Located } from "./Hierarchies.ts"
import { times } from "./Parse.ts"
import type { Reader } from "./Reader.ts"

/** Ticks of user space are hundredths of a second on every architecture that Node runs on. */
export const tick = 10_000_000

type GroupCpu = Omit<CpuStats, "systemUsage" | "onlineCpus">

const statV2 = Bytes.fields("usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec")
const statV1 = Bytes.fields("nr_periods", "nr_throttled", "throttled_time")
const ticksV1 = Bytes.fields("user", "system")

const readerV2 = (reader: Reader, folder: string | null) => {
  const stat = folder === null ? null : reader.file(`${folder}/cpu.stat`)
  return (): GroupCpu => {
    const [usage = null, user = null, system = null, periods = null, throttledPeriods = null, throttledTime = null] =
      stat?.read(statV2) ?? []
    return {
      usage: times(usage, 1000),
      user: times(user, 1000),
      system: times(system, 1000),
      periods,
      throttledPeriods,
      throttledTime: times(throttledTime, 1000)
    }
  }
}

/** Reads them now. Every field `null` where the container has no group that counts. */
export const make = (reader: Reader, { v1: { cpu, cpuacct }, v2 }: Located): (() => GroupCpu) => {
  if (cpu === undefined && cpuacct === undefined) return readerV2(reader, v2)
  const all = cpuacct === undefined ? null : reader.file(`${cpuacct}/cpuacct.usage`)
  const ticks = cpuacct === undefined ? null : reader.file(`${cpuacct}/cpuacct.stat`)
  const bandwidth = cpu === undefined ? null : reader.file(`${cpu}/cpu.stat`)
  return () => {
    const [user = null, system = null] = ticks?.read(ticksV1) ?? []
    const [periods = null, throttledPeriods = null, throttledTime = null] = bandwidth?.read(statV1) ?? []
    return {
      usage: all?.read(Bytes.amount) ?? null,
      user: times(user, tick),
      system: times(system, tick),
      periods,
      throttledPeriods,
      throttledTime
    }
  }
}
