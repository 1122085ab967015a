/**
 * What a process prints, on the command's own output. Once nobody reads that any more, a process that the command itself has started is ended, as it would
 * be in a pipe of a shell; what it prints meanwhile is dropped. Of one that ran before, the command just goes.
 */
import { Effect } from "effect"
import type { ContainerId, ExecId } from "../schema/Ids.ts"
import type { OutputChunk } from "../schema/Process.ts"
import { Tasks } from "../services/Tasks.ts"
import { Output } from "./Output.ts"

const sigkill = 9
const sigpipe = 13
/** The init process of a container does not get a PIPE that it has no handler for, so this is what most of them go on for. */
const patience = "1 second"

interface Named {
  readonly id: ContainerId
  readonly execId: ExecId | null
}

const end = ({ execId, id }: Named) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    yield* Effect.ignore(tasks.signal({ id, execId, signal: sigpipe }))
    yield* Effect.sleep(patience)
    yield* Effect.ignore(tasks.signal({ id, execId, signal: sigkill }))
  })

/** A function that prints a piece. `owned`: the command has started the process; where it has not, a reader that goes is a failure. */
export const makeCopy = Effect.fnUntraced(function* (process: Named, owned: boolean) {
  const { copy } = yield* Output
  const scope = yield* Effect.scope
  const unread = new Set<OutputChunk["stream"]>()
  return ({ bytes, stream }: Pick<OutputChunk, "bytes" | "stream">) =>
    Effect.catchTag(unread.has(stream) ? Effect.void : copy(stream, bytes), "OutputClosed", (error) =>
      Effect.gen(function* () {
        if (!owned) return yield* error
        const first = unread.size === 0
        unread.add(stream)
        if (first) yield* Effect.forkIn(end(process), scope)
      })
    )
})
