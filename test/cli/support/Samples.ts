/** Samples such as a daemon gives: the nth is a second after the one before, in which the container used a quarter of one of two processors. */
import { DateTime } from "effect"
import { ContainerId } from "../../../src/schema/Ids.ts"
import type { ProcessInfo, Stats } from "../../../src/schema/Stats.ts"

const start = DateTime.makeUnsafe("2026-01-01T00:00:00Z")
const second = 1_000_000_000
const mebibyte = 2 ** 20

export const sample = (id: string, nth: number): Stats => ({
  containerId: ContainerId.make(id),
  readAt: DateTime.add(start, { seconds: nth }),
  cpu: {
    usage: (nth * second) / 4,
    user: null,
    system: null,
    systemUsage: nth * 2 * second,
    onlineCpus: 2,
    periods: null,
    throttledPeriods: null,
    throttledTime: null
  },
  memory: {
    usage: 10 * mebibyte,
    workingSet: 8 * mebibyte,
    cache: null,
    rss: null,
    swap: null,
    limit: 32 * mebibyte,
    swapLimit: null,
    peak: 12 * mebibyte,
    pageFaults: null,
    majorPageFaults: null,
    oomKills: 0,
    events: { low: null, high: null, max: null, oom: null, oomGroupKill: null }
  },
  pids: { current: 3, limit: null },
  io: [
    { major: 8, minor: 0, readBytes: 1024, writeBytes: 0, readOps: 1, writeOps: 0 },
    { major: 8, minor: 16, readBytes: 1024, writeBytes: 512, readOps: 1, writeOps: 1 }
  ],
  hugetlb: null,
  network: null,
  pressure: { cpu: null, memory: null, io: null }
})

export const processInfo = (pid: number, args: ReadonlyArray<string>, nth: number): ProcessInfo => ({
  pid,
  ppid: 1,
  user: 1000,
  command: args[0] ?? "",
  args,
  startedAt: start,
  state: "R",
  cpuTime: (nth * second) / 4,
  rss: 3 * mebibyte,
  execId: null
})
