/** What goes wrong, drawn from the seed: deaths between any two turns, a bad wire, a slow or failing runtime, full disks, clients that go away, processes that die. */
import { Deferred, Effect, Scheduler } from "effect"
import type { Proc } from "../../src/layers/mock/MockProcess.ts"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { program } from "../../src/layers/mock/MockScript.ts"
import { containerKey, ContainerId, Namespace } from "../../src/schema/Ids.ts"
import type { DaemonLives } from "./DaemonLives.ts"
import type { HostLives } from "./HostLives.ts"
import type { Kernel } from "./Kernel.ts"
import type { Machine } from "./Machine.ts"
import { pids } from "./Machine.ts"
import { commands } from "./Runtimes.ts"

/** Programs of this machine that are none of berth's: one of them gets the pid of a process that has just ended while no host was watching. */
const makeForeign = ({ world }: Machine) => {
  const { machine } = world.inner
  const namespace = Namespace.make("foreign")
  const birth = {
    args: ["foreign"],
    program: program({ runFor: "forever" }),
    stdio: { stdin: null, stdout: null, stderr: null }
  }
  let count = 0
  let over = false
  return {
    take: (proc: Proc) =>
      Effect.gen(function* () {
        yield* machine.signal(proc, 9)
        yield* Deferred.await(proc.exit)
        for (let attempt = 0; !over && attempt < pids && !machine.table.has(proc.identity.pid); attempt++) {
          const of = { namespace, containerId: ContainerId.make(`${++count}`) }
          const other = yield* machine.create(of, true, {}, birth)
          machine.claim(other)
          const made = machine.containers.get(containerKey(of))
          if (other.identity.pid !== proc.identity.pid && made !== undefined) yield* machine.destroy(made)
        }
      }).pipe(Effect.provideService(Scheduler.PreventSchedulerYield, true)),
    /** From now on there are none. */
    stop: () => void (over = true),
    end: Effect.suspend(() =>
      Effect.forEach(
        Array.from(machine.containers.values()).filter((container) => container.namespace === namespace),
        machine.destroy
      )
    )
  }
}

/** How often each is drawn, against the others. */
const weights = [
  ["daemon killed", 5],
  ["host killed", 5],
  ["both killed", 2],
  ["wire cut", 3],
  ["wire slow", 3],
  ["exits told twice", 2],
  ["runtime fails", 3],
  ["runtime late", 3],
  ["runtime hangs", 2],
  ["store full", 2],
  ["folders full", 2],
  ["client gone", 3],
  ["client cut off", 3],
  ["process killed", 4],
  ["pid taken", 1]
] as const
export type Fault = (typeof weights)[number][0]
export const faults: ReadonlyArray<Fault> = weights.map(([fault]) => fault)

export const make = (
  kernel: Kernel,
  parts: {
    readonly machine: Machine
    readonly hosts: HostLives
    readonly daemons: DaemonLives
    readonly log: (line: string) => void
    /** Makes one client go away; false where none waits. */
    readonly hangUp: () => boolean
  }
) => {
  const { daemons, hangUp, hosts, log, machine } = parts
  const foreign = makeForeign(machine)
  const living = () =>
    Array.from(machine.world.inner.machine.table.values()).filter(
      ({ ended, ref }) => !ended && ref.namespace !== "foreign"
    )
  const { random } = kernel
  const { world } = machine
  const counts = new Map<Fault, number>()
  const onMachine = (effect: Effect.Effect<unknown>) => kernel.fork(machine.domain, effect)
  /** Undoes it after some seconds. */
  const forAWhile = (undo: () => void) => void kernel.after(machine.domain, random.int(100, 8_000), undo)

  const runtime = (how: "fails" | "late" | "hangs"): void => {
    const command = random.pick(commands)
    const at = random.pick(["before", "after"] as const)
    log(`  ${command}, ${at} it acts`)
    const delay = how === "late" ? random.int(1, 5_000) : how === "hangs" ? random.int(5_000, 60_000) : 0
    if (how !== "fails" && at === "before") return void machine.delays.set(command, delay)
    const fail = how === "fails" ? { fail: failed(command, "so it is drawn") } : {}
    const times = how === "fails" ? random.pick([1, 1, 2, 4]) : 1
    onMachine(world.onOperation(command, {}, { at, delay, times, ...fail }))
  }

  const act: Readonly<Record<Fault, () => unknown>> = {
    "daemon killed": daemons.kill,
    "host killed": hosts.kill,
    "both killed": () => {
      const first = random.chance(0.5)
      if (first) daemons.kill()
      hosts.kill()
      if (!first) daemons.kill()
    },
    "wire cut": hosts.cut,
    "wire slow": () => {
      hosts.wire.delay = random.int(5, 1_500)
      forAWhile(() => (hosts.wire.delay = 0))
    },
    "exits told twice": () => {
      hosts.wire.twice = true
      forAWhile(() => (hosts.wire.twice = false))
    },
    "runtime fails": () => runtime("fails"),
    "runtime late": () => runtime("late"),
    "runtime hangs": () => runtime("hangs"),
    "store full": () => {
      daemons.disk.full = true
      forAWhile(() => (daemons.disk.full = false))
    },
    "folders full": () => {
      machine.disk.full = true
      forAWhile(() => (machine.disk.full = false))
    },
    "client gone": hangUp,
    "client cut off": daemons.cut,
    "process killed": () => {
      const [first, ...rest] = living()
      if (first === undefined) return false
      return onMachine(world.inner.machine.signal(random.pick([first, ...rest]), 9))
    },
    "pid taken": () => {
      const [first, ...rest] = living().filter(({ kind }) => kind !== "child")
      if (first === undefined || !machine.fewPids) return false
      const proc = random.pick([first, ...rest])
      log(`  ${proc.identity.pid}`)
      hosts.kill()
      onMachine(foreign.take(proc))
      return forAWhile(() => onMachine(foreign.end))
    }
  }

  return {
    counts: counts as ReadonlyMap<Fault, number>,
    total: () => Array.from(counts.values()).reduce((sum, count) => sum + count, 0),
    /** Something goes wrong now, or soon. */
    strike: () => {
      const fault = random.weighted(weights)
      log(`fault: ${fault}`)
      if (act[fault]() !== false) counts.set(fault, (counts.get(fault) ?? 0) + 1)
    },
    /** From now on nothing goes wrong any more. */
    end: () => {
      hosts.wire.delay = 0
      hosts.wire.twice = false
      daemons.disk.full = false
      machine.disk.full = false
      machine.delays.clear()
      foreign.stop()
      onMachine(foreign.end)
      for (const command of commands) onMachine(world.onOperation(command, {}, {}))
    }
  }
}
