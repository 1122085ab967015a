/** Commands that steer a task: `pause`, `resume`, `wait`, `delete`. */
import { Duration, Effect, Option, Schedule } from "effect"
import { Command, Flag } from "effect/cli"
import type { BerthError, NotFound } from "../../schema/Errors.ts"
import type { ContainerId } from "../../schema/Ids.ts"
import { Containers } from "../../services/Containers.ts"
import { Tasks } from "../../services/Tasks.ts"
import { each } from "../Each.ts"
import { connected, wantsJson } from "../Globals.ts"
import { line, Output } from "../Output.ts"
import * as Json from "../output/Json.ts"
import * as Params from "../Params.ts"

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
          ...Option.match(timeout, {
            onNone: () => ({}),
            onSome: (timeout) => ({ timeoutMillis: Duration.toMillis(timeout) })
          })
        })
        yield* (yield* wantsJson) ? (yield* Output).write(Json.document(Json.exit(exit))) : line(`${exit.exitStatus}`)
      })
    )
).pipe(
  Command.withDescription("Wait until a process has ended and print its exit status"),
  Command.withExamples([{ command: "berth wait web" }, { command: "berth wait --timeout 30s web" }])
)

const absent = (error: BerthError): error is NotFound => error._tag === "NotFound"

/** Another deletion of the same task is under way: that of a run whose container this is, or of one that removes itself. */
const meanwhile = (error: BerthError) => error._tag === "FailedPrecondition" && error.found === "being deleted"

/** Task and container; either may be missing, but not both. What removes itself, or is removed by others meanwhile, is removed. */
const remove = Effect.fnUntraced(function* (id: ContainerId) {
  const tasks = yield* Tasks
  const containers = yield* Containers
  const existed = yield* Effect.isSuccess(containers.get(id))
  const deletion = Effect.retry(tasks.delete({ id }), {
    while: meanwhile,
    schedule: Schedule.spaced("20 millis"),
    times: 50
  })
  const exit = yield* Effect.catchIf(Effect.asSome(deletion), absent, () => Effect.succeedNone)
  const rest = containers.delete(id)
  yield* existed || Option.isSome(exit) ? Effect.catchIf(rest, absent, () => Effect.void) : rest
  return Option.getOrNull(exit)
})

/** The same with what runs; what is not there is fine, as it is to `rm -f`. */
const clean = Effect.fnUntraced(function* (id: ContainerId) {
  const exit = yield* (yield* Tasks).clean(id)
  yield* Effect.catchIf((yield* Containers).delete(id), absent, () => Effect.void)
  return exit
})

export const del = Command.make(
  "delete",
  {
    ids: Params.ids,
    force: Params.toggle("force", "Kill what runs, and be content where there is nothing").pipe(Params.alias("f"))
  },
  ({ force, ids }) =>
    connected(
      Effect.gen(function* () {
        const json = yield* wantsJson
        yield* each(ids, (id) =>
          Effect.gen(function* () {
            const exit = yield* force ? clean(id) : remove(id)
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
