/** `berth processes` and `berth pids`: what runs inside a container. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import { Tasks } from "../../services/Tasks.ts"
import { connected, wantsJson } from "../Globals.ts"
import { Output } from "../Output.ts"
import * as Json from "../output/Json.ts"
import { commandOf } from "../output/Samples.ts"
import { render, shorten } from "../output/Table.ts"
import { ago } from "../output/Time.ts"
import * as Params from "../Params.ts"
import { statusCell } from "./ps.ts"

export const processes = Command.make("processes", { id: Params.id }, ({ id }) =>
  connected(
    Effect.gen(function* () {
      const found = yield* (yield* Tasks).processes(id)
      const output = yield* Output
      if (yield* wantsJson) return yield* output.write(Json.document(found.map((process) => Json.process(process))))
      const now = yield* DateTime.now
      const rows = found.map((process) => [
        process.id,
        statusCell(process.status, process.exitStatus),
        process.status === "running" && process.pid !== null ? `${process.pid}` : "-",
        ago(process.createdAt, now),
        shorten((process.spec.args ?? []).join(" "), 60)
      ])
      yield* output.write(render(["EXEC", "STATUS", "PID", "CREATED", "COMMAND"], rows, output.colors))
    })
  )
).pipe(
  Command.withDescription("List the processes that exec added to a container"),
  Command.withExamples([{ command: "berth processes web" }])
)

const quiet = Params.toggle("quiet", "Process ids alone, one a line").pipe(Params.alias("q"))

export const pids = Command.make("pids", { id: Params.id, quiet }, ({ id, quiet }) =>
  connected(
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const output = yield* Output
      const json = yield* wantsJson
      if (quiet || json) {
        const found = yield* tasks.pids(id)
        return yield* output.write(json ? Json.document(found) : found.map((pid) => `${pid}\n`).join(""))
      }
      const found = yield* tasks.processTable(id)
      const now = yield* DateTime.now
      const rows = found.map((process) => [
        `${process.pid}`,
        `${process.user}`,
        process.execId ?? "-",
        ago(process.startedAt, now),
        shorten(commandOf(process), 80)
      ])
      yield* output.write(render(["PID", "USER", "EXEC", "STARTED", "COMMAND"], rows, output.colors))
    })
  )
).pipe(
  Command.withDescription("List every process in a container, its id as the host counts it; with --json the ids alone"),
  Command.withExamples([
    { command: "berth pids web" },
    { command: "berth pids -q web | head -1", description: "The first process" }
  ])
)
