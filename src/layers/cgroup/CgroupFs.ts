/**
 * `Cgroups` on the kernel's own file systems, version 1, version 2 or both side by side. Every read is synchronous and short; a sample of one container is
 * some fifteen files.
 */
import { Clock, DateTime, Effect, Layer, Schedule, Stream } from "effect"
import { NotFound, Unavailable } from "../../schema/Errors.ts"
import type { Stats } from "../../schema/Stats.ts"
import { Cgroups } from "../../services/Cgroups.ts"
import type { Cgroup, CgroupError, CgroupTarget } from "../../services/Cgroups.ts"
import { codeOf, isExhausted } from "../posix/Libc.ts"
import * as Cpu from "./Cpu.ts"
import * as Devices from "./Devices.ts"
import * as Hierarchies from "./Hierarchies.ts"
import type { Located } from "./Hierarchies.ts"
import * as KeptFiles from "./KeptFiles.ts"
import * as Machine from "./Machine.ts"
import * as Memory from "./Memory.ts"
import * as Network from "./Network.ts"
import * as OomWatch from "./OomWatch.ts"
import * as Pids from "./Pids.ts"
import * as Processes from "./Processes.ts"
import * as Reader from "./Reader.ts"

export interface Options {
  /** A folder that stands for `/`, with `proc` and `sys` in it. */
  readonly root?: string
}

const moreFiles = "raise the limit on open files (ulimit -n, LimitNOFILE)"

const unreadable = (error: unknown) => {
  const code = codeOf(error)
  return new Unavailable({
    what: "cgroups",
    problem: `cannot be read: ${code}`,
    mend: isExhausted(code) ? moreFiles : null
  })
}

/** Whether others have only to close their descriptors. */
const isPassing = (error: CgroupError) => error._tag === "Unavailable" && error.mend === moreFiles
/** For how long that is waited for, some three seconds: what is asked at the end of a container is gone with it. */
const again = Schedule.upTo(Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("1 second")]), {
  times: 6
})

/** `undefined` where it cannot be told now. */
const told = <A>(read: () => A): A | null | undefined => {
  try {
    return read()
  } catch (error) {
    return isExhausted(codeOf(error)) ? undefined : null
  }
}

const make = Effect.fnUntraced(function* ({ root = "" }: Options) {
  // Plain files do not say that they were replaced.
  const reader = root === "" ? Reader.make(root, yield* KeptFiles.make()) : Reader.make(root)
  const hierarchies = yield* Effect.try({ try: () => Hierarchies.make(reader), catch: unreadable })
  const machineAt = Machine.make(reader)
  const processesOf = Processes.make(reader)
  const watchOom = yield* OomWatch.make

  const isThere = ({ v1, v2 }: Located) =>
    Object.values(v1).some((folder) => reader.exists(folder)) || (v2 !== null && reader.exists(v2))

  /** The groups of a container and what is read of them. */
  const groupsAt = (located: Located) => {
    const [cpuNow, memory] = [Cpu.make(reader, located), Memory.make(reader, located)]
    const [pids, io] = [Pids.make(reader, located), Devices.io(reader, located)]
    const [hugetlb, pressures] = [Devices.hugetlb(reader, located), Devices.pressures(reader, located)]
    /** All of a sample but whose and when; `null` where the group is gone. */
    const sample = (network: Network.Network, now: bigint) => {
      const machine = machineAt(now)
      const cpu = cpuNow()
      const used = memory.stats(machine)
      if (cpu.usage === null && used.usage === null && !isThere(located)) return null
      return {
        cpu: { ...cpu, systemUsage: machine.cpuTime, onlineCpus: machine.onlineCpus },
        memory: used,
        pids: pids(),
        io: io(),
        hugetlb: hugetlb(machine.hugePages),
        network: network.interfaces(),
        pressure: pressures()
      }
    }
    return { located, memory, sample }
  }
  type Groups = ReturnType<typeof groupsAt>

  const attach = (target: CgroupTarget): Cgroup => {
    const { containerId } = target
    const network = told(() => Network.make(reader, target.pid)) ?? Network.none
    const groupsOf = (where: CgroupTarget) => {
      const located = hierarchies.locate(where)
      return located === null ? null : groupsAt(located)
    }
    let groups = told(() => groupsOf(target)) ?? null
    // Not by the pid again: it may be somebody else's by now.
    const locate = () => (groups ??= groupsOf({ ...target, pid: null }))

    const attempt = <A>(read: (groups: Groups) => A | null): Effect.Effect<A, CgroupError> => {
      try {
        const where = locate()
        const found = where === null ? null : read(where)
        if (found !== null) return Effect.succeed(found)
      } catch (error) {
        return error instanceof Error && "code" in error ? Effect.fail(unreadable(error)) : Effect.die(error)
      }
      return Effect.fail(
        hierarchies.any()
          ? new NotFound({ kind: "task", id: containerId })
          : new Unavailable({ what: "cgroups", problem: "none are mounted", mend: null })
      )
    }
    const reading = <A>(read: (groups: Groups) => A | null) => Effect.suspend(() => attempt(read))
    /** For values that may be missing from a group that is there. */
    const value = <A>(read: (groups: Groups) => A): Effect.Effect<A, CgroupError> =>
      Effect.map(
        reading((where) => (isThere(where.located) ? { read: read(where) } : null)),
        (found) => found.read
      )

    // In one step: a hundred of these are taken each second.
    const stats = Effect.clockWith((clock) =>
      attempt(({ sample }): Stats | null => {
        const readAt = DateTime.makeUnsafe(clock.currentTimeMillisUnsafe())
        const found = sample(network, clock.monotonicTimeNanosUnsafe())
        return found === null ? null : { containerId, readAt, ...found }
      })
    )
    const pids = reading(({ located }) => Pids.list(reader, located))
    const processes = Effect.gen(function* () {
      const found = yield* pids
      const now = yield* Clock.currentTimeMillis
      return yield* reading(() => processesOf(found, now))
    })
    const insisting = <A>(read: Effect.Effect<A, CgroupError>) =>
      Effect.retry(read, { schedule: again, while: isPassing })
    const oomKills = insisting(value(({ memory }) => memory.oomKills()))
    const memoryPeak = insisting(value(({ memory }) => memory.peak()))

    return {
      // No span: it would cost as much as what it measures.
      stats,
      pids: Effect.withSpan(pids, "Cgroups.pids"),
      processes: Effect.withSpan(processes, "Cgroups.processes"),
      oomKills: Effect.withSpan(oomKills, "Cgroups.oomKills"),
      memoryPeak: Effect.withSpan(memoryPeak, "Cgroups.memoryPeak"),
      watchOom: (known) =>
        Stream.suspend(() => {
          const where = told(locate)
          if (where === null) return Stream.empty
          // Looked for at each look.
          const count = () => told(() => locate()?.memory.oomKills() ?? null)
          const file = where === undefined ? null : Memory.oomFile(where.located)
          return watchOom({ count, file: file === null ? null : root + file }, known)
        }),
      ended: Effect.sync(network.end)
    }
  }

  return Cgroups.of({ find: Effect.fn("Cgroups.find")((target) => Effect.sync(() => attach(target))) })
})

/** Holds three fibers, files that are read again and again, and a watch for each container whose kills are watched on version 2. */
export const layer = (options: Options = {}) => Layer.effect(Cgroups, make(options))
