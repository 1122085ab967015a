/** What the smaller benchmarks may be told: a runtime, how much of something there is, and how often to do what they measure. */
import { Effect } from "effect"
import { parseArgs } from "node:util"
import { Failure, attempt } from "./Failure.ts"
import { count } from "./Options.ts"

/** A number that is at least 1. */
export interface Count {
  readonly option: string
  /** Where the option's name does not say it all. */
  readonly says?: string
  readonly usually: number
}

export interface Defaults {
  /** Of the benchmark. */
  readonly file: string
  readonly size: Count
  readonly times: Count
}

const line = ({ option, says, usually }: Count) =>
  `  ${`--${option} N`.padEnd(18)} ${says === undefined ? "" : `${says}, `}default ${usually}`

const usage = ({ file, size, times }: Defaults) => `node benchmarks/${file} [options]
  --runtime NAME     default crun
${line(size)}
${line(times)}`

/** The words of the command line. */
export const parse = Effect.fnUntraced(function* (defaults: Defaults) {
  const { size, times } = defaults
  const { values } = yield* attempt("options", () =>
    parseArgs({
      options: {
        runtime: { type: "string", default: "crun" },
        [size.option]: { type: "string", default: `${size.usually}` },
        [times.option]: { type: "string", default: `${times.usually}` }
      }
    })
  ).pipe(Effect.mapError(({ problem, what }) => new Failure({ what, problem: `${problem}\n${usage(defaults)}` })))
  const { runtime } = values
  return {
    runtime,
    size: yield* count(size.option, values[size.option], 1),
    times: yield* count(times.option, values[times.option], 1)
  }
})
