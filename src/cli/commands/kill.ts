/** Commands that send signals: `kill`, and `stop`, which waits for the end. */
import { Duration, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { Tasks } from "../../services/Tasks.ts"
import { each } from "../Each.ts"
import { connected, wantsJson } from "../Globals.ts"
import { line, Output } from "../Output.ts"
import * as Json from "../output/Json.ts"
import * as Params from "../Params.ts"

const sigterm = 15

export const kill = Command.make(
  "kill",
  {
    ids: Params.ids,
    signal: Params.signal("signal").pipe(
      Flag.withAlias("s"),
      Flag.withDefault(sigterm),
      Flag.withDescription("By name or number, default TERM")
    ),
    all: Params.toggle("all", "Every process of the container, not only its first"),
    exec: Params.exec,
    pid: Flag.Int("pid").pipe(
      Flag.withMetavar("<PID>"),
      Flag.withDescription("Any process of the container, by the pid that it has on the host"),
      Flag.optional
    )
  },
  ({ all, exec, ids, pid, signal }) =>
    connected(
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const json = yield* wantsJson
        yield* each(ids, (id) =>
          Effect.gen(function* () {
            const by = Option.isSome(pid) ? { pid: pid.value } : {}
            yield* tasks.signal({ id, execId: Option.getOrNull(exec), signal, all, ...by })
            yield* json ? (yield* Output).write(Json.document({ id, signal })) : line(id)
          })
        )
      })
    )
).pipe(
  Command.withDescription("Send a signal"),
  Command.withExamples([
    { command: "berth kill web" },
    { command: "berth kill -s 9 --all web", description: "SIGKILL to every process of the container" },
    { command: "berth kill -s HUP --exec worker web", description: "To a process that exec added" },
    { command: "berth kill -s USR1 --pid 4711 web", description: "To any process that runs in the container" }
  ])
)

export const stop = Command.make(
  "stop",
  {
    ids: Params.ids,
    timeout: Params.duration("timeout").pipe(
      Flag.withAlias("t"),
      Flag.withDescription("How long it may take before SIGKILL; default what the container asks for, or 10s"),
      Flag.optional
    ),
    signal: Params.signal("signal").pipe(
      Flag.withAlias("s"),
      Flag.withDescription("What to send first; default what the container asks for, or TERM"),
      Flag.optional
    )
  },
  ({ ids, signal, timeout }) =>
    connected(
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const json = yield* wantsJson
        yield* each(ids, (id) =>
          Effect.gen(function* () {
            const result = yield* tasks.stop({
              id,
              ...Option.match(signal, { onNone: () => ({}), onSome: (signal) => ({ signal }) }),
              ...Option.match(timeout, {
                onNone: () => ({}),
                onSome: (timeout) => ({ timeoutMillis: Duration.toMillis(timeout) })
              })
            })
            yield* json ? (yield* Output).write(Json.document({ id, ...Json.stopResult(result) })) : line(id)
          })
        )
      })
    )
).pipe(
  Command.withDescription("Ask a container to end, and end it when its time is up"),
  Command.withExamples([
    { command: "berth stop web" },
    { command: "berth stop -t 30s -s QUIT web", description: "Half a minute to finish" }
  ])
)
