/** What tasks use, asked of the host as it is now: nothing of it is kept, and no actor is disturbed for it. */
import { Effect } from "effect"
import { FailedPrecondition, NotFound } from "../schema/Errors.ts"
import type { ContainerId } from "../schema/Ids.ts"
import type { StatsRequest } from "../schema/Requests.ts"
import { taskStatus } from "../schema/TaskState.ts"
import { CurrentNamespace } from "../services/CurrentNamespace.ts"
import type { ProcessHost } from "../services/ProcessHost.ts"
import type { Actors } from "./Actors.ts"
import type { TaskActor } from "./TaskActor.ts"

export const makeTaskAccounts = (options: {
  readonly actors: Actors["Service"]
  readonly host: ProcessHost["Service"]
}) => {
  const { actors, host } = options

  const statusOf = (actor: TaskActor) => taskStatus(actor.read().task.state)

  /** Where to ask for a task that has not ended. */
  const living = Effect.fnUntraced(function* (id: ContainerId, operation: string) {
    const namespace = yield* CurrentNamespace
    const actor = actors.get(namespace, id)
    if (actor === undefined) return yield* new NotFound({ kind: "task", id })
    const found = statusOf(actor)
    if (found === "stopped" || found === "deleted") {
      return yield* new FailedPrecondition({ operation, found, allowed: ["created", "running", "paused"] })
    }
    return { namespace, containerId: id }
  })

  const stats = Effect.fn("Tasks.stats")(function* (id: ContainerId) {
    return yield* host.stats(yield* living(id, `take statistics of "${id}"`))
  })

  const listStats = Effect.fn("Tasks.listStats")(function* ({ ids }: StatsRequest) {
    const namespace = yield* CurrentNamespace
    const named = ids === undefined ? null : new Set(ids)
    const containerIds = actors
      .list(namespace)
      .map((actor) => actor.read().task)
      .filter(({ id, state }) => (named?.has(id) ?? true) && taskStatus(state) !== "stopped")
      .map(({ id }) => id)
    return containerIds.length === 0 ? [] : yield* host.statsOf({ namespace, containerIds })
  })

  const processTable = Effect.fn("Tasks.processTable")(function* (id: ContainerId) {
    return yield* host.processTable(yield* living(id, `list the processes of "${id}"`))
  })

  return { stats, listStats, processTable } as const
}
