/**
 * A process's terminal shown in that of the command: keys go to the process until the detach keys, the size follows, and a process that is attached to again
 * is made to draw itself again.
 */
import { Deferred, Effect, Stdio, Stream } from "effect"
import type { ContainerId, ExecId } from "../../schema/Ids.ts"
import type { TerminalSize } from "../../schema/Process.ts"
import { Tasks } from "../../services/Tasks.ts"
import { misuse } from "../output/Usage.ts"
import { pieces } from "../Pieces.ts"
import type { DetachKeys } from "./DetachKeys.ts"
import { makeDetector } from "./DetachKeys.ts"
import { Tty } from "./Tty.ts"

interface Named {
  readonly id: ContainerId
  readonly execId: ExecId | null
}

/** Refuses to copy input to a terminal from what is none: it could not be typed on. */
export const requireTty = (command: string, field: string) =>
  Effect.gen(function* () {
    const { isInput } = yield* Tty
    if (!isInput) return yield* misuse(command, field, "the input device is not a TTY")
  })

/** A terminal that cannot be sized is no reason to end. */
const resize = ({ execId, id }: Named, size: TerminalSize) =>
  Effect.flatMap(Tasks, (tasks) => Effect.ignore(tasks.resize({ id, execId, ...size })))

/** Gives the process's terminal the size of the command's. */
export const fit = (process: Named) =>
  Effect.gen(function* () {
    const size = yield* (yield* Tty).size
    if (size !== null) yield* resize(process, size)
  })

/** The same for as long as it runs. */
export const follow = (process: Named) =>
  Effect.flatMap(Tty, ({ sizes }) => Stream.runForEach(sizes, (size) => resize(process, size)))

/** Programs draw themselves when the size changes, so it is changed and changed back. */
export const redraw = (process: Named) =>
  Effect.gen(function* () {
    const size = yield* (yield* Tty).size
    if (size === null) return
    yield* resize(process, { ...size, height: size.height + 1 })
    yield* fit(process)
  })

/**
 * Ends with the input or the detach keys, and then says so in `left`. That a process takes no input does not end it: the keys must still work. Nor does it
 * end the input of the process, which may be attached to again.
 */
export const copyKeys = ({ execId, id }: Named, keys: DetachKeys, left: Deferred.Deferred<void>) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    const { stdin } = yield* Stdio.Stdio
    const detect = makeDetector(keys)
    const write = (bytes: Uint8Array) => Effect.ignore(tasks.writeStdin({ id, execId, bytes }))
    const pass = (bytes: Uint8Array) => Effect.forEach(pieces(bytes), write, { discard: true })
    yield* stdin.pipe(
      Stream.map(detect),
      Stream.tap(({ bytes }) => pass(bytes)),
      Stream.takeUntil(({ detached }) => detached),
      Stream.runForEach(({ detached }) => (detached ? Deferred.succeed(left, undefined) : Effect.void)),
      Effect.ignore
    )
  })
