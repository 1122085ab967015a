/** Where version 1 of cgroups keeps each limit. */
import type { Knob } from "./Knob.ts"
import * as Knobs from "./Knob.ts"
import { deviceKey, hugepageKey, throttles } from "../../../spec/Limits.ts"
import type { Throttle } from "../../../spec/Limits.ts"

const files: ReadonlyArray<readonly [key: string, controller: string, ...names: ReadonlyArray<string>]> = [
  ["memory.limit", "memory", "memory.limit_in_bytes"],
  ["memory.reservation", "memory", "memory.soft_limit_in_bytes"],
  ["memory.swap", "memory", "memory.memsw.limit_in_bytes"],
  ["cpu.shares", "cpu", "cpu.shares"],
  ["cpu.quota", "cpu", "cpu.cfs_quota_us"],
  ["cpu.period", "cpu", "cpu.cfs_period_us"],
  ["cpu.burst", "cpu", "cpu.cfs_burst_us"],
  ["cpu.idle", "cpu", "cpu.idle"],
  ["cpu.realtimeRuntime", "cpu", "cpu.rt_runtime_us"],
  ["cpu.realtimePeriod", "cpu", "cpu.rt_period_us"],
  ["cpu.cpus", "cpuset", "cpuset.cpus"],
  ["cpu.mems", "cpuset", "cpuset.mems"],
  ["pids.limit", "pids", "pids.max"],
  // Which one there is depends on the scheduler that the kernel was built with.
  ["blockIO.weight", "blkio", "blkio.weight", "blkio.bfq.weight"]
]

const rates: { readonly [T in Throttle]: string } = {
  throttleReadBpsDevice: "blkio.throttle.read_bps_device",
  throttleWriteBpsDevice: "blkio.throttle.write_bps_device",
  throttleReadIOPSDevice: "blkio.throttle.read_iops_device",
  throttleWriteIOPSDevice: "blkio.throttle.write_iops_device"
}

/** Version 1 writes its largest page count, in bytes, for "no limit". */
const none = 2 ** 62

const number = (text: string): number => {
  if (text === "max") return -1
  const value = Number(text)
  return value >= none ? -1 : value
}

/** The knob of a key; null where there is none in these groups. */
export const knob = (groups: ReadonlyMap<string, string>, key: string): Knob | null => {
  const [name = "", part = ""] = key.split(" ")
  const throttle = Object.entries(rates).find(([known]) => name === `blockIO.${known}`)
  if (throttle !== undefined) {
    const file = Knobs.existing(groups.get("blkio"), [throttle[1]])
    return file === null
      ? null
      : { read: () => Knobs.rows(file).get(part) ?? 0, write: (value) => Knobs.put(file, `${part} ${value}`) }
  }
  if (name === "hugepageLimits") {
    const file = Knobs.existing(groups.get("hugetlb"), [`hugetlb.${part}.limit_in_bytes`])
    return file === null ? null : { read: () => number(Knobs.get(file)), write: (value) => Knobs.put(file, `${value}`) }
  }
  const [, controller = "", ...names] = files.find(([known]) => known === key) ?? []
  const file = Knobs.existing(groups.get(controller), names)
  if (file === null) return null
  const isText = key === "cpu.cpus" || key === "cpu.mems"
  return {
    read: () => (isText ? Knobs.get(file) : number(Knobs.get(file))),
    write: (value) => Knobs.put(file, key === "pids.limit" && value === -1 ? "max" : `${value}`)
  }
}

/** Every key that has a value in these groups. */
export const keys = (groups: ReadonlyMap<string, string>): ReadonlyArray<string> => [
  ...files.map(([key]) => key),
  ...throttles.flatMap((throttle) => {
    const file = Knobs.existing(groups.get("blkio"), [rates[throttle]])
    return file === null ? [] : Array.from(Knobs.rows(file).keys(), (device) => deviceKey(throttle, device))
  }),
  ...Knobs.pageSizes(groups.get("hugetlb"), /^hugetlb\.([^.]+)\.limit_in_bytes$/).map(hugepageKey)
]
