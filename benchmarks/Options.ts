/** What the benchmark may be told. */
import { Effect } from "effect"
import { parseArgs } from "node:util"
import { Failure, attempt } from "./Failure.ts"
import type { TargetName } from "./Protocol.ts"
import { targetNames } from "./Protocol.ts"

export interface Options {
  readonly runtimes: ReadonlyArray<string>
  readonly targets: ReadonlyArray<TargetName>
  /** Lifecycles one at a time, for each target and runtime. */
  readonly n: number
  readonly concurrency: number
  /** Idle containers whose cost in memory is measured; none where 0. */
  readonly idle: number
  /** Where the JSON goes. */
  readonly json: string | null
}

export const usage = `npm run bench -- [options]
  --runtimes LIST    default runc,crun
  --targets LIST     of ${targetNames.join(",")}; default all
  --n N              lifecycles one at a time, default 50
  --concurrency N    lifecycles at once in the second part, default 8; 0 leaves it out
  --idle N           idle containers to measure the memory of, default 20; 0 leaves it out
  --json FILE        default benchmarks/results/DATE.json
`

const list = (text: string) => text.split(",").filter((word) => word !== "")

/** A number of at least `least`. */
export const count = (option: string, text: string, least: number) =>
  /^\d{1,6}$/.test(text) && Number(text) >= least
    ? Effect.succeed(Number(text))
    : Effect.fail(new Failure({ what: `--${option}`, problem: `expected a number from ${least}, got "${text}"` }))

const target = (name: string) => {
  const found = targetNames.find((known) => known === name)
  return found === undefined
    ? Effect.fail(new Failure({ what: "--targets", problem: `"${name}" is none of ${targetNames.join(", ")}` }))
    : Effect.succeed(found)
}

/** `null` where help is asked for. */
export const parse = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
  const { values } = yield* attempt("options", () =>
    parseArgs({
      args: [...args],
      options: {
        runtimes: { type: "string", default: "runc,crun" },
        targets: { type: "string", default: targetNames.join(",") },
        n: { type: "string", default: "50" },
        concurrency: { type: "string", default: "8" },
        idle: { type: "string", default: "20" },
        json: { type: "string" },
        help: { type: "boolean", short: "h", default: false }
      }
    })
  )
  if (values.help) return null
  const options: Options = {
    runtimes: list(values.runtimes),
    targets: yield* Effect.forEach(list(values.targets), target),
    n: yield* count("n", values.n, 1),
    concurrency: yield* count("concurrency", values.concurrency, 0),
    idle: yield* count("idle", values.idle, 0),
    json: values.json ?? null
  }
  return options
})
