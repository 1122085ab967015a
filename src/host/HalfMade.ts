/**
 * Undoes what an earlier host was making when it died: a folder of which it had written down nothing yet, and perhaps a container of the runtime's in it.
 * Nobody was ever told of these. A record that cannot be read is another matter: its process may be alive, so it is left as it is.
 */
import { Effect } from "effect"
import type { ProcessRef } from "../schema/Ids.ts"
import { processKey } from "../schema/Ids.ts"
import { OciRuntime } from "../services/OciRuntime.ts"
import { TaskDirectory } from "../services/TaskDirectory.ts"

/** To be called before anything is made. What cannot be undone now is logged, and undone when its identifier is used again. */
export const undoAll = Effect.gen(function* () {
  const runtime = yield* OciRuntime
  const directory = yield* TaskDirectory
  const found = yield* directory.unrecorded
  if (found.length === 0) return
  const names = (yield* runtime.list).filter(({ available }) => available).map(({ name }) => name)

  // By which runtime it was being made is not known; to delete what is not there is a success.
  const undo = Effect.fnUntraced(function* (ref: ProcessRef) {
    const target = { namespace: ref.namespace, containerId: ref.containerId, bundle: directory.directory(ref) }
    if (ref.execId === null) {
      for (const name of names) yield* (yield* runtime.driver(name)).delete(target, { force: true })
    }
    yield* directory.remove(ref)
    yield* Effect.logInfo(`undone: ${processKey(ref)} was being made when the last host died`)
  })
  for (const ref of found) {
    yield* Effect.catch(undo(ref), (error) => Effect.logWarning(`not undone: ${processKey(ref)}: ${error.message}`))
  }
})
