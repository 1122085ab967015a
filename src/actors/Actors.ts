/** The living task actors by key: spawned here, found here, gone from here when their task is deleted. All of them end with this layer's scope. */
import { Context, Effect, Layer, Scope } from "effect"
import type { ContainerId, Namespace } from "../schema/Ids.ts"
import { containerKey } from "../schema/Ids.ts"
import { EventBus } from "../services/EventBus.ts"
import { MetadataStore } from "../services/MetadataStore.ts"
import type { TaskActor } from "./TaskActor.ts"
import * as Actor from "./TaskActor.ts"
import * as Operations from "./TaskOperations.ts"
import type { Tree } from "./TaskTree.ts"

const make = Effect.gen(function* () {
  const operations = yield* Operations.make
  const context = yield* Effect.context<EventBus | MetadataStore | Scope.Scope>()
  const actors = new Map<string, TaskActor>()
  return {
    operations,
    /** Undefined where there is no task of that id. */
    get: (namespace: Namespace, id: ContainerId) => actors.get(containerKey({ namespace, containerId: id })),
    /** Of one namespace, by id. */
    list: (namespace: Namespace): ReadonlyArray<TaskActor> =>
      Array.from(actors.values())
        .filter((actor) => actor.read().task.namespace === namespace)
        .toSorted((a, b) => (a.read().task.id < b.read().task.id ? -1 : 1)),
    all: (): ReadonlyArray<TaskActor> => Array.from(actors.values()),
    spawn: Effect.fnUntraced(function* (tree: Tree) {
      const key = containerKey({ namespace: tree.task.namespace, containerId: tree.task.id })
      const retire = Effect.sync(() => void actors.delete(key))
      const actor = yield* Actor.make(tree, operations.perform, retire).pipe(Effect.provideContext(context))
      actors.set(key, actor)
      return actor
    })
  }
})

export class Actors extends Context.Service<Actors, Effect.Success<typeof make>>()("berth/actors/Actors") {
  static readonly layer = Layer.effect(Actors, make)
}
