/**
 * `Containers` over the store. Containers are data without a life of their own, so they need no actor: every change is one transaction, and what must not
 * happen together (deleting a container while a task of it begins) the store refuses.
 */
import { Effect, Layer, Option } from "effect"
import type { ContainerPatch, NewContainer } from "../schema/Container.ts"
import { NotFound } from "../schema/Errors.ts"
import type { Payload } from "../schema/Events.ts"
import * as Filter from "../schema/Filter.ts"
import { containerKey } from "../schema/Ids.ts"
import type { ContainerId } from "../schema/Ids.ts"
import type { ListRequest } from "../schema/Requests.ts"
import { Containers } from "../services/Containers.ts"
import { CurrentNamespace } from "../services/CurrentNamespace.ts"
import { EventBus } from "../services/EventBus.ts"
import { Change, MetadataStore } from "../services/MetadataStore.ts"
import { OutputLog } from "../services/OutputLog.ts"
import { Actors } from "./Actors.ts"
import { ContainerEdits } from "./ContainerEdits.ts"
import * as NewContainers from "./NewContainers.ts"

const make = Effect.gen(function* () {
  const actors = yield* Actors
  const bus = yield* EventBus
  const { compose, withCgroup } = yield* NewContainers.make
  const edits = yield* ContainerEdits
  const outputLog = yield* OutputLog
  const store = yield* MetadataStore

  const get = Effect.fn("Containers.get")(function* (id: ContainerId) {
    const found = yield* store.container(yield* CurrentNamespace, id)
    return Option.isSome(found) ? found.value : yield* new NotFound({ kind: "container", id })
  })

  const create = Effect.fn("Containers.create")(function* (request: NewContainer) {
    const { container, event } = yield* compose(request)
    yield* bus.commit([Change.InsertContainer({ container })], [event])
    return container
  })

  const list = Effect.fn("Containers.list")(function* ({ filters }: ListRequest) {
    const wanted = yield* Effect.fromResult(Filter.parseAll(filters ?? []))
    const all = yield* store.containers(yield* CurrentNamespace)
    return wanted.length === 0
      ? all
      : all.filter((container) => Filter.matches(wanted, Filter.containerFields(container)))
  })

  const update = Effect.fn("Containers.update")(function* (id: ContainerId, patch: ContainerPatch) {
    return yield* edits.edit(yield* CurrentNamespace, id, (before) => {
      const labels: Record<string, string> = { ...before.labels }
      for (const [key, value] of Object.entries(patch.labels ?? {})) {
        if (value === null) delete labels[key]
        else labels[key] = value
      }
      return {
        ...before,
        labels,
        spec: patch.spec === undefined ? before.spec : withCgroup(patch.spec, before.namespace, id),
        extensions: { ...before.extensions, ...patch.extensions }
      }
    })
  })

  const remove = Effect.fn("Containers.delete")(function* (id: ContainerId) {
    const namespace = yield* CurrentNamespace
    const payload: Payload = { topic: "/containers/delete", event: { id } }
    const ref = { namespace, containerId: id, execId: null }
    const key = containerKey(ref)
    yield* edits.inTurn(
      key,
      Effect.gen(function* () {
        yield* bus.commit([Change.DeleteContainer({ namespace, id })], [{ namespace, payload }])
        // Of a create that was cut off before it was written down a log may be left, which nobody else knows of.
        if (!actors.operations.strangers.has(key)) yield* outputLog.remove(ref)
      })
    )
  })

  return Containers.of({ create, get, list, update, delete: remove })
})

export const layer = Layer.effect(Containers, make)
