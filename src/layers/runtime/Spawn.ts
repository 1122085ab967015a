/**
 * Runs one short-lived program to its end. Arguments go as they are, never through a shell; descriptors go by number,
 * so that what the program leaves behind may keep them. It kills the process that it started and those of its group (a
 * runtime's hooks; what is to outlive the call makes a session of its own), knows nothing of containers and keeps no
 * output but what it was asked to.
 */
import { Clock, Deferred, Duration, Effect, Exit, Option, Schema } from "effect"
import { Socket } from "node:net"
import { Unavailable } from "../../schema/Errors.ts"
import type { Descriptors } from "../../services/OciRuntime.ts"
import { Children } from "../posix/Children.ts"
import type { Running } from "../posix/Children.ts"
import type { PosixError } from "../posix/Libc.ts"

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
  /** An absolute path. */
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

const problems: Readonly<Record<string, readonly [problem: string, mend: string | null]>> = {
  ENOENT: ["no such program", "install it, or correct its path in the configuration"],
  EACCES: ["the program may not be executed", "chmod +x it"],
  ENOEXEC: ["it is no program for this machine", "install the one for this architecture; a script begins with #!"],
  EAGAIN: ["the limit of processes is reached", "raise the limit of processes (TasksMax, ulimit -u)"],
  EMFILE: ["the limit of open files is reached", "raise the limit of open files (LimitNOFILE, ulimit -n)"],
  ENOMEM: ["out of memory", null],
  ENOSYS: ["posix_spawn: ENOSYS", "npm install koffi"],
  ECHILD: ["how it ended is not known: another part of this process waited for it", null]
}

const unavailable = (binary: string, { code }: PosixError): Unavailable => {
  const [problem, mend] = problems[code] ?? [`cannot be started (${code})`, null]
  return new Unavailable({ what: binary, problem, mend })
}

interface Output {
  /** Completes when nobody holds the pipe any more. */
  readonly text: Effect.Effect<string>
  readonly close: () => void
}

const nothing: Output = { text: Effect.succeed(""), close: () => {} }

/** Reads to the end and keeps the beginning, so that no program waits for its reader. */
const collect = (fd: number): Output => {
  const text = Deferred.makeUnsafe<string>()
  let kept = ""
  const socket = new Socket({ fd, readable: true, writable: false })
    .setEncoding("utf8")
    .on("data", (chunk: string) => {
      if (kept.length < maxCapture) kept = (kept + chunk).slice(0, maxCapture)
    })
    // "close" follows.
    .on("error", () => {})
    .on("close", () => Deferred.doneUnsafe(text, Effect.succeed(kept)))
  return { text: Deferred.await(text), close: () => socket.destroy() }
}

const killGroup = ({ pid }: Running): void => {
  try {
    process.kill(-pid, "SIGKILL")
  } catch {
    // Nothing of it is left but what is to be waited for.
  }
}

/**
 * Interrupted or overdue, it kills the program and returns when that has ended. Fails with Unavailable where the
 * program cannot be started at all.
 */
export const run = Effect.fn("Spawn.run")(function* (command: Command) {
  const children = yield* Children
  const { args, binary, capture, deadline, env, grace, stdio } = command
  const started = yield* Clock.monotonicTimeNanos

  const start = Effect.map(
    children.spawn({ path: binary, args, env, ...stdio, stdout: capture === true ? "pipe" : stdio.stdout }),
    (child) => ({ child, output: child.output === null ? nothing : collect(child.output) })
  )
  const finish = ({ child, output }: Effect.Success<typeof start>) =>
    Effect.all({ exitCode: child.exit, stdout: output.text })

  const stop = (running: Effect.Success<typeof start>, exit: Exit.Exit<unknown, unknown>) =>
    Effect.gen(function* () {
      const { child, output } = running
      if (Exit.hasInterrupts(exit) && grace !== undefined) {
        yield* Effect.timeoutOption(Effect.exit(finish(running)), grace)
      }
      if (!child.isOver()) {
        killGroup(child)
        yield* Effect.timeoutOption(Effect.exit(child.exit), killWait)
      }
      // Whoever inherited the pipe may hold it open.
      output.close()
    })

  const ended = yield* Effect.acquireUseRelease(
    start,
    (running) => Effect.timeoutOption(finish(running), deadline),
    stop
  ).pipe(Effect.mapError((error) => unavailable(binary, error)))
  if (Option.isNone(ended)) return yield* new Overdue({ milliseconds: Duration.toMillis(deadline) })
  const milliseconds = Number((yield* Clock.monotonicTimeNanos) - started) / 1e6
  return { ...ended.value, milliseconds } satisfies Finished
})
