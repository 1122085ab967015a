/**
 * What /proc says of processes, read afresh at each call; a file of /proc is answered from memory, so the reads are
 * synchronous. Nothing is kept and nothing is signalled here.
 */
import { Effect, Option } from "effect"
import { readFileSync, readdirSync } from "node:fs"
import type { Identity } from "../../schema/TaskState.ts"

/** One process, from /proc/PID/stat. */
export interface Stat {
  readonly pid: number
  /** One letter; Z and X are dead. */
  readonly state: string
  readonly parent: number
  /** The pid of the process that leads, or once led, its session. */
  readonly session: number
  /** Clock ticks since boot; with the pid and the boot id it names the process for good. */
  readonly startTime: string
  /** Status word as of wait(2); meaningful in a zombie only, and 0 for those who may not trace the process. */
  readonly exitWord: number
  /** Whether it is still the program that it was forked from; also told of a zombie. */
  readonly forkedOnly: boolean
  /** Whether it has begun to end: its files are closed some time before it is dead. */
  readonly exiting: boolean
}

/** PF_FORKNOEXEC: the kernel takes it off when a program is executed. */
const forkNoExec = 0x40
/** PF_EXITING. */
const exitingFlag = 0x4

const text = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return undefined
  }
}

/**
 * Reads a line of /proc/PID/stat. The name of the command may itself hold blanks and parentheses, so fields count from
 * the last `)`.
 */
export const parseStat = (line: string): Option.Option<Stat> => {
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ")
  const [state, parent, session, startTime] = [fields[0], fields[1], fields[3], fields[19]]
  if (state === undefined || parent === undefined || session === undefined || startTime === undefined)
    return Option.none()
  return Option.some({
    pid: Number.parseInt(line, 10),
    state,
    parent: Number(parent),
    session: Number(session),
    startTime,
    exitWord: Number(fields[49] ?? 0),
    forkedOnly: (Number(fields[6] ?? 0) & forkNoExec) !== 0,
    exiting: (Number(fields[6] ?? 0) & exitingFlag) !== 0
  })
}

/** A process, or none where no process has that pid. */
export const stat = (pid: number): Effect.Effect<Option.Option<Stat>> =>
  Effect.sync(() => Option.flatMap(Option.fromUndefinedOr(text(`/proc/${pid}/stat`)), parseStat))

/** Whether a process has ended, reaped or not. */
export const isDead = (process: Stat): boolean => process.state === "Z" || process.state === "X"

/** This boot; start times compare within one boot only. */
export const bootId: Effect.Effect<string> = Effect.sync(() =>
  readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
)

/** That very process while it lives; none where it has ended or its pid belongs to another one. */
export const find = (identity: Identity): Effect.Effect<Option.Option<Stat>> =>
  Effect.map(
    stat(identity.pid),
    Option.filter((found) => found.startTime === identity.startTime && !isDead(found))
  )

/** The pids of this process's children, zombies too; empty on a kernel that does not list them. */
export const children: Effect.Effect<ReadonlyArray<number>> = Effect.sync(() =>
  readdirSync("/proc/self/task").flatMap((thread) =>
    (text(`/proc/self/task/${thread}/children`) ?? "")
      .split(" ")
      .filter((pid) => pid !== "")
      .map(Number)
  )
)

/** Every process that /proc shows. */
export const all: Effect.Effect<ReadonlyArray<Stat>> = Effect.sync(() =>
  readdirSync("/proc").flatMap((name) =>
    /^\d+$/.test(name)
      ? Option.toArray(Option.flatMap(Option.fromUndefinedOr(text(`/proc/${name}/stat`)), parseStat))
      : []
  )
)

/** Every process with such arguments. */
export const withArguments = Effect.fnUntraced(function* (matches: (argv: ReadonlyArray<string>) => boolean) {
  const found: Array<Stat> = []
  // Whose pid is another's by the time its arguments are read has the wrong start time.
  for (const one of yield* all) if (matches(yield* argv(one.pid))) found.push(one)
  return found
})

/** Every process with this argument. */
export const withArgument = (argument: string) => withArguments((argv) => argv.includes(argument))

/** The arguments of a process; empty where it has ended or may not be read. */
export const argv = (pid: number): Effect.Effect<ReadonlyArray<string>> =>
  Effect.sync(() => (text(`/proc/${pid}/cmdline`) ?? "").split("\0").slice(0, -1))
