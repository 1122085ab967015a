/** `Tasks.clean`: a deletion that may be asked for as often as one likes, whatever the task is at, and by many at once. */
import { Effect, Option } from "effect"
import type { ContainerId } from "../schema/Ids.ts"
import type { TaskState } from "../schema/TaskState.ts"
import { CurrentNamespace } from "../services/CurrentNamespace.ts"
import type { Tasks } from "../services/Tasks.ts"
import type { Actors } from "./Actors.ts"

/** How long the deletion of somebody else is waited for before the task is looked at again. */
const patience = "1 second"

const hasFailed = (state: TaskState) => state._tag === "Deleting" && state.failedRemovals !== undefined

export const make = (actors: Actors["Service"], remove: Tasks["Service"]["delete"]): Tasks["Service"]["clean"] =>
  Effect.fn("Tasks.clean")(function* (id: ContainerId) {
    const namespace = yield* CurrentNamespace
    const actor = actors.get(namespace, id)
    if (actor === undefined) return null
    // Not the next task of that id, which may be there by now.
    while (actors.get(namespace, id) === actor) {
      if (actor.read().task.state._tag === "Deleting") {
        const over = yield* Effect.timeoutOption(
          actor.until(({ task }) => task.state._tag !== "Deleting"),
          patience
        )
        // One that was half-made stays like this between its removals; whoever asks learns why it cannot be removed.
        if (Option.isSome(over) || !hasFailed(actor.read().task.state)) continue
      }
      const removed = yield* Effect.result(remove({ id, force: true }))
      if (removed._tag === "Success") return removed.success
      // Somebody else's deletion came first.
      const overtaken = removed.failure._tag === "FailedPrecondition" || removed.failure._tag === "NotFound"
      if (!overtaken) return yield* removed.failure
    }
    const { state } = actor.read().task
    return state._tag === "Deleted" ? state.exit : null
  })
