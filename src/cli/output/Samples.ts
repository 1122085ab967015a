/** Samples of containers and processes as tables. */
import type { ProcessInfo, Stats } from "../../schema/Stats.ts"
import { both, bytes, percent, time } from "./Amounts.ts"
import { render, shorten } from "./Table.ts"

const sum = (amounts: ReadonlyArray<number> | undefined | null): number | null =>
  amounts == null ? null : amounts.reduce((total, amount) => total + amount, 0)

/** Processors in use between two samples, 1 for one of them; `null` without an earlier sample, or where time has not passed. */
export const processors = ({ cpu }: Stats, before: Stats | undefined): number | null => {
  if (cpu.usage === null || before === undefined || before.cpu.usage === null) return null
  const machine = (cpu.systemUsage - before.cpu.systemUsage) / cpu.onlineCpus
  return machine <= 0 ? null : Math.max(0, cpu.usage - before.cpu.usage) / machine
}

const headings = ["ID", "CPU", "MEMORY / LIMIT", "MEMORY", "PIDS", "NET IN / OUT", "BLOCK IN / OUT"]

/** A line for each container. 100 % of CPU is one processor; memory is without what the kernel would drop first. */
export const statsTable = (now: ReadonlyArray<Stats>, before: ReadonlyArray<Stats>): string => {
  const earlier = new Map(before.map((one) => [one.containerId, one]))
  const rows = now.map((one) => {
    const { io, memory, network, pids } = one
    const used = memory.workingSet ?? memory.usage
    return [
      one.containerId,
      percent(processors(one, earlier.get(one.containerId))),
      both(used, memory.limit),
      percent(used === null || memory.limit === 0 ? null : used / memory.limit),
      pids.current === null ? "-" : `${pids.current}`,
      both(sum(network?.map(({ rxBytes }) => rxBytes)), sum(network?.map(({ txBytes }) => txBytes))),
      both(sum(io?.map(({ readBytes }) => readBytes)), sum(io?.map(({ writeBytes }) => writeBytes)))
    ]
  })
  return render(headings, rows, false)
}

/** The processes at one moment; `at` is a monotonic time in nanoseconds. */
export interface Moment {
  readonly processes: ReadonlyArray<ProcessInfo>
  readonly at: bigint
}

/** Command line, or the kernel's name in brackets where there is none. */
export const commandOf = ({ args, command }: ProcessInfo): string =>
  args.length === 0 ? `[${command}]` : args.join(" ")

/** A line for each process, the busiest first. */
export const topTable = (now: Moment, before: Moment | null): string => {
  const earlier = new Map(before?.processes.map((process) => [process.pid, process]))
  const passed = before === null ? 0 : Number(now.at - before.at)
  const share = ({ cpuTime, pid, startedAt }: ProcessInfo): number | null => {
    const same = earlier.get(pid)
    if (same === undefined || passed <= 0) return null
    // Another process that has got its pid begins at nothing.
    return (
      Math.max(0, cpuTime - (same.startedAt.epochMilliseconds === startedAt.epochMilliseconds ? same.cpuTime : 0)) /
      passed
    )
  }
  const rows = now.processes
    .map((process) => ({ process, cpu: share(process) }))
    .toSorted((a, b) => (b.cpu ?? 0) - (a.cpu ?? 0) || a.process.pid - b.process.pid)
    .map(({ cpu, process }) => [
      `${process.pid}`,
      `${process.user}`,
      process.execId ?? "-",
      process.state,
      percent(cpu),
      bytes(process.rss),
      time(process.cpuTime),
      shorten(commandOf(process), 80)
    ])
  return render(["PID", "USER", "EXEC", "STATE", "CPU", "MEMORY", "TIME", "COMMAND"], rows, false)
}
