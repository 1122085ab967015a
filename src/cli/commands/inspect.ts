/** `berth inspect`: everything about one container. */
import { Effect } from "effect"
import type { Schema } from "effect"
import { Command } from "effect/cli"
import type { BerthError, NotFound } from "../../schema/Errors.ts"
import type { DriverInfo } from "../../schema/Runtime.ts"
import { Containers } from "../../services/Containers.ts"
import { System } from "../../services/System.ts"
import { Tasks } from "../../services/Tasks.ts"
import { connected, wantsJson } from "../Globals.ts"
import { Output } from "../Output.ts"
import * as Json from "../output/Json.ts"
import * as Params from "../Params.ts"

/** What is there, or something else where it is not. */
const orElse = <A, B, R>(effect: Effect.Effect<A, BerthError, R>, absent: B) =>
  Effect.catchIf(
    effect,
    (error): error is NotFound => error._tag === "NotFound",
    () => Effect.succeed(absent)
  )

/** Whether the runtime makes containers and not mere processes; `null` where it does not work, and so does not say. */
const isIsolated = (drivers: ReadonlyArray<DriverInfo>, name: string): boolean | null => {
  const found = drivers.find((driver) => driver.name === name)
  return found === undefined || found.capabilities.length === 0 ? null : found.capabilities.includes("isolation")
}

export const inspect = Command.make("inspect", { id: Params.id }, ({ id }) =>
  connected(
    Effect.gen(function* () {
      const containers = yield* Containers
      const tasks = yield* Tasks
      const [container, task, processes, drivers] = yield* Effect.all(
        [containers.get(id), orElse(tasks.get(id), null), orElse(tasks.processes(id), []), (yield* System).runtimes],
        { concurrency: "unbounded" }
      )
      const value: Schema.Json = {
        container: Json.container(container),
        isolated: isIsolated(drivers, container.runtime.name),
        task: task === null ? null : Json.task(task),
        processes: processes.map((process) => Json.process(process))
      }
      const output = yield* Output
      yield* output.write((yield* wantsJson) ? Json.document(value) : Json.pretty(value))
    })
  )
).pipe(
  Command.withDescription("Show a container, its task and the processes that exec added, as JSON"),
  Command.withExamples([
    { command: "berth inspect web" },
    { command: "berth inspect web --json | jq .task.status", description: "One field" }
  ])
)
