/** What the smaller benchmarks may be told: a runtime, how many containers, and how often to do what they measure. */
import { Effect } from "effect"
import { parseArgs } from "node:util"
import { Failure, attempt } from "./Failure.ts"
import { count } from "./Options.ts"

export interface Defaults {
  /** Of the benchmark. */
  readonly file: string
  readonly containers: number
  /** What is done several times: the name of its option, what that says, and how often it is done unless told otherwise. */
  readonly repeated: { readonly option: string; readonly says: string; readonly times: number }
}

const usage = ({ containers, file, repeated }: Defaults) => `node benchmarks/${file} [options]
  --runtime NAME     default crun
  --containers N     default ${containers}
  ${`--${repeated.option} N`.padEnd(18)} ${repeated.says}, default ${repeated.times}`

/** The words of the command line; every number is at least 1. */
export const parse = Effect.fnUntraced(function* (defaults: Defaults) {
  const { containers, repeated } = defaults
  const { values } = yield* attempt("options", () =>
    parseArgs({
      options: {
        runtime: { type: "string", default: "crun" },
        containers: { type: "string", default: `${containers}` },
        [repeated.option]: { type: "string", default: `${repeated.times}` }
      }
    })
  ).pipe(Effect.mapError(({ problem, what }) => new Failure({ what, problem: `${problem}\n${usage(defaults)}` })))
  const { runtime } = values
  return {
    runtime,
    containers: yield* count("containers", values.containers, 1),
    times: yield* count(repeated.option, values[repeated.option], 1)
  }
})
