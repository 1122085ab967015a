/**
 * Runs one short-lived program to its end. Arguments go as they are, never through a shell; descriptors go by number,
 * so that what the program leaves behind may keep them. It kills the process that it started and those of its group (a
 * runtime's hooks; what is to outlive the call makes a session of its own), knows nothing of containers and keeps no
 * output but what it was asked to.
 */
import { Clock, Deferred, Duration, Effect, Exit, Option, Schema } from "effect"
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { constants } from "node:os"
import { Unavailable } from "../../schema/Errors.ts"
import type { Descriptors } from "../../services/OciRuntime.ts"
import { codeOf } from "../posix/Libc.ts"
import { OwnChildren } from "./OwnChildren.ts"

/** Most that `capture` keeps, in characters. */
export const maxCapture = 1024 * 1024

// A killed process that sleeps in the kernel may take its time to die, and nobody should wait for that.
const killWait = "2 seconds"

/** The program was still running at its deadline, and was killed. */
export class Overdue extends Schema.TaggedError<Overdue>()("Overdue", { milliseconds: Schema.Finite }) {
  override get message() {
    return `no answer within ${this.milliseconds} ms`
  }
}

export interface Command {
  /** An absolute path, or a name to look for on PATH. */
  readonly binary: string
  readonly args: ReadonlyArray<string>
  readonly stdio: Descriptors
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>
  readonly deadline: Duration.Input
  /**
   * Where the call is interrupted, how long the program may still go on to its natural end before it is killed; none by
   * default.
   */
  readonly grace?: Duration.Input
  /** Collect standard output instead of giving it a descriptor. Not for programs that leave processes behind. */
  readonly capture?: boolean
}

export interface Finished {
  /** Exit code, or 128 + signal. */
  readonly exitCode: number
  /** What was captured; empty where nothing was to be. */
  readonly stdout: string
  readonly milliseconds: number
}

type Ended = Omit<Finished, "milliseconds">

const problems: Readonly<Record<string, readonly [problem: string, mend: string | null]>> = {
  ENOENT: ["no such program", "install it, or correct its path in the configuration"],
  EACCES: ["the program may not be executed", "chmod +x it"],
  EAGAIN: ["the limit of processes is reached", "raise the limit of processes (TasksMax, ulimit -u)"],
  EMFILE: ["the limit of open files is reached", "raise the limit of open files (LimitNOFILE, ulimit -n)"],
  ENOMEM: ["out of memory", null]
}

const unavailable = (binary: string, error: unknown): Unavailable => {
  const code = codeOf(error)
  const [problem, mend] = problems[code] ?? [`cannot be started (${code})`, null]
  return new Unavailable({ what: binary, problem, mend })
}

const listen = (child: ChildProcess, binary: string, own: Set<number>, done: Deferred.Deferred<Ended, Unavailable>) => {
  const { pid } = child
  if (pid !== undefined) own.add(pid)
  let stdout = ""
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout = (stdout + text).slice(0, maxCapture)
  })
  child.on("exit", () => pid !== undefined && own.delete(pid))
  child.on("error", (error) => {
    if (pid === undefined) Deferred.doneUnsafe(done, Effect.fail(unavailable(binary, error)))
  })
  child.on("close", (code, signal) => {
    const exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal])
    Deferred.doneUnsafe(done, Effect.succeed({ exitCode, stdout }))
  })
}

const killGroup = ({ exitCode, pid, signalCode }: ChildProcess): void => {
  // Once waited for, its pid may be another's.
  if (pid === undefined || exitCode !== null || signalCode !== null) return
  try {
    process.kill(-pid, "SIGKILL")
  } catch {
    // It has ended meanwhile.
  }
}

/**
 * Interrupted or overdue, it kills the program and returns when that has ended. Fails with Unavailable where the
 * program cannot be started at all.
 */
export const run = Effect.fn("Spawn.run")(function* (command: Command) {
  const own = yield* OwnChildren
  const { binary, deadline, grace, stdio } = command
  const started = yield* Clock.monotonicTimeNanos
  const done = Deferred.makeUnsafe<Ended, Unavailable>()
  const within = (duration: Duration.Input) => Effect.timeoutOption(Effect.exit(Deferred.await(done)), duration)

  const start = Effect.try({
    try: () => {
      const child = spawn(binary, command.args, {
        env: command.env,
        // A session of its own: Ctrl-C in the terminal of a daemon must not reach a runtime at work.
        detached: true,
        stdio: [
          stdio.stdin ?? "ignore",
          command.capture === true ? "pipe" : (stdio.stdout ?? "ignore"),
          stdio.stderr ?? "ignore"
        ]
      })
      listen(child, binary, own, done)
      return child
    },
    catch: (error) => unavailable(binary, error)
  })

  const stop = (child: ChildProcess, exit: Exit.Exit<unknown, unknown>) =>
    Effect.gen(function* () {
      if (Exit.hasInterrupts(exit) && grace !== undefined) yield* within(grace)
      if (Deferred.isDoneUnsafe(done)) return
      killGroup(child)
      yield* within(killWait)
      // Whoever inherited the pipe may hold it open.
      child.stdout?.destroy()
    })

  const ended = yield* Effect.acquireUseRelease(start, () => Effect.timeoutOption(Deferred.await(done), deadline), stop)
  if (Option.isNone(ended)) return yield* new Overdue({ milliseconds: Duration.toMillis(deadline) })
  const milliseconds = Number((yield* Clock.monotonicTimeNanos) - started) / 1e6
  return { ...ended.value, milliseconds } satisfies Finished
})
