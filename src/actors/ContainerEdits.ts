/**
 * Changes to stored containers: read, change and write as one step, whoever asks, or the last writer would undo what another has just done. Every change is
 * announced; nothing that takes time happens inside.
 */
import { Context, DateTime, Effect, Layer, Option, Semaphore } from "effect"
import type { Container } from "../schema/Container.ts"
import { NotFound } from "../schema/Errors.ts"
import type { Payload } from "../schema/Events.ts"
import type { ContainerId, Namespace } from "../schema/Ids.ts"
import { EventBus } from "../services/EventBus.ts"
import { Change, MetadataStore } from "../services/MetadataStore.ts"
import { makeTurns } from "../services/Turns.ts"

const make = Effect.gen(function* () {
  const bus = yield* EventBus
  const store = yield* MetadataStore
  const oneAtATime = yield* Semaphore.make(1)
  return {
    /** A deletion with its log, or the beginning of a task with one: by container key, so that neither finds the other half-way. */
    inTurn: makeTurns(),
    /** The container as stored, with its new time of change. */
    edit: Effect.fnUntraced(function* (
      namespace: Namespace,
      id: ContainerId,
      change: (before: Container) => Container
    ) {
      const found = yield* store.container(namespace, id)
      if (Option.isNone(found)) return yield* new NotFound({ kind: "container", id })
      const container: Container = { ...change(found.value), updatedAt: yield* DateTime.now }
      const payload: Payload = { topic: "/containers/update", event: { id, labels: container.labels } }
      yield* bus.commit([Change.PutContainer({ container })], [{ namespace, payload }])
      return container
    }, oneAtATime.withPermit)
  }
})

export class ContainerEdits extends Context.Service<ContainerEdits, Effect.Success<typeof make>>()(
  "berth/actors/ContainerEdits"
) {
  static readonly layer = Layer.effect(ContainerEdits, make)
}
