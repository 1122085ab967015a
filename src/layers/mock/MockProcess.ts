/**
 * One process of a pretended machine, and what signals do to it, as Linux has it: an init in a pid namespace of its own takes from without only KILL, STOP and
 * what it handles, and from within not even KILL. While a process is frozen its signals wait. All of it happens at once, in one step of the scheduler.
 */
import { Clock, Deferred, Effect, Exit, Latch, Queue } from "effect"
import type { ProcessRef } from "../../schema/Ids.ts"
import type { Identity } from "../../schema/TaskState.ts"
import type { Reaped } from "../../schema/Process.ts"
import type { Stdio } from "./MockPipes.ts"
import type { Program } from "./MockScript.ts"

const [sigkill, sigcont, sigstop] = [9, 18, 19]
/** CHLD, URG and WINCH do nothing where nobody handles them; TSTP, TTIN and TTOU stop. */
const [harmless, stopping] = [new Set([17, 23, 28]), new Set([20, 21, 22])]

/** What the processes of a container have in common. */
export interface Surroundings {
  paused: boolean
  /** Whether init is pid 1 of a pid namespace. */
  readonly isolated: boolean
  /** Whether KILL reaches the frozen, as it does on cgroup v2. */
  readonly killsFrozen: boolean
  /** Nanoseconds of processor time, of those that have ended too. */
  cpuTime: number
}

export interface Proc {
  readonly ref: ProcessRef
  readonly kind: "init" | "exec" | "child"
  readonly args: ReadonlyArray<string>
  readonly identity: Identity
  readonly program: Program
  readonly around: Surroundings
  readonly stdio: Stdio
  readonly children: Array<Proc>
  /** Open from the start on, except for an init that is still to be started. */
  readonly started: Latch.Latch
  readonly exit: Deferred.Deferred<Reaped>
  /** The status that it must end with at once. */
  readonly doomed: Deferred.Deferred<number>
  /** Signals that it handles. */
  readonly signals: Queue.Queue<number>
  readonly thawed: Latch.Latch
  readonly frozen: Latch.Latch
  /** Signals that wait until it thaws. */
  pending: Array<number>
  /** Milliseconds of the clock. */
  readonly bornAt: number
  /** Nanoseconds of processor time. */
  cpuTime: number
  stopped: boolean
  ended: boolean
  oomKilled: boolean
}

/** Lets a process use that much processor time, in milliseconds. */
export const burn = (proc: Proc, milliseconds: number): void => {
  proc.cpuTime += milliseconds * 1e6
  proc.around.cpuTime += milliseconds * 1e6
}

export const makeProc = Effect.fnUntraced(function* (
  given: Pick<Proc, "ref" | "kind" | "args" | "identity" | "program" | "around" | "stdio">
): Effect.fn.Return<Proc> {
  return {
    ...given,
    children: [],
    started: yield* Latch.make(given.kind !== "init"),
    exit: yield* Deferred.make<Reaped>(),
    doomed: yield* Deferred.make<number>(),
    signals: yield* Queue.unbounded<number>(),
    thawed: yield* Latch.make(!given.around.paused),
    frozen: yield* Latch.make(given.around.paused),
    pending: [],
    bornAt: yield* Clock.currentTimeMillis,
    cpuTime: 0,
    stopped: false,
    ended: false,
    oomKilled: false
  }
})

export const doom = (proc: Proc, status: number): void => {
  Deferred.doneUnsafe(proc.doomed, Exit.succeed(status))
}

const deaf: Pick<Program, "handles" | "ignores"> = { handles: new Map(), ignores: new Set() }

/** What a signal does to a process that is not frozen. */
const apply = (proc: Proc, signal: number): void => {
  // What a program does with signals holds from its start on.
  const { handles, ignores } = Latch.isOpen(proc.started) ? proc.program : deaf
  if (signal === sigkill) doom(proc, 128 + signal)
  else if (ignores.has(signal)) return
  else if (handles.has(signal)) Queue.offerUnsafe(proc.signals, signal)
  else if (signal === sigcont || harmless.has(signal) || (proc.kind === "init" && proc.around.isolated)) return
  else if (stopping.has(signal)) stop(proc)
  else doom(proc, 128 + signal)
}

/** Freezes or thaws it, as it is to be now. */
export const settle = (proc: Proc): void => {
  if (proc.stopped || proc.around.paused) {
    proc.thawed.closeUnsafe()
    proc.frozen.openUnsafe()
    return
  }
  proc.frozen.closeUnsafe()
  proc.thawed.openUnsafe()
  for (const signal of proc.pending.splice(0)) apply(proc, signal)
}

const stop = (proc: Proc): void => {
  proc.stopped = true
  settle(proc)
}

/** Sends a signal, from within its container or from without; false where it has ended. Signal 0 only asks. */
export const deliver = (proc: Proc, signal: number, from: "within" | "without"): boolean => {
  if (proc.ended) return false
  const { isolated, killsFrozen, paused } = proc.around
  const untouchable = from === "within" && proc.kind === "init" && isolated
  if (signal === 0) return true
  if (signal === sigkill || signal === sigstop) {
    if (untouchable) return true
    if (signal === sigstop) stop(proc)
    else if (paused && !killsFrozen) proc.pending.push(signal)
    else doom(proc, 128 + sigkill)
    return true
  }
  if (signal === sigcont) {
    proc.stopped = false
    settle(proc)
  }
  if (proc.stopped || paused) proc.pending.push(signal)
  else apply(proc, signal)
  return true
}
