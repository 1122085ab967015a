/** Updates that hang, fail, or meet a store that fails: who waits, what stays, what is told. On the pretended machine. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Fiber, Layer, Logger, Option } from "effect"
import { TestClock } from "effect/testing"
import { ContainerEdits } from "../../src/actors/ContainerEdits.ts"
import * as LimitUpdate from "../../src/actors/LimitUpdate.ts"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ResourceExhausted } from "../../src/schema/Errors.ts"
import type { ContainerId } from "../../src/schema/Ids.ts"
import type { Resources } from "../../src/schema/Resources.ts"
import { Containers } from "../../src/services/Containers.ts"
import * as EventBus from "../../src/services/EventBusLayer.ts"
import { MetadataStore } from "../../src/services/MetadataStore.ts"
import { Tasks } from "../../src/services/Tasks.ts"
import { atOnce, failure, settled, waits } from "../support/atOnce.ts"
import { daemon, ground, history, namespace, runningOf, StoreFaults, whole } from "../support/pretended.ts"

const quiet = Logger.layer([])
const test = (name: string, body: () => Effect.Effect<void, unknown, Layer.Success<ReturnType<typeof whole>>>) =>
  it.effect(name, () => body().pipe(Effect.provide(whole().pipe(Layer.provide(quiet)))))

const forever = ["sleep", "inf"]
const pids = (limit: number): Resources => ({ pids: { limit } })
const told = Effect.map(history("web"), (topics) => topics.filter((topic) => topic === "/containers/update").length)

/** The limit of processes in the kernel's eyes, then in the store's. */
const held = Effect.fnUntraced(function* (id: ContainerId) {
  const { resources } = yield* (yield* Tasks).update({ id })
  const { spec } = yield* (yield* Containers).get(id)
  return [resources.pids?.limit, spec.linux?.resources?.pids?.limit]
})

