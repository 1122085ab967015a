/** `npm run chaos`: prints what was counted and found; its exit code is 1 where anything was. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { parseArgs } from "node:util"
import * as Chaos from "./Chaos.ts"

const usage = `npm run chaos -- [options]          as root
  --runtime NAME     default runc
  --seconds N        how long new containers are begun, default 60
  --containers N     at a time, default 20
  --every SECONDS    mean time from one kill to the next, default 2
  --seed TEXT        of what is drawn, default "berth"; timing is the machine's own
`

const { values } = parseArgs({
  options: {
    runtime: { type: "string", default: "runc" },
    seconds: { type: "string", default: "60" },
    containers: { type: "string", default: "20" },
    every: { type: "string", default: "2" },
    seed: { type: "string", default: "berth" },
    help: { type: "boolean", short: "h", default: false }
  }
})

const program = Effect.gen(function* () {
  if (values.help) return yield* Console.log(usage)
  const { counts, wrong } = yield* Chaos.seeded({
    runtime: values.runtime,
    duration: Number(values.seconds) * 1000,
    containers: Number(values.containers),
    between: Number(values.every) * 1000,
    seed: values.seed
  })
  const sources = Array.from(counts.sources, ([source, count]) => `${count} ${source}`).join(", ")
  yield* Console.log(
    `${values.runtime}: ${counts.containers} containers, ${counts.execs} execs, ${counts.pauses} pauses, ${counts.signals} killed`
  )
  yield* Console.log(`killed: the daemon ${counts.killsOfDaemon} times, the shim ${counts.killsOfShim} times`)
  yield* Console.log(`exits known by: ${sources}; ${counts.events} events`)
  yield* Console.log(
    `lines: ${counts.lines}, lost ${counts.linesLost}, doubled ${counts.linesDoubled}; ` +
      `${counts.truncated} exits say that output is truncated, by ${counts.linesTruncated} lines in all`
  )
  for (const what of wrong) yield* Console.log(`FOUND ${what}`)
  yield* Console.log(`found: ${wrong.length}`)
  if (wrong.length > 0) yield* Effect.sync(() => void (process.exitCode = 1))
})

NodeRuntime.runMain(program)
