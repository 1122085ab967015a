import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { layer } from "../../../src/layers/mock/MockLayers.ts"
import { MockWorld } from "../../../src/layers/mock/MockWorld.ts"
import { driver, exec, printed, running, sh, signal, SIGKILL, SIGTERM } from "./support.ts"

describe("pause", () => {
  it.effect("stops the time of every process, output and memory included", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      yield* world.script({ execId: "hog" }, { runFor: "forever", oomAfter: "2500 millis" })
      const mock = yield* driver
      const { at, exit } = yield* running("c", sh("echo a; sleep 2; echo b; sleep 1; exit 4"))
      const hog = yield* Effect.forkChild((yield* exec("c", "hog", ["hog"])).exit)
      const ended = yield* Effect.forkChild(exit)
      yield* TestClock.adjust("1 second")
      yield* mock.pause(at)
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(ended.pollUnsafe())
      yield* mock.resume(at)
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(ended.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const { exitedAt, exitStatus } = yield* Fiber.join(ended)
      assert.deepStrictEqual([exitStatus, exitedAt.epochMilliseconds], [4, 3_603_000])
      assert.deepStrictEqual(yield* printed("c"), [
        [0, "stdout", "a\n"],
        [3_602_000, "stdout", "b\n"]
      ])
      assert.strictEqual((yield* Fiber.join(hog)).exitedAt.epochMilliseconds, 3_602_500)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("in several pieces", () =>
    Effect.gen(function* () {
      const mock = yield* driver
      const { at, exit } = yield* running("c", ["sleep", "3"])
      const ended = yield* Effect.forkChild(exit)
      for (let i = 0; i < 3; i++) {
        assert.isUndefined(ended.pollUnsafe())
        yield* TestClock.adjust("1 second")
        if (i < 2) yield* mock.pause(at)
        yield* TestClock.adjust("10 seconds")
        if (i < 2) yield* mock.resume(at)
      }
      assert.strictEqual((yield* Fiber.join(ended)).exitedAt.epochMilliseconds, 23_000)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("KILL reaches the frozen on cgroup v2, other signals wait", () =>
    Effect.gen(function* () {
      const mock = yield* driver
      const init = yield* running("c", sh("trap 'exit 9' TERM; sleep inf"))
      const beside = yield* exec("c", "e", ["sleep", "inf"])
      yield* mock.pause(init.at)
      yield* signal(init.identity, SIGTERM)
      const ended = yield* Effect.forkChild(init.exit)
      yield* signal(beside.identity, SIGKILL)
      assert.strictEqual((yield* beside.exit).exitStatus, 137)
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(ended.pollUnsafe())
      yield* mock.resume(init.at)
      assert.strictEqual((yield* Fiber.join(ended)).exitStatus, 9)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("KILL waits for the thaw on cgroup v1", () =>
    Effect.gen(function* () {
      const mock = yield* driver
      const init = yield* running("c", ["sleep", "inf"])
      yield* mock.pause(init.at)
      assert.isTrue(yield* signal(init.identity, SIGKILL))
      const ended = yield* Effect.forkChild(init.exit)
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(ended.pollUnsafe())
      yield* mock.resume(init.at)
      assert.strictEqual((yield* Fiber.join(ended)).exitStatus, 137)
    }).pipe(Effect.provide(layer({ freezer: "v1" })))
  )

  it.effect("twice, undone twice, or with an exec, is refused; forced deletion is not", () =>
    Effect.gen(function* () {
      const mock = yield* driver
      const { at, exit } = yield* running("c", ["sleep", "inf"])
      const why = <A, E extends { readonly message: string }, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.map(Effect.flip(effect), ({ message }) => message)
      assert.include(yield* why(mock.resume(at)), "not paused")
      yield* mock.pause(at)
      assert.include(yield* why(mock.pause(at)), "is paused")
      assert.include(yield* why(exec("c", "e", ["true"])), "paused container")
      assert.include(yield* why(mock.delete(at, { force: false })), "not stopped")
      yield* mock.delete(at, { force: true })
      assert.strictEqual((yield* exit).exitStatus, 137)
      assert.include(yield* why(mock.pause(at)), "does not exist")
    }).pipe(Effect.provide(layer({ freezer: "v1" })))
  )
})
