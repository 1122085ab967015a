/**
 * A process of a container with the command's own input and output: what `run`, `exec`, `start -a` and `attach` have in common. Output and exit are
 * asked for before the process is started, so that neither can be missed. It owns nothing: when the command goes, the container stays as it is.
 */
import { Deferred, Effect, Fiber, Queue, Stdio, Stream } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import type { ContainerId, ExecId } from "../schema/Ids.ts"
import type { Exit } from "../schema/Process.ts"
import { Tasks } from "../services/Tasks.ts"
import { Output } from "./Output.ts"
import { Signals } from "./Signals.ts"

/** Which process, and what of the command's own it gets. */
export interface Attachment {
  readonly id: ContainerId
  readonly execId: ExecId | null
  /** What starts the process; `null` where it runs already. */
  readonly start: Effect.Effect<unknown, BerthError> | null
  /** Copy standard input to the process. */
  readonly stdin: boolean
  /** Copy the process's output; it has to go to the structured log. */
  readonly output: boolean
  /** Pass signals on; otherwise they end the command. */
  readonly forward: boolean
}

const sigint = 2
const sigterm = 15
const sigkill = 9
/** So many attempts to end a process that ignores them, as init processes do by default, end it for good. */
const patience = 3

/** The largest piece that `writeStdin` takes. */
const pieceBytes = 65_536

const pieces = function* (bytes: Uint8Array) {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
}

/** Waits for the start before it prints: what a runtime that fails to start the process writes is in its error already. */
const copyOutput = (process: Attachment, started: Deferred.Deferred<void>) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    const output = yield* Output
    yield* tasks.output({ id: process.id, execId: process.execId, follow: true }).pipe(
      Stream.tap(() => Deferred.await(started)),
      Stream.runForEach(({ bytes, stream }) => (stream === "stdout" ? output.write(bytes) : output.writeError(bytes)))
    )
  })

/** Ends with the input, or when the process reads no more. */
const copyInput = ({ execId, id }: Attachment) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    const stdio = yield* Stdio.Stdio
    const write = (bytes: Uint8Array) => tasks.writeStdin({ id, execId, bytes })
    yield* stdio.stdin.pipe(
      Stream.runForEach((chunk) => Effect.forEach(pieces(chunk), write, { discard: true })),
      Effect.ignore
    )
    yield* Effect.ignore(tasks.closeStdin({ id, execId }))
  })

const forwardSignals = ({ execId, id }: Attachment, signals: Queue.Dequeue<number>) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    let attempts = 0
    while (true) {
      const signal = yield* Queue.take(signals)
      if (signal === sigint || signal === sigterm) attempts++
      yield* Effect.ignore(tasks.signal({ id, execId, signal: attempts < patience ? signal : sigkill }))
    }
  })

/** Attaches, starts, and returns the exit when the process has ended and all its output is written. */
export const attach = (process: Attachment) =>
  Effect.scoped(
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const signals = process.forward ? yield* (yield* Signals).take : null
      const exit = yield* Effect.forkScoped(tasks.wait({ id: process.id, execId: process.execId }), {
        startImmediately: true
      })
      const started = yield* Deferred.make<void>()
      const output = process.output
        ? yield* Effect.forkScoped(copyOutput(process, started), { startImmediately: true })
        : null
      if (process.start !== null) yield* process.start
      yield* Deferred.succeed(started, undefined)
      if (signals !== null) yield* Effect.forkScoped(forwardSignals(process, signals))
      if (process.stdin) yield* Effect.forkScoped(copyInput(process))
      const [ended] = yield* Effect.all([Fiber.join(exit), output === null ? Effect.void : Fiber.join(output)], {
        concurrency: "unbounded"
      })
      return ended satisfies Exit
    })
  )
