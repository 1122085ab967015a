/**
 * Undoes what a host was making and could not bring to its end: a folder of which nothing is written down, and perhaps a container of the runtime's in it.
 * Nobody was ever told of these. A record that cannot be read is another matter: its process may be alive, so it is left as it is.
 */
import { Effect, Schedule } from "effect"
import type { ContainerRef } from "../schema/Host.ts"
import { containerKey } from "../schema/Ids.ts"
import { OciRuntime } from "../services/OciRuntime.ts"
import type { HostError } from "../services/ProcessHost.ts"
import { TaskDirectory } from "../services/TaskDirectory.ts"

/** When it is tried again after a runtime or a folder has refused. */
const again = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("1 minute")])

/** `alone` does it while nobody makes or deletes the container of that name, and fails where somebody makes it. */
export const makeHalfMade = Effect.fnUntraced(function* (
  alone: (ref: ContainerRef, work: Effect.Effect<void, HostError>) => Effect.Effect<unknown, HostError>
) {
  const runtime = yield* OciRuntime
  const directory = yield* TaskDirectory
  const scope = yield* Effect.scope

  /** Nothing that is half-made there is a success. By which runtime it was being made is not known; to delete what is not there is a success too. */
  const undo = Effect.fnUntraced(function* ({ containerId, namespace }: ContainerRef) {
    const key = containerKey({ namespace, containerId })
    const ref = { namespace, containerId, execId: null }
    const found = yield* directory.unrecorded
    if (!found.some((each) => each.execId === null && containerKey(each) === key)) return
    const target = { namespace, containerId, bundle: directory.directory(ref) }
    for (const { available, name } of yield* runtime.list) {
      if (available) yield* (yield* runtime.driver(name)).delete(target, { force: true })
    }
    yield* directory.remove(ref)
    yield* Effect.logInfo(`undone: ${key} was being made when that was cut off`)
  })

  /** Undoes it some time. */
  const undoLater = (ref: ContainerRef) =>
    alone(ref, undo(ref)).pipe(
      Effect.retry(again),
      Effect.ignore,
      Effect.delay("1 second"),
      Effect.forkIn(scope),
      Effect.asVoid
    )

  /** All that earlier hosts have left, before anything is made. */
  const undoAll = Effect.gen(function* () {
    for (const ref of yield* directory.unrecorded) {
      const exec = ref.execId !== null
      yield* Effect.catch(exec ? directory.remove(ref) : undo(ref), (error) =>
        Effect.andThen(
          Effect.logWarning(`not undone: ${containerKey(ref)}: ${error.message}`),
          exec ? Effect.void : undoLater(ref)
        )
      )
    }
  })

  return { undo, undoLater, undoAll }
})
