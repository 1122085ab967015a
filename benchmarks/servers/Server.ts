/** A server as a resource: started, ready when its socket answers, ended by SIGTERM. */
import { Effect, Schedule } from "effect"
import { spawn } from "node:child_process"
import { closeSync, openSync, readFileSync } from "node:fs"
import { connect } from "node:net"
import { Failure, attempt } from "../Failure.ts"

export interface Command {
  readonly what: string
  readonly program: string
  readonly args: ReadonlyArray<string>
  /** The unix socket that it makes. */
  readonly socket: string
  /** Where its output goes. */
  readonly log: string
}

const start = ({ args, log, program }: Command) => {
  const fd = openSync(log, "a")
  try {
    // A session of its own: Ctrl-C is for the benchmark, which ends it in good order.
    const child = spawn(program, args, { stdio: ["ignore", fd, fd], detached: true })
    child.on("error", () => {})
    return child
  } finally {
    closeSync(fd)
  }
}

const answers = (path: string) =>
  Effect.callback<boolean>((resume) => {
    const socket = connect({ path })
    socket.once("connect", () => resume(Effect.succeed(true)))
    socket.once("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })

const lastLines = (log: string) => readFileSync(log, "utf8").trim().split("\n").slice(-3).join("; ")

/** Returns when it answers. */
export const serve = Effect.fnUntraced(function* (command: Command) {
  const child = yield* Effect.acquireRelease(
    attempt(command.what, () => start(command)),
    (child) =>
      Effect.callback<void>((resume) => {
        if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGTERM")
      }).pipe(Effect.timeoutOption("10 seconds"), Effect.andThen(Effect.sync(() => child.kill("SIGKILL"))))
  )
  const hasEnded = () => child.pid === undefined || child.exitCode !== null
  yield* answers(command.socket).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (ready) => ready || hasEnded() }),
    Effect.filterOrFail(
      (ready) => ready,
      () => new Failure({ what: command.what, problem: `it ended: ${lastLines(command.log)}` })
    ),
    Effect.timeoutOrElse({
      duration: "20 seconds",
      orElse: () =>
        Effect.fail(new Failure({ what: command.what, problem: `it does not answer: ${lastLines(command.log)}` }))
    })
  )
})
