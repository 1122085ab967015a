/** A task that removes itself and cannot be removed at once: it is tried again, after longer and longer, until it is gone; whoever asks meanwhile does not wait. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Logger, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ContainerId } from "../../src/schema/Ids.ts"
import { Containers } from "../../src/services/Containers.ts"
import { MetadataStore } from "../../src/services/MetadataStore.ts"
import { Tasks } from "../../src/services/Tasks.ts"
import { atOnce, failure, settled, waits } from "../support/atOnce.ts"
import { daemon, ground, history, runningOf, whole } from "../support/pretended.ts"

const quiet = Layer.provide(Logger.layer([]))
const id = ContainerId.make("web")
const second = ["sh", "-c", "sleep 1; exit 5"]
const selfRemoving = runningOf("web", second, { autoRemove: true })
const status = Effect.flatMap(Tasks, (tasks) => Effect.map(tasks.get(id), ({ status }) => status))

/** So many removals of the task fail. The end of its container asks the runtime to forget it, too, once. */
const removalsFail = (times: number) =>
  Effect.flatMap(MockWorld, (world) =>
    world.onOperation("delete", {}, { fail: failed("delete", "busy"), times: times + 1 })
  )

const isGone = Effect.gen(function* () {
  yield* settled
  assert.match(yield* failure((yield* Tasks).get(id)), /^NotFound/)
  assert.match(yield* failure((yield* Containers).get(id)), /^NotFound/)
  assert.deepStrictEqual([yield* (yield* MockWorld).containers, yield* (yield* MetadataStore).tasks], [[], []])
  assert.deepStrictEqual((yield* history("web")).slice(3), ["/tasks/exit", "/tasks/delete", "/containers/delete"])
})

/** How often its removal has failed, while it waits for the next. */
const failures = Effect.map(
  Effect.flatMap(MetadataStore, (store) => store.tasks),
  ([stored]) => {
    const state = stored?.task.state
    return state?._tag === "Stopped" ? (state.failedRemovals ?? 0) : null
  }
)

describe("a task that removes itself", () => {
  it.effect("is tried again after 1, 2, 4 seconds and so on, and then is gone", () =>
    Effect.gen(function* () {
      yield* selfRemoving
      yield* removalsFail(3)
      yield* TestClock.adjust("1 second")
      yield* settled
      assert.deepStrictEqual([yield* status, yield* failures], ["stopped", 1])
      for (const [after, count] of [
        [999, 1],
        [1, 2],
        [1999, 2],
        [1, 3],
        [3999, 3]
      ] as const) {
        yield* TestClock.adjust(after)
        yield* settled
        assert.deepStrictEqual([yield* status, yield* failures], ["stopped", count])
      }
      yield* TestClock.adjust(1)
      yield* isGone
    }).pipe(Effect.provide(whole().pipe(quiet)))
  )

  it.effect("is tried once a minute at last, for as long as it takes", () =>
    Effect.gen(function* () {
      yield* selfRemoving
      yield* removalsFail(1_000)
      yield* TestClock.adjust("10 minutes")
      yield* settled
      const before = (yield* failures) ?? 0
      assert.isAbove(before, 6)
      yield* TestClock.adjust("1 minute")
      yield* settled
      assert.strictEqual(yield* failures, before + 1)
      yield* (yield* MockWorld).onOperation("delete", {}, {})
      yield* TestClock.adjust("1 minute")
      yield* isGone
    }).pipe(Effect.provide(whole().pipe(quiet)))
  )

  it.effect("is deleted at once when somebody asks, and told once", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      yield* selfRemoving
      yield* removalsFail(2)
      yield* TestClock.adjust("1 second")
      yield* settled
      assert.match(yield* atOnce("delete", failure(tasks.delete({ id }))), /^RuntimeFailed: .*busy/)
      assert.deepStrictEqual([yield* status, yield* failures], ["stopped", 2])
      // The wait that the failed deletion has cut off counts no more: the next one is of two seconds.
      yield* TestClock.adjust("1500 millis")
      yield* settled
      assert.strictEqual(yield* status, "stopped")
      assert.strictEqual((yield* atOnce("delete", tasks.delete({ id })))?.exitStatus, 5)
      yield* TestClock.adjust("2 minutes")
      yield* isGone
    }).pipe(Effect.provide(whole().pipe(quiet)))
  )

  it.effect("holds up nobody who runs it and reads along", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const spec = { ociVersion: "1.0.2", process: { args: second, cwd: "/" }, root: { path: "/rootfs" } }
      const run = yield* waits("run", Stream.runCollect(tasks.runStream({ id, spec })))
      // One more than the removal of its own and that of the one who runs it.
      yield* removalsFail(3)
      yield* TestClock.adjust("1 second")
      const events = yield* atOnce("run", Fiber.join(run))
      const last = events.at(-1)
      assert.strictEqual(last?._tag === "Exited" ? last.exit.exitStatus : null, 5)
      assert.deepStrictEqual([yield* status, yield* failures], ["stopped", 2])
      yield* TestClock.adjust("1 minute")
      yield* isGone
    }).pipe(Effect.provide(whole().pipe(quiet)))
  )

  it.effect("is removed by the next daemon, at once", () =>
    Effect.gen(function* () {
      const first = yield* Scope.make()
      const services = yield* atOnce("boot", Scope.provide(daemon, first))
      yield* Effect.provideContext(
        Effect.gen(function* () {
          yield* selfRemoving
          yield* removalsFail(1)
          yield* TestClock.adjust("1 second")
          yield* settled
          assert.deepStrictEqual([yield* status, yield* failures], ["stopped", 1])
        }),
        services
      )
      yield* Effect.forkDetach(Scope.close(first, Exit.void), { startImmediately: true })
      yield* settled
      yield* Effect.provideContext(isGone, yield* atOnce("boot", daemon))
    }).pipe(Effect.provide(ground().pipe(quiet)))
  )

  it.effect("and one that does not is left alone when its deletion has failed", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      yield* runningOf("web", second)
      yield* removalsFail(1)
      yield* TestClock.adjust("1 second")
      yield* tasks.wait({ id })
      assert.match(yield* failure(tasks.delete({ id })), /^RuntimeFailed/)
      yield* TestClock.adjust("5 minutes")
      yield* settled
      assert.strictEqual(yield* status, "stopped")
    }).pipe(Effect.provide(whole().pipe(quiet)))
  )
})
