/**
 * Which processes belong to a container that is no more than processes of the host: those of the sessions that its
 * processes lead, and everything that descends from them. One that leaves its session and whose parents all have ended
 * is not found any more. The leaders are known by pid, start time and boot, so that no stranger is taken for one.
 */
import { Clock, Duration, Effect, Option } from "effect"
import type { Identity } from "../../schema/TaskState.ts"
import { Libc } from "../posix/Libc.ts"
import * as Proc from "../posix/Proc.ts"

/** SIGKILL, SIGCONT and SIGSTOP. */
export const [sigkill, sigcont, sigstop] = [9, 18, 19] as const
const pause = "5 millis"

const isStopped = ({ state }: Proc.Stat) => state === "T" || state === "t"

/** Those that still run. Whoever waits for a child of vfork(2) to execute its program, which was stopped before it could, does nothing either. */
export const running = (all: ReadonlyArray<Proc.Stat>): ReadonlyArray<Proc.Stat> => {
  const waitedFor = new Set(all.flatMap((one) => (one.forkedOnly && isStopped(one) ? [one.parent] : [])))
  return all.filter((one) => !isStopped(one) && !(one.state === "D" && waitedFor.has(one.pid)))
}

/** The processes that live, leaders first where they do. */
export const members = Effect.fnUntraced(function* (leaders: ReadonlyArray<Identity>) {
  const bootId = yield* Proc.bootId
  const everybody = (yield* Proc.all).filter((process) => !Proc.isDead(process))
  const byPid = new Map(everybody.map((process) => [process.pid, process]))
  const ours = leaders.filter(({ bootId: boot, pid, startTime }) => {
    // While a session lasts the pid of its leader is nobody else's.
    const holder = byPid.get(pid)
    return boot === bootId && (holder === undefined || holder.startTime === startTime)
  })
  const sessions = new Set(ours.map(({ pid }) => pid))
  const found = new Map(everybody.flatMap((one) => (sessions.has(one.session) ? [[one.pid, one] as const] : [])))
  for (let before = -1; before < found.size;) {
    before = found.size
    for (const one of everybody) if (found.has(one.parent)) found.set(one.pid, one)
  }
  return Array.from(found.values())
})

/** Whether that process lives. */
export const isAlive = (identity: Identity) =>
  Effect.map(
    Effect.all([Proc.bootId, Proc.find(identity)]),
    ([boot, found]) => boot === identity.bootId && Option.isSome(found)
  )

const send = Effect.fnUntraced(function* (to: ReadonlyArray<Proc.Stat>, signal: number) {
  const libc = yield* Libc
  // It may have ended, or belong to another user by now, whom we may not touch.
  for (const { pid } of to) yield* Effect.ignore(libc.kill(pid, signal))
})

/** Sends a signal again and again, until `left` is empty. False where it is not at the deadline. */
const until = Effect.fnUntraced(function* (
  leaders: ReadonlyArray<Identity>,
  signal: number,
  left: (all: ReadonlyArray<Proc.Stat>) => ReadonlyArray<Proc.Stat>,
  deadline: Duration.Input
) {
  const end = (yield* Clock.monotonicTimeNanos) + Duration.toNanosUnsafe(Duration.fromInputUnsafe(deadline))
  while (true) {
    const remaining = left(yield* members(leaders))
    if (remaining.length === 0) return true
    if ((yield* Clock.monotonicTimeNanos) > end) return false
    yield* send(remaining, signal)
    yield* Effect.sleep(pause)
  }
})

/** Ends all of them. False where one was still there at the deadline. */
export const kill = (leaders: ReadonlyArray<Identity>, deadline: Duration.Input) =>
  until(leaders, sigkill, (all) => all, deadline)

/** Stops all of them, also those that are born meanwhile. False where one was not stopped at the deadline. */
export const stop = (leaders: ReadonlyArray<Identity>, deadline: Duration.Input) =>
  until(leaders, sigstop, running, deadline)

/** Lets all of them go on, also those that would stop only later. */
export const resume = Effect.fnUntraced(function* (leaders: ReadonlyArray<Identity>, deadline: Duration.Input) {
  yield* send(yield* members(leaders), sigcont)
  return yield* until(leaders, sigcont, (all) => all.filter(isStopped), deadline)
})
