/**
 * A program of the server's that logs the output of one process. It has the output as descriptors 3 (stdout) and 4 (stderr), closes descriptor 5 or writes to it
 * when it is ready, finds `CONTAINER_ID` and `CONTAINER_NAMESPACE` in its environment, and should end at the end of its input. Its death does not
 * hurt the process, which has the FIFOs open for reading and writing: the program is started again, and given up after several deaths in a short time; from
 * then on output is read and dropped.
 */
import { Clock, Deferred, Effect, Option, Schedule, Scope } from "effect"
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { closeSync, constants, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Readable } from "node:stream"
import { InvalidArgument, Unavailable } from "../../schema/Errors.ts"
import type { ProcessRef } from "../../schema/Ids.ts"
import type { Drained } from "../../services/ProcessIo.ts"
import { codeOf } from "../posix/Libc.ts"
import type { PosixError } from "../posix/Libc.ts"
import * as Proc from "../posix/Proc.ts"
import type { Failure } from "./ContainerEnds.ts"
import { diskFailure } from "./DiskFailure.ts"
import * as UserPaths from "./UserPaths.ts"

const { O_RDONLY, O_RDWR } = constants
const what = "logging program"
const readyWithin = "10 seconds"
/** How long to see whether a program that closed descriptor 5 has ended, and badly. */
const lookAgain = "20 millis"
/** How long the exit of a process waits for its program to end, and a deletion for it to heed SIGTERM. */
const endWithin = "2 seconds"
const restartAfter = "1 second"
/** So many deaths within so many nanoseconds are enough. */
const [deaths, period] = [5, 60_000_000_000n]

export interface LoggerOptions {
  readonly ref: ProcessRef
  readonly path: string
  readonly args: ReadonlyArray<string>
  /** Folder of the process, with its FIFOs `stdout` and `stderr`. */
  readonly directory: string
  /** Reads and drops output from now on. */
  readonly discard: Effect.Effect<void, Failure>
  /** How many bytes of output nobody has read yet. */
  readonly unread: Effect.Effect<number, PosixError>
}

interface Program {
  readonly child: ChildProcess
  /** Completes at its end. */
  readonly ended: Deferred.Deferred<void>
}

const refuse = (problem: string, mend: string | null = null) => new Unavailable({ what, problem, mend })

const misnamed = (problem: string) => new InvalidArgument({ field: "stdio.log.path", problem: `${what}: ${problem}` })

/** Without waiting for a writer, who may have ended. */
const openToRead = (path: string): number => {
  const standIn = openSync(path, O_RDWR)
  try {
    return openSync(path, O_RDONLY)
  } finally {
    closeSync(standIn)
  }
}

const launch = ({ args, directory, path, ref }: LoggerOptions): ChildProcess => {
  const fds: Array<number> = []
  try {
    for (const name of ["stdout", "stderr"]) fds.push(openToRead(join(directory, name)))
    return spawn(path, args, {
      cwd: "/",
      env: {
        PATH: process.env["PATH"] ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        CONTAINER_ID: ref.containerId,
        CONTAINER_NAMESPACE: ref.namespace
      },
      detached: true,
      stdio: ["ignore", "ignore", "ignore", ...fds, "pipe"]
    })
  } finally {
    fds.forEach((fd) => closeSync(fd))
  }
}

/** Completes when the program says that it is ready: `told` by a byte, or by closing the descriptor. */
const sign = (child: ChildProcess) =>
  Effect.callback<"told" | "closed", Unavailable>((resume) => {
    const pipe = child.stdio.at(5)
    child.once("error", (error) => resume(Effect.fail(refuse(`cannot start it: ${codeOf(error)}`))))
    if (!(pipe instanceof Readable)) return
    pipe.once("data", () => resume(Effect.succeed("told")))
    pipe.once("close", () => resume(Effect.succeed("closed")))
    pipe.on("error", () => {})
    pipe.resume()
  })

const kill = ({ child, ended }: Program) =>
  Effect.gen(function* () {
    if (Deferred.isDoneUnsafe(ended)) return
    child.kill("SIGTERM")
    const gone = yield* Effect.timeoutOption(Deferred.await(ended), endWithin)
    if (Option.isNone(gone)) child.kill("SIGKILL")
  })