describe("an update", () => {
  test("that hangs keeps nobody waiting but its asker", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const world = yield* MockWorld
      const id = yield* runningOf("web", forever)
      const other = yield* runningOf("other", forever)
      yield* world.hang("update", { containerId: "web" })
      const asker = yield* waits("update", tasks.update({ id, resources: pids(5) }))
      const second = yield* waits("second", tasks.update({ id, resources: pids(6) }))
      yield* atOnce("get", tasks.get(id))
      yield* atOnce("pause", tasks.pause(id))
      yield* atOnce("resume", tasks.resume(id))
      yield* atOnce("other", tasks.update({ id: other, resources: pids(5) }))
      yield* atOnce("label", (yield* Containers).update(id, { labels: { app: "web" } }))
      yield* atOnce("kill", tasks.signal({ id, signal: 9 }))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* atOnce("wait", tasks.wait({ id }))).exitStatus, 137)
      yield* atOnce("delete", tasks.delete({ id }))
      for (const fiber of [asker, second]) yield* atOnce("answer", Effect.flip(Fiber.join(fiber)))
      assert.deepStrictEqual((yield* (yield* Containers).get(id)).spec.linux?.resources, undefined)
      assert.strictEqual(yield* told, 1)
    }))

  test("that hangs ends with the deletion of its task, and a later task of the id is not touched", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const world = yield* MockWorld
      const id = yield* runningOf("web", forever)
      yield* world.hang("update")
      const first = yield* waits("first", tasks.update({ id, resources: pids(5) }))
      const second = yield* waits("second", tasks.update({ id, resources: pids(6) }))
      const removal = yield* Effect.forkChild(tasks.delete({ id, force: true }), { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* atOnce("delete", Fiber.join(removal)))?.exitStatus, 137)
      yield* tasks.create({ id })
      yield* world.release("update")
      yield* settled
      for (const fiber of [first, second]) yield* atOnce("answer", Effect.flip(Fiber.join(fiber)))
      assert.deepStrictEqual(yield* held(id), [undefined, undefined])
    }))

  test("that the runtime refuses, before or after it acted, changes nothing", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const world = yield* MockWorld
      const id = yield* runningOf("web", forever)
      yield* tasks.update({ id, resources: pids(5) })
      for (const at of ["before", "after"] as const) {
        yield* world.onOperation("update", {}, { at, fail: failed("update", "no"), times: 1 })
        const asked = tasks.update({ id, resources: pids(9), annotations: { a: "b" } })
        assert.strictEqual(yield* failure(asked), "RuntimeFailed: mock update failed: no")
        assert.deepStrictEqual(yield* held(id), [5, 5])
      }
      assert.isUndefined((yield* (yield* Containers).get(id)).spec.annotations)
      assert.strictEqual(yield* told, 1)
    }))

  test("that the store refuses is taken back from the kernel", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* runningOf("web", forever)
      yield* tasks.update({ id, resources: pids(5) })
      const full = new ResourceExhausted({ resource: "disk", limit: 1 })
      yield* (yield* StoreFaults).next(1, { _tag: "Fail", error: full })
      assert.match(yield* failure(tasks.update({ id, resources: pids(9) })), /^ResourceExhausted/)
      assert.deepStrictEqual(yield* held(id), [5, 5])
      assert.strictEqual(yield* told, 1)
    }))

  test("goes on when its asker goes away, and is stored", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const world = yield* MockWorld
      const id = yield* runningOf("web", forever)
      yield* world.hang("update")
      const asker = yield* waits("update", tasks.update({ id, resources: pids(5) }))
      yield* Fiber.interrupt(asker)
      yield* world.release("update")
      yield* settled
      assert.deepStrictEqual(yield* held(id), [5, 5])
    }))

  test("is planned on what the one before it has stored", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* runningOf("web", forever)
      yield* (yield* StoreFaults).slow(10)
      const first = yield* waits("first", tasks.update({ id, resources: { memory: { limit: 50, swap: 60 } } }))
      const second = yield* waits("second", Effect.flip(tasks.update({ id, resources: { memory: { limit: 70 } } })))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* Fiber.join(first)).resources.memory, { limit: 50, swap: 60 })
      assert.strictEqual((yield* Fiber.join(second))._tag, "InvalidArgument")
    }))

  test("is for the task that was asked, not for a later one of its id", () =>
    Effect.gen(function* () {
      const id = yield* runningOf("web", forever)
      const edits = ContainerEdits.layer.pipe(Layer.provide(EventBus.layer))
      const update = yield* Effect.provide(LimitUpdate.make, edits)
      const { task } = Option.getOrThrow(yield* (yield* MetadataStore).task(namespace, id))
      const earlier = { ...task, createdAt: DateTime.subtract(task.createdAt, { seconds: 1 }) }
      assert.strictEqual(yield* failure(update(earlier, { id, resources: pids(5) })), `NotFound: task "web" not found`)
      assert.deepStrictEqual(yield* held(id), [undefined, undefined])
      assert.deepStrictEqual((yield* update(task, { id, resources: pids(5) })).resources, pids(5))
    }))

  test("and a change of labels do not undo each other", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const containers = yield* Containers
      const id = yield* runningOf("web", forever)
      yield* (yield* StoreFaults).slow(10)
      const both = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 20 }, (_, n) => n),
          (n) =>
            n % 2 === 0
              ? Effect.asVoid(tasks.update({ id, annotations: { [`a${n}`]: "x" } }))
              : Effect.asVoid(containers.update(id, { labels: { [`l${n}`]: "x" } })),
          { concurrency: "unbounded" }
        )
      )
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(both)
      const { labels, spec } = yield* containers.get(id)
      assert.deepStrictEqual([Object.keys(labels).length, Object.keys(spec.annotations ?? {}).length], [10, 10])
    }))

  it.effect("is there after a restart of the daemon", () =>
    Effect.gen(function* () {
      const id = yield* Effect.scoped(
        Effect.gen(function* () {
          const id = yield* runningOf("web", forever)
          yield* (yield* Tasks).update({ id, resources: pids(5), annotations: { a: "b" } })
          return id
        }).pipe(Effect.provide(yield* daemon))
      )
      const services = yield* daemon
      assert.deepStrictEqual(yield* Effect.provide(held(id), services), [5, 5])
    }).pipe(Effect.provide(ground().pipe(Layer.provide(quiet))))
  )
})
