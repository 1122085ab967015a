/** The ends of every benchmark: it begins as root on a runtime that is installed, and what goes wrong is told in one line, with exit code 1. */
import { NodeRuntime } from "@effect/platform-node"
import { Cause, Console, Effect, Option } from "effect"
import type { Scope } from "effect"
import * as Counts from "./Counts.ts"
import { Failure } from "./Failure.ts"
import * as Machine from "./Machine.ts"
import * as Workspace from "./Workspace.ts"

const explain = (cause: Cause.Cause<Failure>): string => {
  const found = Cause.findErrorOption(cause)
  return Option.isSome(found) ? found.value.message : Cause.pretty(cause)
}

/** As the process. */
export const run = (bench: Effect.Effect<void, Failure>): void =>
  bench.pipe(
    Effect.tapCause((cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.void : Console.error(`bench: ${explain(cause)}`)
    ),
    (program) => NodeRuntime.runMain(program, { disableErrorReporting: true })
  )

/** Nothing but root makes containers. */
export const root = (problem: string): Effect.Effect<void, Failure> =>
  process.getuid?.() === 0 ? Effect.void : Effect.fail(new Failure({ what: "user", problem }))

export interface Given {
  readonly runtime: string
  readonly size: number
  readonly times: number
  readonly workspace: Workspace.Workspace
}

/** One that the command line tells a runtime and two numbers, as the process. */
export const counted = <E extends { readonly message: string }>(
  defaults: Counts.Defaults,
  measure: (told: Given) => Effect.Effect<void, E, Scope.Scope>
): void =>
  run(
    Effect.gen(function* () {
      const { runtime, size, times } = yield* Counts.parse(defaults)
      yield* root("containers need root")
      const binary = Machine.find(runtime)
      if (binary === null) return yield* new Failure({ what: "--runtime", problem: `${runtime} is not installed` })
      const workspace = yield* Workspace.make(binary)
      yield* Effect.mapError(measure({ runtime, size, times, workspace }), (error) =>
        error instanceof Failure ? error : new Failure({ what: "berth", problem: error.message })
      )
    }).pipe(Effect.scoped)
  )
