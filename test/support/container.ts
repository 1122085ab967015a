/** Containers for tests that run against any of the layers: an id of its own, a spec for the rootfs given, and removal whatever happens. */
import { Effect, Result } from "effect"
import { randomUUID } from "node:crypto"
import { ContainerId, Containers, Spec, Tasks } from "../../src/index.ts"
import type { CreateTask } from "../../src/index.ts"

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
