/**
 * One seed: a berth whose daemon and host die and come back over one machine and one store, clients that ask for everything at once, and faults; then calm, in which
 * everybody must be answered, and the end, at which nothing may be left.
 */
import { Effect, Exit, Option } from "effect"
import * as DaemonLives from "./DaemonLives.ts"
import * as Disks from "./Disks.ts"
import * as Faults from "./Faults.ts"
import type { Fault } from "./Faults.ts"
import * as HostLives from "./HostLives.ts"
import * as Kernel from "./Kernel.ts"
import type { Domain } from "./Kernel.ts"
import * as Ledger from "./Ledger.ts"
import * as Machine from "./Machine.ts"
import * as Operations from "./Operations.ts"
import type { Operation } from "./Operations.ts"
import * as Random from "./Random.ts"
import * as Subscribers from "./Subscribers.ts"
import { compare, undead } from "./Reality.ts"
import * as Truth from "./Truth.ts"

/** Wraps ports with something that is wrong, to see that it is found. */
export interface Mutation extends Machine.HostWrap {
  readonly store?: (inner: DaemonLives.Store, kernel: Kernel.Kernel, daemon: Domain) => DaemonLives.Store
}

export interface Options {
  readonly seed: number
  /** Steps before the calm: something is asked, goes wrong, or time passes. */
  readonly steps?: number
  readonly store?: "memory" | "sqlite"
  readonly mutation?: Mutation
  /** Is shown every line of the trace as it comes. */
  readonly watch?: (line: string) => void
}

export interface Result {
  readonly seed: number
  readonly steps: number
  readonly turns: number
  readonly events: number
  readonly faults: ReadonlyMap<Fault, number>
  /** Answers by operation: how many were well, refused, and lost with the daemon or the client. */
  readonly operations: ReadonlyMap<string, { ok: number; refused: number; lost: number }>
  /** Exits whose status nobody came to know. */
  readonly unknown: number
  readonly violations: ReadonlyArray<string>
  readonly trace: ReadonlyArray<string>
}

interface Asked {
  readonly operation: Operation
  readonly hangUp: () => void
}

const defaultSteps = 240
const minFaults = 8
/** What a step is, each as often as that. */
const mix = [
  ["ask", 60],
  ["fault", 10],
  ["time", 18],
  ["subscribe", 1]
] as const
/** More turns in one moment than any work takes. */
const livelock = 300_000
const calm = 180_000
/** How long a process may live that was sent SIGKILL: a runtime that hangs may hold it back. */
const deathTakes = 60_000

