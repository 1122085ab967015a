/**
 * What the kernel of a pretended machine accounts for its containers. A process takes one mebibyte, and processor time only while it goes round in a loop; who
 * is killed for want of memory had filled the limit first. The machine has two processors and a gibibyte.
 */
import { Clock, DateTime, Effect, Layer, PubSub, Stream } from "effect"
import { NotFound } from "../../schema/Errors.ts"
import { containerKey } from "../../schema/Ids.ts"
import type { ProcessInfo, Stats } from "../../schema/Stats.ts"
import { Cgroups } from "../../services/Cgroups.ts"
import type { Cgroup, CgroupTarget } from "../../services/Cgroups.ts"
import type { Container } from "./MockMachine.ts"
import type { Proc } from "./MockProcess.ts"
import { MockWorld } from "./MockWorld.ts"

const mebibyte = 2 ** 20
const machineMemory = 2 ** 30
const cpus = 2

const sampleOf = (container: Container, now: number): Omit<Stats, "containerId" | "readAt"> => {
  const usage = container.procs.size * mebibyte
  return {
    cpu: {
      usage: container.cpuTime,
      user: container.cpuTime,
      system: 0,
      systemUsage: now * cpus * 1e6,
      onlineCpus: cpus,
      periods: 0,
      throttledPeriods: 0,
      throttledTime: 0
    },
    memory: {
      usage,
      workingSet: usage,
      cache: 0,
      rss: usage,
      swap: 0,
      limit: positive(container.limits.memory?.limit) ?? machineMemory,
      swapLimit: 0,
      peak: peakOf(container),
      pageFaults: 0,
      majorPageFaults: 0,
      oomKills: container.oomKills,
      events: { low: 0, high: 0, max: 0, oom: container.oomKills, oomGroupKill: 0 }
    },
    pids: { current: container.procs.size, limit: positive(container.limits.pids?.limit) },
    io: [],
    hugetlb: null,
    network: null,
    pressure: { cpu: null, memory: null, io: null }
  }
}

/** Zero and less is no limit. */
const positive = (limit: number | undefined | null) => (limit != null && limit > 0 ? limit : null)

const peakOf = ({ limits, mostProcs, oomKills }: Container) =>
  oomKills > 0 ? (positive(limits.memory?.limit) ?? machineMemory) : mostProcs * mebibyte

const infoOf = ({ args, around, bornAt, cpuTime, identity, kind, stopped }: Proc): ProcessInfo => ({
  pid: identity.pid,
  ppid: 1,
  user: 0,
  command: (args[0] ?? "").split("/").at(-1)?.slice(0, 15) ?? "",
  args,
  startedAt: DateTime.makeUnsafe(bornAt),
  state: stopped ? "T" : around.paused || kind === "init" ? "S" : "R",
  cpuTime,
  rss: mebibyte,
  execId: null
})

const make = Effect.gen(function* () {
  const { machine } = (yield* MockWorld).inner

  const located = ({ containerId, pid }: CgroupTarget): Container | undefined => {
    const all = Array.from(machine.containers.values())
    const own = all.find(({ procs }) => Array.from(procs).some(({ identity }) => identity.pid === pid))
    return own ?? all.find((container) => container.containerId === containerId)
  }

  const attach = (target: CgroupTarget): Cgroup => {
    const { containerId } = target
    const found = located(target)
    const isThere = (container: Container | undefined): container is Container =>
      container !== undefined && machine.containers.get(containerKey(container)) === container
    const reading = <A>(read: (container: Container) => A) =>
      Effect.suspend(() =>
        isThere(found) ? Effect.succeed(read(found)) : Effect.fail(new NotFound({ kind: "task", id: containerId }))
      )
    return {
      stats: Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const sample = yield* reading((container) => sampleOf(container, now))
        return { containerId, readAt: DateTime.makeUnsafe(now), ...sample }
      }),
      pids: reading(({ procs }) => Array.from(procs, ({ identity }) => identity.pid)),
      processes: reading(({ procs }) => Array.from(procs, infoOf)),
      oomKills: reading(({ oomKills }) => oomKills),
      memoryPeak: reading(peakOf),
      ended: Effect.void,
      watchOom: (known) =>
        Stream.unwrap(
          Effect.map(PubSub.subscribe(machine.changes), (subscription) => {
            let told = known
            return Stream.concat(Stream.make(found), Stream.fromSubscription(subscription)).pipe(
              Stream.filter((container) => container === found),
              Stream.takeWhile(isThere),
              Stream.map(({ oomKills }) => oomKills),
              Stream.filter((count) => {
                const risen = count > told
                told = count
                return risen
              })
            )
          })
        )
    }
  }

  return Cgroups.of({ find: (target) => Effect.sync(() => attach(target)) })
})

export const layer: Layer.Layer<Cgroups, never, MockWorld> = Layer.effect(Cgroups, make)
