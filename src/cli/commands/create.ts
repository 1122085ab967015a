/** `berth create`, `berth start` and `berth spec`: the halves of `run`, and what it would run. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { Tasks } from "../../services/Tasks.ts"
import { attach } from "../Attached.ts"
import { connected, wantsJson } from "../Globals.ts"
import { line, Output } from "../Output.ts"
import { asProcess, Exited } from "../output/Failure.ts"
import * as Json from "../output/Json.ts"
import * as Params from "../Params.ts"
import { createFlags } from "../run/Flags.ts"
import { plan, specOf, withCreated } from "../run/Launch.ts"
import { requireTty } from "../terminal/Session.ts"

export const create = Command.make("create", { ...createFlags, command: Params.command(0) }, ({ command, ...flags }) =>
  Effect.gen(function* () {
    const planned = yield* plan("create", flags, command, flags.rm)
    yield* connected(
      withCreated(planned, (id) =>
        Effect.gen(function* () {
          if (!(yield* wantsJson)) return yield* line(id)
          const task = yield* (yield* Tasks).get(id)
          yield* (yield* Output).write(Json.document(Json.task(task)))
        })
      )
    )
  })
).pipe(
  Command.withDescription("Make a container up to the point where its process waits to be started"),
  Command.withExamples([
    { command: "berth create --id web --rootfs /srv/web httpd -f" },
    { command: "berth create --bundle ./bundle", description: "From an OCI bundle" }
  ])
)

export const start = Command.make(
  "start",
  {
    id: Params.id,
    attach: Params.toggle("attach", "Print its output and end with its exit code").pipe(Params.alias("a")),
    interactive: Params.toggle("interactive", "Copy standard input, where the container was made with -i").pipe(
      Params.alias("i")
    ),
    detachKeys: Params.detachKeys
  },
  ({ attach: attached, detachKeys, id, interactive }) =>
    connected(
      Effect.gen(function* () {
        const tasks = yield* Tasks
        if (!attached) {
          const task = yield* tasks.start(id)
          return yield* (yield* wantsJson) ? (yield* Output).write(Json.document(Json.task(task))) : line(id)
        }
        const start = tasks.start(id)
        const exit = yield* asProcess(
          Effect.gen(function* () {
            const { terminal } = yield* tasks.get(id)
            if (terminal && interactive) yield* requireTty("start", "--interactive")
            const keys = terminal ? detachKeys : null
            const rest = { stdin: interactive, output: true, forward: true, detachKeys: keys }
            return yield* attach({ id, execId: null, start, ...rest })
          })
        )
        return yield* new Exited({ code: exit?.exitStatus ?? 0 })
      })
    )
).pipe(
  Command.withDescription("Start a container that create made"),
  Command.withExamples([{ command: "berth start web" }, { command: "berth start -a web" }])
)

export const spec = Command.make("spec", { ...createFlags, command: Params.command(0) }, ({ command, ...flags }) =>
  Effect.gen(function* () {
    const value = Json.spec(yield* specOf("spec", flags, command))
    yield* (yield* Output).write((yield* wantsJson) ? Json.document(value) : Json.pretty(value))
  })
).pipe(
  Command.withDescription("Print the OCI specification that run would use"),
  Command.withExamples([
    { command: "berth spec --rootfs /srv/web --memory 64m httpd -f" },
    { command: "berth spec sh > config.json", description: "Beginning of a bundle" }
  ])
)
