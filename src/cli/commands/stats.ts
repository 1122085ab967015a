/** `berth stats` and `berth top`: what containers use, and the processes in one, as it changes. Rates come from two samples. */
import { Clock, Duration, Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { BerthError } from "../../schema/Errors.ts"
import type { ContainerId } from "../../schema/Ids.ts"
import { Tasks } from "../../services/Tasks.ts"
import { connected, wantsJson } from "../Globals.ts"
import { Output } from "../Output.ts"
import { Exited, exitCode, report } from "../output/Failure.ts"
import * as Json from "../output/Json.ts"
import * as Samples from "../output/Samples.ts"
import * as Screen from "../output/Screen.ts"
import * as Params from "../Params.ts"

const stream = Flag.Boolean("stream").pipe(
  Flag.withDefault(true),
  Flag.withDescription("Go on until interrupted, the default; --no-stream prints once")
)

const shortest = Duration.millis(100)
const interval = Params.duration("interval").pipe(
  Flag.withDefault(Duration.seconds(1)),
  Flag.map((given) => Duration.max(given, shortest)),
  Flag.withDescription("Time between two samples; default 1s, at least 100ms")
)

/** Tells why there is no sample of those; fails with the only one that was asked for. */
const explain = Effect.fnUntraced(function* (missing: ReadonlyArray<ContainerId>, alone: boolean) {
  const tasks = yield* Tasks
  const output = yield* Output
  const json = yield* wantsJson
  let code = 0
  for (const id of missing) {
    const sample = Effect.asVoid(tasks.stats(id))
    if (alone) yield* sample
    const why = (error: BerthError) => {
      code ||= exitCode(error)
      return output.writeError(report(error, json, id))
    }
    yield* Effect.catch(sample, why)
  }
  return code
})

export const stats = Command.make(
  "stats",
  { ids: Params.id.pipe(Argument.atLeast(0)), stream, interval },
  ({ ids, interval, stream }) =>
    connected(
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const output = yield* Output
        const json = yield* wantsJson
        const named = ids.length > 0
        const sample = tasks.listStats(named ? { ids } : {})
        const show = yield* Screen.make
        let before = yield* sample
        const found = new Set(before.map(({ containerId }) => containerId))
        const missing = Array.from(new Set(ids)).filter((id) => !found.has(id))
        const code = yield* explain(missing, ids.length === 1)
        const documents = () => output.write(before.map((one) => Json.document(Json.stats(one))).join(""))
        if (json) yield* documents()
        else if (stream) yield* show(Samples.statsTable(before, []))
        // One sample tells everything but a rate.
        let again = (stream || !json) && (before.length > 0 || !named)
        while (again) {
          yield* Effect.sleep(interval)
          const now = yield* sample
          const table = Samples.statsTable(now, before)
          before = now
          again = stream && (now.length > 0 || !named)
          if (json) yield* documents()
          else if (now.length > 0 || !named || !stream) yield* show(table)
        }
        if (code !== 0) return yield* new Exited({ code })
      })
    )
).pipe(
  Command.withDescription("Show what containers use: processor, memory, processes, network, block devices"),
  Command.withExamples([
    { command: "berth stats" },
    { command: "berth stats --no-stream web db", description: "Two containers, once" },
    { command: "berth stats --json --no-stream | jq .memory.usage", description: "Bytes, for scripts" }
  ])
)

export const top = Command.make("top", { id: Params.id, stream, interval }, ({ id, interval, stream }) =>
  connected(
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const output = yield* Output
      const json = yield* wantsJson
      const show = yield* Screen.make
      const sample = Effect.gen(function* () {
        const processes = yield* tasks.processTable(id)
        return { processes, at: yield* Clock.monotonicTimeNanos }
      })
      const goesOn = stream && (output.isTerminal || json)
      let before = yield* sample
      const documents = () => output.write(Json.document(before.processes.map((one) => Json.processInfo(one))))
      if (json) yield* documents()
      else if (goesOn) yield* show(Samples.topTable(before, null))
      let again = goesOn || !json
      while (again) {
        yield* Effect.sleep(interval)
        const now = yield* Effect.catchTag(sample, ["FailedPrecondition", "NotFound"], () => Effect.succeed(null))
        if (now === null) {
          if (!goesOn) yield* show(Samples.topTable(before, null))
          return
        }
        const table = Samples.topTable(now, before)
        before = now
        again = goesOn
        yield* json ? documents() : show(table)
      }
    })
  )
).pipe(
  Command.withDescription("Show the processes in a container with what each uses, live in a terminal, else once"),
  Command.withExamples([{ command: "berth top web" }])
)
