/** Containers for tests that run against any of the layers: an id of its own, a spec for the rootfs given, removal whatever happens, and what was told of it. */
import { Effect, Result, Stream } from "effect"
import { randomUUID } from "node:crypto"
import { ContainerId, Containers, Events, Spec, Tasks } from "../../src/index.ts"
import type { CreateTask, Event } from "../../src/index.ts"

/** Not from Effect's Random, which every test starts from the same seed: suites share their layer. */
export const freshId = Effect.sync(() => ContainerId.make(`t-${randomUUID().slice(0, 8)}`))

/** Creates a container that runs `args`; task and container are deleted with the scope. */
export const container = Effect.fnUntraced(function* (rootfs: string, ...args: ReadonlyArray<string>) {
  const containers = yield* Containers
  const tasks = yield* Tasks
  const id = yield* freshId
  yield* Effect.acquireRelease(
    containers.create({ id, spec: Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args })) }),
    () => Effect.ignore(Effect.andThen(Effect.ignore(tasks.delete({ id, force: true })), containers.delete(id)))
  )
  return id
})

/** The same, with its task created. */
export const created = Effect.fnUntraced(function* (
  rootfs: string,
  args: ReadonlyArray<string>,
  options: Omit<CreateTask, "id"> = {}
) {
  const id = yield* container(rootfs, ...args)
  yield* (yield* Tasks).create({ id, ...options })
  return id
})

/** The same, running. */
export const running = Effect.fnUntraced(function* (
  rootfs: string,
  args: ReadonlyArray<string>,
  options: Omit<CreateTask, "id"> = {}
) {
  const id = yield* created(rootfs, args, options)
  yield* (yield* Tasks).start(id)
  return id
})

/** The topics of what was told of a container, in order; exec ids after a colon. */
export const history = (id: ContainerId) =>
  Effect.flatMap(Events, (events) =>
    Effect.map(Stream.runCollect(events.subscribe({ filters: [`id==${id}`] })), (found) =>
      found.map(({ event, topic }: Event) =>
        "execId" in event && event.execId !== null ? `${topic}:${event.execId}` : topic
      )
    )
  )
