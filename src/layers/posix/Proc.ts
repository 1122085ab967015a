/**
 * What /proc says of processes, read afresh at each call; a file of /proc is answered from memory, so the reads are
 * synchronous. Nothing is kept and nothing is signalled here. That a process is gone is said only where the kernel says
 * so: a look for which there was no descriptor, or no memory, fails, and nothing follows from it.
 */
import { Effect, Option } from "effect"
import { readFileSync, readdirSync } from "node:fs"
import { Unavailable } from "../../schema/Errors.ts"
import type { Identity } from "../../schema/TaskState.ts"
import { codeOf, isExhausted } from "./Libc.ts"

/** It cannot be told now, mostly because no descriptor is left. It will be some time, so whoever needs to know asks again. */
const unreadable = (code: string) =>
  new Unavailable({
    what: "processes",
    problem: `cannot be looked at: ${code}`,
    mend: isExhausted(code) ? "raise the limit on open files (ulimit -n, LimitNOFILE)" : null
  })

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

/** What the kernel answers of a process that is not there, or no longer. */
const gone: ReadonlySet<string> = new Set(["ENOENT", "ESRCH"])
/** The same, or of one of another user's that is hidden from us. */
const hidden: ReadonlySet<string> = new Set([...gone, "EACCES", "EPERM"])

/** Throws Unavailable. */
const text = (path: string, absent = gone): string | undefined => {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    const code = codeOf(error)
    if (absent.has(code)) return undefined
    throw unreadable(code)
  }
}

/** Throws Unavailable. */
const names = (path: string): ReadonlyArray<string> => {
  try {
    return readdirSync(path)
  } catch (error) {
    throw unreadable(codeOf(error))
  }
}

const looking = <A>(look: () => A): Effect.Effect<A, Unavailable> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(look())
    } catch (error) {
      return error instanceof Unavailable ? Effect.fail(error) : Effect.die(error)
    }
  })

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

const statOf = (path: string, absent = gone): Option.Option<Stat> => {
  const line = text(path, absent)
  if (line === undefined) return Option.none()
  const found = parseStat(line)
  if (Option.isNone(found)) throw unreadable("EBADMSG")
  return found
}

/** A process, or none where no process has that pid. */
export const stat = (pid: number): Effect.Effect<Option.Option<Stat>, Unavailable> =>
  looking(() => statOf(`/proc/${pid}/stat`))

/** Whether a process has ended, reaped or not. */
export const isDead = (process: Stat): boolean => process.state === "Z" || process.state === "X"

const bootIdFile = "/proc/sys/kernel/random/boot_id"

/** This boot; start times compare within one boot only. */
export const bootId: Effect.Effect<string, Unavailable> = looking(() => {
  const id = text(bootIdFile)
  if (id === undefined) throw unreadable("ENOENT")
  return id.trim()
})

/** That very process while it lives; none where it has ended or its pid belongs to another one. */
export const find = (identity: Identity): Effect.Effect<Option.Option<Stat>, Unavailable> =>
  Effect.map(
    stat(identity.pid),
    Option.filter((found) => found.startTime === identity.startTime && !isDead(found))
  )

/** The pids of this process's children, zombies too; empty on a kernel that does not list them. */
export const children: Effect.Effect<ReadonlyArray<number>, Unavailable> = looking(() =>
  names("/proc/self/task").flatMap((thread) =>
    (text(`/proc/self/task/${thread}/children`) ?? "")
      .split(" ")
      .filter((pid) => pid !== "")
      .map(Number)
  )
)

/** Every process that /proc shows. */
export const all: Effect.Effect<ReadonlyArray<Stat>, Unavailable> = looking(() =>
  names("/proc").flatMap((name) => (/^\d+$/.test(name) ? Option.toArray(statOf(`/proc/${name}/stat`, hidden)) : []))
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

/** The arguments of a process; empty where it has ended or is hidden from us. */
export const argv = (pid: number): Effect.Effect<ReadonlyArray<string>, Unavailable> =>
  looking(() => (text(`/proc/${pid}/cmdline`, hidden) ?? "").split("\0").slice(0, -1))
