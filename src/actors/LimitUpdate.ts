/**
 * An update of a live task's limits and annotations, from the request to the stored specification. Kernel and store change together or not at all, as long
 * as the daemon lives (decision 0019): what the store refuses to keep is taken back from the kernel. Updates of one task take turns, so that the last one stored
 * is the one that counts.
 */
import { Effect, Option } from "effect"
import type { Container } from "../schema/Container.ts"
import { NotFound } from "../schema/Errors.ts"
import { containerKey } from "../schema/Ids.ts"
import type { OciSpec } from "../schema/OciSpec.ts"
import type { UpdateResult, UpdateTask } from "../schema/Requests.ts"
import type { TaskRecord } from "../schema/TaskState.ts"
import { MetadataStore } from "../services/MetadataStore.ts"
import { ProcessHost } from "../services/ProcessHost.ts"
import { makeTurns } from "../services/Turns.ts"
import { undo } from "../spec/Limits.ts"
import * as ResourceUpdate from "../spec/ResourceUpdate.ts"
import { ContainerEdits } from "./ContainerEdits.ts"

const annotated = (before: OciSpec["annotations"], change: UpdateTask["annotations"]) => {
  const after: Record<string, string> = { ...before }
  for (const [key, value] of Object.entries(change ?? {})) {
    if (value === null) delete after[key]
    else after[key] = value
  }
  return after
}

const apply = (container: Container, plan: ResourceUpdate.Plan, change: UpdateTask): Container => {
  const { annotations, linux, ...spec } = container.spec
  const after = annotated(annotations, change.annotations)
  return {
    ...container,
    spec: {
      ...spec,
      ...(Object.keys(after).length === 0 ? {} : { annotations: after }),
      linux: change.resources === undefined ? { ...linux } : { ...linux, resources: plan.resources }
    }
  }
}

export const make = Effect.gen(function* () {
  const edits = yield* ContainerEdits
  const host = yield* ProcessHost
  const store = yield* MetadataStore
  const inTurn = makeTurns()

  /** For the task that was asked, not for a later one of the same id. */
  return Effect.fnUntraced(function* (task: TaskRecord, change: UpdateTask) {
    const { createdAt, id, namespace } = task
    const ref = { namespace, containerId: id }
    const work = Effect.gen(function* () {
      const now = yield* store.task(namespace, id)
      if (Option.isNone(now) || now.value.task.createdAt.epochMilliseconds !== createdAt.epochMilliseconds) {
        return yield* new NotFound({ kind: "task", id })
      }
      const found = yield* store.container(namespace, id)
      if (Option.isNone(found)) return yield* new NotFound({ kind: "container", id })
      const { linux } = found.value.spec
      const plan = yield* Effect.fromResult(ResourceUpdate.plan(linux?.resources ?? {}, change.resources ?? {}))
      const { after, before } = yield* host.update({ ...ref, resources: plan.changes })
      const none = change.resources === undefined && change.annotations === undefined
      const stored = none
        ? found.value
        : yield* Effect.onError(
            edits.edit(namespace, id, (container) => apply(container, plan, change)),
            () => Effect.ignore(host.update({ ...ref, resources: undo(plan.changes, before) }))
          )
      return { id, resources: after, annotations: { ...stored.spec.annotations } } satisfies UpdateResult
    })
    return yield* inTurn(containerKey(ref), work)
  })
})
