/**
 * A process of a container with the command's own input and output: what `run`, `exec`, `start -a` and `attach` have in common. Output and exit are
 * asked for before the process is started, so that neither can be missed. It owns nothing: when the command goes, the container stays as it is; only when
 * nobody reads the output of a process that it has started does it end that.
 */
import { Deferred, Effect, Fiber, Queue, Stdio, Stream } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import type { ContainerId, ExecId } from "../schema/Ids.ts"
import type { Exit } from "../schema/Process.ts"
import { Tasks } from "../services/Tasks.ts"
import { makeCopy } from "./Copy.ts"
import { Output } from "./Output.ts"
import { pieces } from "./Pieces.ts"
import { Signals } from "./Signals.ts"
import type { DetachKeys } from "./terminal/DetachKeys.ts"
import * as Session from "./terminal/Session.ts"
import { Tty } from "./terminal/Tty.ts"

/** Which process, and what of the command's own it gets. */
export interface Attachment {
  readonly id: ContainerId
  readonly execId: ExecId | null
  /** What starts the process; `null` where it runs already. */
  readonly start: Effect.Effect<unknown, BerthError> | null
  /** Copy standard input to the process. */
  readonly stdin: boolean
  /** End the input of the process at the end of the command's, the default; for what others may attach to, not. */
  readonly closeStdin?: boolean
  /** Copy the process's output; it has to go to the structured log. */
  readonly output: boolean
  /** Pass signals on; otherwise they end the command. From a terminal that is copied keys do so, and signals are for the command itself. */
  readonly forward: boolean
  /** Where the process has a terminal: what detaches from it. `null` where it has none. */
  readonly detachKeys: DetachKeys | null
}

const sigint = 2
const sigterm = 15
const sigkill = 9
/** So many attempts to end a process that ignores them, as init processes do by default, end it for good. */
const patience = 3

/** Waits for the start before it prints: what a runtime that fails to start the process writes is in its error already. */
const copyOutput = (process: Attachment, started: Deferred.Deferred<void>) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    const { detachKeys, execId, id, start } = process
    const copy = yield* makeCopy(process, start !== null)
    // What a terminal showed before is no longer what it shows. It draws itself again as soon as nothing of that can be missed.
    const live = detachKeys !== null && start === null
    const draw = live ? Session.redraw(process) : Effect.void
    yield* tasks.output({ id, execId, follow: true, live }).pipe(
      Stream.tap(({ bytes }) => (bytes.length === 0 ? draw : Deferred.await(started))),
      Stream.runForEach(copy)
    )
  })

type Named = Pick<Attachment, "id" | "execId">

/** Ends with the input, or when the process reads no more. */
export const copyInput = ({ closeStdin = true, execId, id }: Named & Pick<Attachment, "closeStdin">) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    const stdio = yield* Stdio.Stdio
    const write = (bytes: Uint8Array) => tasks.writeStdin({ id, execId, bytes })
    yield* stdio.stdin.pipe(
      Stream.runForEach((chunk) => Effect.forEach(pieces(chunk), write, { discard: true })),
      Effect.ignore
    )
    if (closeStdin) yield* Effect.ignore(tasks.closeStdin({ id, execId }))
  })

export const forwardSignals = ({ execId, id }: Named, signals: Queue.Dequeue<number>) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    let attempts = 0
    while (true) {
      const signal = yield* Queue.take(signals)
      if (signal === sigint || signal === sigterm) attempts++
      yield* Effect.ignore(tasks.signal({ id, execId, signal: attempts < patience ? signal : sigkill }))
    }
  })

const run = (process: Attachment) =>
  Effect.scoped(
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const tty = yield* Tty
      const { detachKeys } = process
      const raw = detachKeys !== null && process.stdin && tty.isInput
      const signals = process.forward && !raw ? yield* (yield* Signals).take : null
      const exit = yield* Effect.forkScoped(tasks.wait({ id: process.id, execId: process.execId }), {
        startImmediately: true
      })
      const started = yield* Deferred.make<void>()
      const output = process.output
        ? yield* Effect.forkScoped(copyOutput(process, started), { startImmediately: true })
        : null
      if (raw) yield* tty.raw
      if (process.start !== null) {
        if (detachKeys !== null) yield* Session.fit(process)
        yield* process.start
      }
      yield* Deferred.succeed(started, undefined)
      if (detachKeys !== null) yield* Effect.forkScoped(Session.follow(process))
      if (signals !== null) yield* Effect.forkScoped(forwardSignals(process, signals))
      const left = yield* Deferred.make<void>()
      const input = raw ? Session.copyKeys(process, detachKeys, left) : process.stdin ? copyInput(process) : Effect.void
      yield* Effect.forkScoped(input)
      const ended = Effect.all([Fiber.join(exit), output === null ? Effect.void : Fiber.join(output)], {
        concurrency: "unbounded"
      }).pipe(Effect.map(([exit]): Exit => exit))
      return yield* Effect.raceFirst(ended, Effect.as(Deferred.await(left), null))
    })
  )

/** Says so where it is known that more was written than was printed here. */
export const tellTruncated = ({ truncated }: Exit) =>
  truncated === true
    ? Output.use((output) => output.writeError("berth: the output is truncated, it could not all be logged in time\n"))
    : Effect.void

/** Attaches, starts, and returns the exit when the process has ended and all its output is written; `null` when the user has detached from it. */
export const attach = (process: Attachment) =>
  Effect.gen(function* () {
    const exit = yield* run(process)
    if (exit !== null) return yield* Effect.as(tellTruncated(exit), exit)
    const words = ["berth attach", ...(process.execId === null ? [] : [`--exec ${process.execId}`]), process.id]
    yield* (yield* Output).writeError(`\nberth: detached, "${words.join(" ")}" comes back\n`)
    return null
  })
