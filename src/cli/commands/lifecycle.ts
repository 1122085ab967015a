/** Commands that steer a task: `kill`, `stop`, `pause`, `resume`, `wait`, `delete`. */
import { Duration, Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import type { BerthError, NotFound } from "../../schema/Errors.ts"
import { Unsupported } from "../../schema/Errors.ts"
import type { ContainerId } from "../../schema/Ids.ts"
import type { Exit } from "../../schema/Process.ts"
import { DurationText, Signal } from "../../schema/Units.ts"
import { Containers } from "../../services/Containers.ts"
import { Tasks } from "../../services/Tasks.ts"
import { each } from "../Each.ts"
import { connected, wantsJson } from "../Globals.ts"
import { line, Output } from "../Output.ts"
import * as Json from "../output/Json.ts"
import * as Params from "../Params.ts"
import { stopLabels } from "../run/StopLabels.ts"

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
    pid: Params.text("pid", "<PID>", "Any process of the container")
  },
  ({ all, exec, ids, pid, signal }) =>
    connected(
      Effect.gen(function* () {
        if (Option.isSome(pid)) return yield* new Unsupported({ driver: "berth", capability: "kill --pid" })
        const tasks = yield* Tasks
        const json = yield* wantsJson
        yield* each(ids, (id) =>
          Effect.gen(function* () {
            yield* tasks.signal({ id, execId: Option.getOrNull(exec), signal, all })
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
    { command: "berth kill -s HUP --exec worker web", description: "To a process that exec added" }
  ])
)

/** What the container itself asks for; labels that make no sense ask for nothing. */
const stopWishes = (id: ContainerId) =>
  Effect.gen(function* () {
    const { labels } = yield* (yield* Containers).get(id)
    return {
      signal: Schema.decodeOption(Signal)(labels[stopLabels.signal]),
      timeout: Schema.decodeOption(DurationText)(labels[stopLabels.timeout])
    }
  })

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
            const wishes = yield* stopWishes(id)
            const result = yield* tasks.stop({
              id,
              ...Option.match(Option.orElse(signal, () => wishes.signal), { onNone: () => ({}), onSome: (signal) => ({ signal }) }),
              ...Option.match(Option.orElse(timeout, () => wishes.timeout), {
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

const pauseOrResume = (name: "pause" | "resume", description: string) =>
  Command.make(name, { ids: Params.ids }, ({ ids }) =>
    connected(
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const json = yield* wantsJson
        yield* each(ids, (id) =>
          Effect.gen(function* () {
            const task = yield* tasks[name](id)
            yield* json ? (yield* Output).write(Json.document(Json.task(task))) : line(id)
          })
        )
      })
    )
  ).pipe(Command.withDescription(description), Command.withExamples([{ command: `berth ${name} web` }]))

export const pause = pauseOrResume("pause", "Freeze every process of a container")
export const resume = pauseOrResume("resume", "Let a paused container go on")

export const wait = Command.make(
  "wait",
  {
    id: Params.id,
    timeout: Params.duration("timeout").pipe(
      Flag.withDescription("Give up after this time, with exit code 124; default never"),
      Flag.optional
    ),
    exec: Params.exec
  },
  ({ exec, id, timeout }) =>
    connected(
      Effect.gen(function* () {
        const exit = yield* (yield* Tasks).wait({
          id,
          execId: Option.getOrNull(exec),
          ...Option.match(timeout, { onNone: () => ({}), onSome: (timeout) => ({ timeoutMillis: Duration.toMillis(timeout) }) })
        })
        yield* (yield* wantsJson) ? (yield* Output).write(Json.document(Json.exit(exit))) : line(`${exit.exitStatus}`)
      })
    )
).pipe(
  Command.withDescription("Wait until a process has ended and print its exit status"),
  Command.withExamples([{ command: "berth wait web" }, { command: "berth wait --timeout 30s web" }])
)

const absent = (error: BerthError): error is NotFound => error._tag === "NotFound"

/** Task and container; either may be missing, but not both. A task that removes itself may take its container along meanwhile. */
const remove = (id: ContainerId, force: boolean) =>
  Effect.gen(function* () {
    const tasks = yield* Tasks
    const containers = yield* Containers
    const exit = yield* Effect.catchIf(
      Effect.map(tasks.delete({ id, force }), Option.some<Exit | null>),
      absent,
      () => Effect.succeedNone
    )
    const rest = containers.delete(id)
    yield* Option.isSome(exit) ? Effect.catchIf(rest, absent, () => Effect.void) : rest
    return Option.getOrNull(exit)
  })

export const del = Command.make(
  "delete",
  {
    ids: Params.ids,
    force: Params.toggle("force", "Kill what runs").pipe(Params.alias("f"))
  },
  ({ force, ids }) =>
    connected(
      Effect.gen(function* () {
        const json = yield* wantsJson
        yield* each(ids, (id) =>
          Effect.gen(function* () {
            const exit = yield* remove(id, force)
            yield* json
              ? (yield* Output).write(Json.document({ id, exit: exit === null ? null : Json.exit(exit) }))
              : line(id)
          })
        )
      })
    )
).pipe(
  Command.withAlias("rm"),
  Command.withDescription("Delete containers with their tasks"),
  Command.withExamples([
    { command: "berth delete web" },
    { command: "berth rm -f web db", description: "Kill them first" }
  ])
)
