/** One action for each of several containers or other things that have a name: every one is tried, every failure is told, and the first failure gives the exit code. */
import { Effect } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import { wantsJson } from "./Globals.ts"
import { Output } from "./Output.ts"
import { Exited, exitCode, isBerthError, report } from "./output/Failure.ts"

export const each = <Id extends string, E, R>(
  ids: ReadonlyArray<Id>,
  action: (id: Id) => Effect.Effect<void, E | BerthError, R>
) =>
  Effect.gen(function* () {
    const [first, ...rest] = new Set(ids)
    if (rest.length === 0) return yield* action(first)
    const output = yield* Output
    const json = yield* wantsJson
    let code = 0
    for (const id of [first, ...rest]) {
      yield* Effect.catchIf(
        action(id),
        (error): error is Extract<E | BerthError, BerthError> => isBerthError(error),
        (error) => {
          code ||= exitCode(error)
          return output.writeError(report(error, json, id))
        }
      )
    }
    if (code !== 0) return yield* new Exited({ code })
  })
