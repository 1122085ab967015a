/** `berth processes` and `berth pids`: what runs inside a container. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import { Tasks } from "../../services/Tasks.ts"
import { connected, wantsJson } from "../Globals.ts"
import { Output } from "../Output.ts"
import * as Json from "../output/Json.ts"
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

export const pids = Command.make("pids", { id: Params.id }, ({ id }) =>
  connected(
    Effect.gen(function* () {
      const found = yield* (yield* Tasks).pids(id)
      const text = (yield* wantsJson) ? Json.document(found) : found.map((pid) => `${pid}\n`).join("")
      yield* (yield* Output).write(text)
    })
  )
).pipe(
  Command.withDescription("Print every process id in a container, as the host counts them"),
  Command.withExamples([{ command: "berth pids web" }])
)
