/**
 * `Cgroups` on the kernel's own file systems, version 1, version 2 or both side by side. Every read is synchronous and short; a sample of one container is
 * some fifteen files.
 */
import { Clock, DateTime, Effect, Layer, Stream } from "effect"
import { NotFound, Unavailable } from "../../schema/Errors.ts"
import type { Stats } from "../../schema/Stats.ts"
import { Cgroups } from "../../services/Cgroups.ts"
import type { Cgroup, CgroupError, CgroupTarget } from "../../services/Cgroups.ts"
import { codeOf } from "../posix/Libc.ts"
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

const unreadable = (error: unknown) =>
  new Unavailable({ what: "cgroups", problem: `cannot be read: ${codeOf(error)}`, mend: null })

const orNull = <A>(read: () => A): A | null => {
  try {
    return read()
  } catch {
    return null
  }
}

const make = Effect.fnUntraced(function* ({ root = "" }: Options) {
  // Plain files do not say that they were replaced.
  const reader = Reader.make(root, root === "" ? yield* KeptFiles.make : null)
  const hierarchies = yield* Effect.try({ try: () => Hierarchies.make(reader), catch: unreadable })
  const machineAt = Machine.make(reader)
  const processesOf = Processes.make(reader)
  const watchOom = yield* OomWatch.make

  const isThere = ({ v1, v2 }: Located) =>
    Object.values(v1).some((folder) => reader.exists(folder)) || (v2 !== null && reader.exists(v2))

  /** All of a sample but whose and when; `null` where the group is gone. */
  const sample = (located: Located, interfaces: Network.Interfaces, now: bigint) => {
    const machine = machineAt(now)
    const cpu = Cpu.read(reader, located)
    const memory = Memory.read(reader, located, machine)
    if (cpu.usage === null && memory.usage === null && !isThere(located)) return null
    return {
      cpu: { ...cpu, systemUsage: machine.cpuTime, onlineCpus: machine.onlineCpus },
      memory,
      pids: Pids.read(reader, located),
      io: Devices.io(reader, located),
      hugetlb: Devices.hugetlb(reader, located, machine.hugePages),
      network: interfaces(),
      pressure: Devices.pressures(reader, located)
    }
  }

  const attach = (target: CgroupTarget): Cgroup => {
    const { containerId } = target
    const interfaces = orNull(() => Network.make(reader, target.pid)) ?? Network.none
    let located = orNull(() => hierarchies.locate(target))
    // Not by the pid again: it may be somebody else's by now.
    const locate = () => (located ??= hierarchies.locate({ ...target, pid: null }))

    const attempt = <A>(read: (located: Located) => A | null): Effect.Effect<A, CgroupError> => {
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
    const reading = <A>(read: (located: Located) => A | null) => Effect.suspend(() => attempt(read))
    /** For values that may be missing from a group that is there. */
    const value = <A>(read: (located: Located) => A): Effect.Effect<A, CgroupError> =>
      Effect.map(
        reading((where) => (isThere(where) ? { read: read(where) } : null)),
        (found) => found.read
      )

    // In one step: a hundred of these are taken each second.
    const stats = Effect.clockWith((clock) =>
      attempt((where): Stats | null => {
        const readAt = DateTime.makeUnsafe(clock.currentTimeMillisUnsafe())
        const found = sample(where, interfaces, clock.monotonicTimeNanosUnsafe())
        return found === null ? null : { containerId, readAt, ...found }
      })
    )
    const pids = reading((where) => Pids.list(reader, where))
    const processes = Effect.gen(function* () {
      const found = yield* pids
      const now = yield* Clock.currentTimeMillis
      return yield* reading(() => processesOf(found, now))
    })
    const oomKills = value((where) => Memory.oomKills(reader, where))
    const memoryPeak = value((where) => Memory.peak(reader, where))

    return {
      stats: Effect.withSpan(stats, "Cgroups.stats"),
      pids: Effect.withSpan(pids, "Cgroups.pids"),
      processes: Effect.withSpan(processes, "Cgroups.processes"),
      oomKills: Effect.withSpan(oomKills, "Cgroups.oomKills"),
      memoryPeak: Effect.withSpan(memoryPeak, "Cgroups.memoryPeak"),
      watchOom: (known) =>
        Stream.suspend(() => {
          const where = orNull(locate)
          if (where === null) return Stream.empty
          const file = Memory.oomFile(where)
          const count = () => orNull(() => Memory.oomKills(reader, where))
          return watchOom({ count, file: file === null ? null : root + file }, known)
        })
    }
  }

  return Cgroups.of({ find: Effect.fn("Cgroups.find")((target) => Effect.sync(() => attach(target))) })
})

/** Holds three fibers, files that are read again and again, and a watch for each container whose kills are watched on version 2. */
export const layer = (options: Options = {}) => Layer.effect(Cgroups, make(options))
