/** `berth attach`: the input and output of a process that runs already. Ending the command leaves the process alone. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import type { ContainerId, ExecId } from "../../schema/Ids.ts"
import { NotFound } from "../../schema/Errors.ts"
import { Tasks } from "../../services/Tasks.ts"
import { attach as toProcess } from "../Attached.ts"
import { connected } from "../Globals.ts"
import * as Params from "../Params.ts"
import { requireTty } from "../terminal/Session.ts"

const find = (id: ContainerId, execId: ExecId | null) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    if (execId === null) return yield* tasks.get(id)
    const found = (yield* tasks.processes(id)).find((one) => one.id === execId)
    return found ?? (yield* new NotFound({ kind: "exec", id: execId }))
  })

export const attach = Command.make(
  "attach",
  {
    id: Params.id,
    stdin: Flag.Boolean("stdin").pipe(
      Flag.withDefault(true),
      Flag.withDescription("Copy standard input to the process where it has one, the default; --no-stdin only watches")
    ),
    closeStdin: Params.toggle("close-stdin", "At the end of standard input end that of the process too"),
    signals: Params.toggle("signals", "Pass signals such as Ctrl-C on to a process without a terminal"),
    exec: Params.exec,
    detachKeys: Params.detachKeys
  },
  ({ closeStdin, detachKeys, exec, id, signals, stdin }) =>
    connected(
      Effect.gen(function* () {
        const execId = Option.getOrNull(exec)
        const process = yield* find(id, execId)
        const rest = { id, execId, start: null, output: true, closeStdin, forward: signals }
        // Of one that has ended there is only its output to see.
        if (process.terminal && process.exitStatus === null) {
          if (stdin) yield* requireTty("attach", "without --no-stdin")
          return yield* toProcess({ ...rest, stdin, detachKeys })
        }
        return yield* toProcess({ ...rest, stdin: stdin && process.stdin !== null, detachKeys: null })
      }).pipe(Effect.asVoid)
    )
).pipe(
  Command.withDescription(
    "Watch a process from its first output on, a terminal from now on, and type into it; Ctrl-C leaves it running"
  ),
  Command.withExamples([
    { command: "berth attach web" },
    { command: "berth attach --no-stdin web" },
    { command: "berth attach --close-stdin web < data", description: "Input to its end, then its end" },
    { command: "berth attach --signals web", description: "Ctrl-C interrupts the process" },
    {
      command: "berth attach --exec worker --detach-keys ctrl-] web",
      description: "Other keys leave a terminal running"
    }
  ])
)
