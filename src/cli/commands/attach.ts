/** `berth attach`: the input and output of a process that runs already. Ending the command leaves the process alone. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { Tasks } from "../../services/Tasks.ts"
import { attach as toProcess } from "../Attached.ts"
import { connected } from "../Globals.ts"
import * as Params from "../Params.ts"

export const attach = Command.make(
  "attach",
  {
    id: Params.id,
    stdin: Flag.Boolean("stdin").pipe(
      Flag.withDefault(true),
      Flag.withDescription(
        "Copy standard input to the process where it reads any, the default; --no-stdin only watches"
      )
    ),
    exec: Params.exec
  },
  ({ exec, id, stdin }) =>
    connected(
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const execId = Option.getOrNull(exec)
        const process =
          execId === null ? yield* tasks.get(id) : (yield* tasks.processes(id)).find((one) => one.id === execId)
        yield* toProcess({
          id,
          execId,
          start: null,
          stdin: stdin && process?.stdin !== null && process?.stdin !== undefined,
          output: true,
          forward: false
        })
      })
    )
).pipe(
  Command.withDescription("Watch a process from its first output on, and type into it; Ctrl-C leaves it running"),
  Command.withExamples([{ command: "berth attach web" }, { command: "berth attach --no-stdin web" }])
)
