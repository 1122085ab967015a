/** `berth exec`: one more process in a container that runs. */
import { Effect, Option } from "effect"
import { Command } from "effect/cli"
import type { ContainerId, ExecId } from "../../schema/Ids.ts"
import type { OciProcess } from "../../schema/OciSpec.ts"
import type { Stdio, TerminalSize } from "../../schema/Process.ts"
import { Containers } from "../../services/Containers.ts"
import { Tasks } from "../../services/Tasks.ts"
import { attach } from "../Attached.ts"
import { connected, wantsJson } from "../Globals.ts"
import { line, Output } from "../Output.ts"
import { asProcess, Exited } from "../output/Failure.ts"
import * as Json from "../output/Json.ts"
import * as Params from "../Params.ts"
import { execId, processFlags } from "../run/Flags.ts"
import type { ProcessFlags } from "../run/Flags.ts"
import { isLocal } from "../run/Launch.ts"
import type { DetachKeys } from "../terminal/DetachKeys.ts"
import { requireTty } from "../terminal/Session.ts"
import { Tty } from "../terminal/Tty.ts"

const processOf = (id: ContainerId, flags: ProcessFlags, words: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { spec } = yield* (yield* Containers).get(id)
    const { processOf } = yield* Effect.promise(() => import("../run/SpecInput.ts"))
    return yield* processOf("exec", spec, flags, words, yield* isLocal)
  })

interface Wanted {
  readonly id: ContainerId
  readonly execId: ExecId
  readonly process: OciProcess
  readonly stdin: boolean
  /** What its terminal begins with. */
  readonly size: TerminalSize | null
}

/** Registers the process; one that cannot be started is forgotten again. */
const withExec = <A, E, R>({ execId, id, process, size, stdin }: Wanted, use: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    const stdio: Stdio = { stdin, log: { _tag: "json" } }
    yield* tasks.exec({ id, execId, process, stdio, ...(size === null ? {} : { size }) })
    return yield* Effect.onError(use, () => Effect.ignore(tasks.deleteExec({ id, execId, force: false })))
  })

const detached = (wanted: Wanted) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    const { execId, id } = wanted
    const process = yield* withExec(wanted, tasks.startExec({ id, execId }))
    yield* (yield* wantsJson) ? (yield* Output).write(Json.document(Json.process(process))) : line(execId)
  })

const attached = (wanted: Wanted, keys: DetachKeys) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    const { execId, id, stdin } = wanted
    const start = tasks.startExec({ id, execId })
    const detachKeys = wanted.process.terminal === true ? keys : null
    const exit = yield* withExec(wanted, attach({ id, execId, start, stdin, output: true, forward: true, detachKeys }))
    if (exit !== null) yield* Effect.ignore(tasks.deleteExec({ id, execId }))
    return yield* new Exited({ code: exit?.exitStatus ?? 0 })
  })

export const exec = Command.make(
  "exec",
  {
    id: Params.id,
    ...processFlags,
    execId,
    detach: Params.toggle("detach", "Print its name and leave it running").pipe(Params.alias("d")),
    detachKeys: Params.detachKeys,
    command: Params.command(1)
  },
  ({ command, detach, detachKeys, execId, id, ...flags }) =>
    asProcess(
      connected(
        Effect.gen(function* () {
          if (flags.terminal && flags.interactive && !detach) yield* requireTty("exec", "--tty")
          const process = yield* processOf(id, flags, command)
          const name = Option.isSome(execId) ? execId.value : yield* Params.randomExecId
          const size = flags.terminal ? yield* (yield* Tty).size : null
          const wanted = { id, execId: name, process, stdin: flags.interactive, size }
          yield* detach ? detached(wanted) : attached(wanted, detachKeys)
        })
      )
    )
).pipe(
  Command.withDescription("Run a program in a container that runs already"),
  Command.withExamples([
    { command: "berth exec web ls -la /srv" },
    { command: "berth exec -it web sh", description: "In a terminal" },
    { command: "berth exec -d --id worker -e MODE=fast web worker", description: "In the background, under a name" },
    { command: "echo hello | berth exec -i web cat", description: "With input" }
  ])
)