export const run = ({ mutation = {}, seed, steps = defaultSteps, store = "memory", watch }: Options): Result => {
  const random = Random.make(seed)
  const trace: Array<string> = []
  const violations: Array<string> = []
  const log = (line: string) => {
    const text = `${kernel.now()} #${kernel.turns()} ${line}`
    trace.push(text)
    watch?.(text)
  }
  const wrong = (what: string) => {
    log(`WRONG: ${what}`)
    violations.push(what)
  }
  const kernel = Kernel.make(random, (line) => log(line))
  const machine = Machine.make(kernel, mutation)
  const { lines } = machine.world.inner.machine
  const truth = Truth.make(lines)
  const ledger = Ledger.make(truth, kernel.now, wrong, log)
  const hosts = HostLives.make(kernel, machine, log, (event) => {
    const untrue = truth.hear(event)
    if (untrue !== null) wrong(`the host: ${untrue}`)
  })
  const disk = store === "memory" ? Disks.memory(ledger) : Disks.sqlite(kernel, ledger)
  const clients = kernel.domain("clients")
  const daemons = DaemonLives.make(kernel, {
    machine,
    clients,
    hosts,
    store: disk,
    log,
    wrong,
    ...(mutation.store === undefined ? {} : { wrap: mutation.store })
  })
  const operations = Operations.make(random, ledger, kernel.now)
  const subscribers = Subscribers.make(kernel, clients, daemons, ledger, wrong)
  const waiting = new Set<Asked>()
  const answers = new Map<string, { ok: number; refused: number; lost: number }>()
  let asked = 0
  let shown = 0

  const ask = (operation: Operation, done: (well: boolean) => void = () => {}) => {
    const number = ++asked
    log(`ask ${number}: ${operation.line}`)
    const judge = operation.judge()
    const judgeRefusal = operations.refusal(operation.id)
    const count = answers.get(operation.name) ?? { ok: 0, refused: 0, lost: 0 }
    answers.set(operation.name, count)
    let call: Asked | null = null
    let over = false
    const hangUp = daemons.ask(operation.effect, (exit) => {
      over = true
      if (call !== null) waiting.delete(call)
      if (Exit.isSuccess(exit)) {
        count.ok++
        const problem = judge(exit.value)
        log(`answer ${number}: ${operation.name} ${operation.id} ok`)
        if (problem !== null) wrong(`${operation.line}: ${problem}`)
      } else {
        const { text, kind } = explain(exit)
        const error = Option.getOrNull(Exit.findErrorOption(exit))
        count[kind]++
        log(`answer ${number}: ${operation.name} ${operation.id} ${text}`)
        if (kind === "refused" && (text.startsWith("Internal") || text.startsWith("defect")))
          wrong(`${operation.line}: ${text}`)
        const problem = kind === "refused" && error !== null ? judgeRefusal(error) : null
        if (problem !== null) wrong(`${operation.line}: ${problem}`)
      }
      done(Exit.isSuccess(exit))
    })
    if (over) return
    call = { operation, hangUp }
    waiting.add(call)
  }

  const notes = () => {
    for (; shown < lines.length; shown++) log(`machine: ${lines[shown]}`)
  }
  /** Takes turns until so many are taken, or until the clock has moved on by so much. */
  const go = (turns: number, milliseconds: number) => {
    const until = kernel.now() + milliseconds
    let here = 0
    for (let taken = 0; taken < turns; taken++) {
      if (violations.length > 0) return
      if (kernel.turn()) {
        notes()
        if (++here > livelock) return wrong("it goes round and round")
        continue
      }
      here = 0
      if (kernel.now() >= until || !kernel.pass(until - kernel.now())) return
    }
  }

  go(Infinity, 5_000)
  if (!daemons.isUp()) wrong("the daemon does not come up")
  const faults = Faults.make(kernel, {
    machine,
    hosts,
    daemons,
    log,
    hangUp: () => {
      const [first, ...rest] = Array.from(waiting)
      if (first === undefined) return false
      const one = random.pick([first, ...rest])
      log(`  ${one.operation.line}`)
      one.hangUp()
      return true
    }
  })

  let step = 0
  for (; step < steps && violations.length === 0; step++) {
    const late = (minFaults * step) / steps > faults.total()
    switch (late ? "fault" : random.weighted(mix)) {
      case "ask":
        ask(operations.draw())
        break
      case "fault":
        faults.strike()
        break
      case "time":
        go(random.int(1, 4_000), random.chance(0.2) ? random.int(1_000, 40_000) : random.int(1, 2_000))
        break
      case "subscribe":
        subscribers.add()
        break
    }
    go(random.int(0, 150), random.chance(0.5) ? 5 : 40)
    for (const one of undead(machine, operations.doomedAt, kernel.now() - deathTakes)) wrong(one)
  }

  if (violations.length === 0) {
    log("calm")
    faults.end()
    go(Infinity, calm)
    if (!daemons.isUp() || !hosts.isUp()) wrong("daemon or host is not up in the calm")
    const differences = [
      ...compare(ledger, machine),
      ...undead(machine, operations.doomedAt, kernel.now() - deathTakes)
    ]
    for (const difference of differences) wrong(`in the calm: ${difference}`)
    for (const { operation } of waiting) if (!operation.patient) wrong(`never answered: ${operation.line}`)
  }
  if (violations.length === 0) {
    for (const id of operations.ids) {
      for (let attempt = 0; attempt < 3 && ledger.tasks.has(id); attempt++) {
        ask(operations.forced(id))
        go(Infinity, 60_000)
      }
      if (ledger.containers.has(id)) ask(operations.of("containers.delete", id, "x"))
      go(Infinity, 60_000)
      for (const operation of operations.life(id)) {
        let well = false
        ask(operation, (ok) => (well = ok))
        go(Infinity, 10_000)
        if (!well) wrong(`when all is over: ${operation.line} was not answered well`)
      }
    }
    for (const { operation } of waiting) wrong(`never answered, though its task is gone: ${operation.line}`)
    for (const one of subscribers.behind()) wrong(`a subscriber did not get it all: ${one} of ${ledger.last()}`)
    const { containers, table } = machine.world.inner.machine
    const left = {
      containers: Array.from(ledger.containers.keys()),
      tasks: Array.from(ledger.tasks.keys()),
      // A zombie that nobody claimed is the kernel's, or the reaper's, to bury.
      processes: Array.from(table.values()).flatMap(({ args, ended, identity }) =>
        ended ? [] : [`${identity.pid} ${args.join(" ")}`]
      ),
      "runtime's containers": Array.from(containers.keys()),
      folders: Array.from(machine.folders),
      descriptors: Effect.runSync(machine.world.descriptors)
    }
    for (const [what, found] of Object.entries(left))
      if (found.length > 0) wrong(`left over, ${what}: ${found.join(", ")}`)
  }
  disk.remove()
  return {
    seed,
    steps: step,
    turns: kernel.turns(),
    events: ledger.last(),
    faults: faults.counts,
    operations: answers,
    unknown: ledger.events.filter(({ event }) => "source" in event && event.source === "unknown").length,
    violations,
    trace
  }
}

const explain = (
  exit: Exit.Failure<unknown, unknown>
): { readonly text: string; readonly kind: "refused" | "lost" } => {
  const [reason] = exit.cause.reasons
  if (reason?._tag === "Fail") {
    const { error } = reason
    const known = typeof error === "object" && error !== null && "_tag" in error && "message" in error ? error : null
    const text = known === null ? String(error) : `${String(known._tag)}: ${String(known.message)}`
    return { text, kind: text.startsWith("Unavailable: daemon") ? "lost" : "refused" }
  }
  if (reason?._tag === "Die") return { text: `defect: ${String(reason.defect)}`, kind: "refused" }
  return { text: "interrupted", kind: "lost" }
}
