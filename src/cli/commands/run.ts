/** `berth run`: a container from its creation to its removal, with the exit code of its process as the command's own. */
import { Effect, Option } from "effect"
import { Command } from "effect/cli"
import { Tasks } from "../../services/Tasks.ts"
import { attach } from "../Attached.ts"
import { connected, wantsJson } from "../Globals.ts"
import { line, Output } from "../Output.ts"
import { asProcess, Exited } from "../output/Failure.ts"
import * as Json from "../output/Json.ts"
import * as Params from "../Params.ts"
import { createFlags } from "../run/Flags.ts"
import { runAttached } from "../run/Attached.ts"
import { plan, type Plan, withCreated } from "../run/Launch.ts"
import type { DetachKeys } from "../terminal/DetachKeys.ts"
import { requireTty } from "../terminal/Session.ts"

const detached = (planned: Plan) =>
  Effect.gen(function* () {
    const task = yield* withCreated(planned, (id) => Effect.flatMap(Tasks, (tasks) => tasks.start(id)))
    yield* (yield* wantsJson) ? (yield* Output).write(Json.document(Json.task(task))) : line(task.id)
  })

/** Only what fails before the start undoes the container: afterwards it goes on, whatever becomes of this command, and removes itself. */
const attached = (planned: Plan, keys: DetachKeys) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    const { log, stdin } = planned.stdio
    const detachKeys = hasTerminal(planned) ? keys : null
    return yield* withCreated(planned, (id, keep) =>
      attach({
        id,
        execId: null,
        start: Effect.andThen(tasks.start(id), keep),
        stdin,
        output: log._tag === "json",
        forward: true,
        detachKeys
      })
    )
  })

const hasTerminal = ({ container }: Plan) => container.spec.process?.terminal === true

export const run = Command.make(
  "run",
  {
    ...createFlags,
    detach: Params.toggle("detach", "Print the id and leave it running").pipe(Params.alias("d")),
    detachKeys: Params.detachKeys,
    command: Params.command(0)
  },
  ({ command, detach, detachKeys, ...flags }) =>
    Effect.gen(function* () {
      const planned = yield* plan("run", flags, command, flags.rm || !detach)
      if (detach) return yield* asProcess(connected(detached(planned)))
      if (planned.stdio.stdin && hasTerminal(planned)) yield* requireTty("run", "--tty")
      const simple = !hasTerminal(planned) && Option.isNone(planned.pidFile)
      const exit = yield* asProcess(connected(simple ? runAttached(planned) : attached(planned, detachKeys)))
      return yield* new Exited({ code: exit?.exitStatus ?? 0 })
    })
).pipe(
  Command.withDescription("Run a program in a new container"),
  Command.withExamples([
    { command: "berth run --rootfs /srv/alpine echo hi" },
    {
      command: "berth run -d --id web --rootfs /srv/web --memory 64m httpd -f -p 8080",
      description: "In the background"
    },
    {
      command: "berth run -it --rootfs /srv/alpine sh",
      description: "In a terminal; ctrl-p, ctrl-q leaves it running"
    },
    { command: "tar c . | berth run -i --rootfs /srv/alpine tar t", description: "With input" }
  ])
)
