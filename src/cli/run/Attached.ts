/**
 * `berth run` in the foreground, without a terminal: one call of the daemon, whose events are the output, and the exit. It owns nothing: from its start the
 * container goes on whatever becomes of this command, and removes itself. Only that nobody reads its output any more ends it.
 */
import { Effect, Stream } from "effect"
import type { Exit } from "../../schema/Process.ts"
import type { RunEvent } from "../../schema/Run.ts"
import { Tasks } from "../../services/Tasks.ts"
import { copyInput, forwardSignals, tellTruncated } from "../Attached.ts"
import { makeCopy } from "../Copy.ts"
import { Signals } from "../Signals.ts"
import type { Plan } from "./Launch.ts"

/** Returns the exit when the process has ended and all its output is written; the removal is no longer this command's. */
export const runAttached = ({ container, stdio }: Plan) =>
  Effect.scoped(
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const signals = yield* (yield* Signals).take
      const scope = yield* Effect.scope
      const process = { id: container.id, execId: null }
      const copy = yield* makeCopy(process, true)
      let exit: Exit | null = null
      const take = (event: RunEvent) =>
        Effect.gen(function* () {
          switch (event._tag) {
            case "Started":
              yield* Effect.forkIn(forwardSignals(process, signals), scope)
              if (stdio.stdin) yield* Effect.forkIn(copyInput(process), scope)
              break
            case "Output":
              yield* copy(event)
              break
            case "Exited":
              exit = event.exit
          }
        })
      yield* tasks.runStream({ ...container, stdio, detachable: true }).pipe(
        Stream.tap(take),
        Stream.takeUntil(({ _tag }) => _tag === "Exited"),
        Stream.runDrain
      )
      const found: Exit | null = exit
      if (found !== null) yield* tellTruncated(found)
      return found
    })
  )
