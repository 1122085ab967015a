/** `berth resize`: the size of a terminal, for who does not sit at it. */
import { Effect, Option } from "effect"
import { Argument, Command } from "effect/cli"
import { TerminalSize } from "../../schema/Process.ts"
import { Tasks } from "../../services/Tasks.ts"
import { connected, wantsJson } from "../Globals.ts"
import { line, Output } from "../Output.ts"
import * as Json from "../output/Json.ts"
import * as Params from "../Params.ts"

const characters = (name: "width" | "height") =>
  Argument.Int(name).pipe(
    Argument.withSchema(TerminalSize.fields[name]),
    Argument.withDescription(name === "width" ? "In columns" : "In lines")
  )

export const resize = Command.make(
  "resize",
  { id: Params.id, width: characters("width"), height: characters("height"), exec: Params.exec },
  ({ exec, height, id, width }) =>
    connected(
      Effect.gen(function* () {
        yield* (yield* Tasks).resize({ id, execId: Option.getOrNull(exec), width, height })
        yield* (yield* wantsJson) ? (yield* Output).write(Json.document({ id, width, height })) : line(id)
      })
    )
).pipe(
  Command.withDescription("Size the terminal of a process, also before it is started"),
  Command.withExamples([
    { command: "berth resize web 120 40" },
    { command: "berth resize --exec worker web 80 24", description: "Of a process that exec added" }
  ])
)