/** Starts the program and waits until it is ready. */
const run = Effect.fnUntraced(function* (options: LoggerOptions) {
  const ended = Deferred.makeUnsafe<void>()
  const child = yield* Effect.try({
    try: () => launch(options),
    catch: (error) => diskFailure(what, "start it", options.path, error)
  })
  const program: Program = { child, ended }
  const end = () => Deferred.doneUnsafe(ended, Effect.void)
  child.once("exit", end)
  child.on("error", end)
  const ready = Effect.gen(function* () {
    if ((yield* sign(child)) === "closed") yield* Effect.sleep(lookAgain)
    const { exitCode, signalCode } = child
    if (exitCode !== null && exitCode !== 0) return yield* refuse(`it ended with ${exitCode}`)
    if (signalCode !== null) return yield* refuse(`it was ended by ${signalCode}`)
  })
  yield* ready.pipe(
    Effect.timeoutOrElse({
      duration: readyWithin,
      orElse: () => Effect.fail(refuse("it was not ready in 10 seconds", "it has to close descriptor 5"))
    }),
    Effect.onError(() => kill(program))
  )
  return program
})

/** The program that a host which died has left; two would share the output between them. */
const endFormer = Effect.fnUntraced(function* (note: string) {
  const text = yield* Effect.orElseSucceed(
    Effect.try(() => readFileSync(note, "utf8")),
    () => ""
  )
  const [first, startTime] = text.split(" ")
  const pid = Number(first)
  if (!Number.isInteger(pid) || pid < 2) return
  const alive = Effect.map(Proc.stat(pid), (found) =>
    Option.exists(found, (stat) => stat.startTime === startTime && !Proc.isDead(stat))
  )
  const send = (signal: "SIGTERM" | "SIGKILL") => Effect.ignore(Effect.try(() => process.kill(pid, signal)))
  if (!(yield* alive)) return
  yield* send("SIGTERM")
  const gone = alive.pipe(
    Effect.repeat({ schedule: Schedule.spaced("10 millis"), while: (alive) => alive }),
    Effect.timeoutOption(endWithin)
  )
  if (Option.isNone(yield* gone)) yield* send("SIGKILL")
})

/** Refuses what can be seen not to be a program. */
const check = Effect.fnUntraced(function* (path: string) {
  const failed = (error: unknown) => misnamed(`cannot run it: ${codeOf(error)}`)
  const found = yield* Effect.mapError(UserPaths.statOf(path), failed)
  if (!found.isFile()) return yield* misnamed("it is not a file")
  yield* Effect.mapError(UserPaths.mayExecute(path), failed)
})

/**
 * Runs the program for as long as the scope is open. `drained` waits for its end, for a limited time; call it when the process has ended. Then all that the program
 * has read is its own; truncated is what it has not.
 */
export const start = Effect.fnUntraced(function* (options: LoggerOptions) {
  const scope = yield* Effect.scope
  const note = join(options.directory, "logger.pid")
  yield* check(options.path)
  yield* endFormer(note)
  let over = false
  let givenUp = false
  let current = yield* run(options)
  /** Completes when no start is under way. */
  let settled = Deferred.makeUnsafe<void>()
  Deferred.doneUnsafe(settled, Effect.void)
  const remember = Effect.gen(function* () {
    const pid = current.child.pid ?? 0
    const found = yield* Proc.stat(pid)
    if (Option.isNone(found)) return
    yield* Effect.ignore(Effect.try(() => writeFileSync(note, `${pid} ${found.value.startTime}`, { mode: 0o600 })))
  })
  yield* remember
  yield* Scope.addFinalizer(
    scope,
    Effect.suspend(() => {
      over = true
      return Effect.andThen(
        kill(current),
        Effect.sync(() => rmSync(note, { force: true }))
      )
    })
  )
  const again = Effect.gen(function* () {
    let ends: ReadonlyArray<bigint> = []
    while (true) {
      yield* Deferred.await(current.ended)
      yield* Effect.sleep(restartAfter)
      if (over) return
      const now = yield* Clock.monotonicTimeNanos
      ends = [...ends.filter((at) => now - at < period), now]
      if (ends.length >= deaths) break
      yield* Effect.logWarning(`the logging program of "${options.ref.containerId}" has ended, starting it again`)
      settled = Deferred.makeUnsafe()
      const next = yield* Effect.option(Effect.andThen(check(options.path), run(options)))
      if (Option.isSome(next)) {
        current = next.value
        yield* remember
      }
      yield* Deferred.succeed(settled, undefined)
    }
    yield* Effect.logError(
      `the logging program of "${options.ref.containerId}" ends again and again: output is dropped`
    )
    givenUp = true
    yield* Effect.ignore(options.discard)
  })
  yield* Effect.forkIn(again, scope)
  const drained = Effect.suspend(() => {
    over = true
    const ended = Effect.andThen(
      Deferred.await(settled),
      Effect.suspend(() => Deferred.await(current.ended))
    )
    return Effect.timeoutOption(ended, endWithin).pipe(
      Effect.flatMap((inTime) => Effect.orElseSucceed(options.unread, () => (Option.isSome(inTime) ? 0 : 1))),
      Effect.map((unread): Drained => (unread > 0 || givenUp ? "truncated" : "complete"))
    )
  })
  return { drained }
})
