/** A stop of what is frozen, or being frozen: its signal is to reach it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { Tasks } from "../../src/services/Tasks.ts"
import { atOnce, settled, waits } from "../support/atOnce.ts"
import { runningOf, whole } from "../support/pretended.ts"

const quiet = Layer.provide(Logger.layer([]))
const forever = ["sleep", "inf"]

describe("a stop", () => {
  const stopOf = (pause: "paused" | "pausing") =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const world = yield* MockWorld
      yield* world.script({ containerId: "web" }, { runFor: "forever", handles: { 15: 7 } })
      const id = yield* runningOf("web", forever)
      if (pause === "pausing") yield* world.onOperation("pause", {}, { at: "after", delay: "3 seconds" })
      const pausing = yield* Effect.forkChild(Effect.exit(tasks.pause(id)), { startImmediately: true })
      yield* settled
      assert.strictEqual((yield* tasks.get(id)).status, pause)
      const stop = yield* Effect.forkChild(tasks.stop({ id }), { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      const { exit, stage } = yield* atOnce("stop", Fiber.join(stop))
      assert.deepStrictEqual([stage, exit.exitStatus], ["signal", 7])
      yield* atOnce("pause", Fiber.join(pausing))
    }).pipe(Effect.provide(whole().pipe(quiet)))

  it.effect("reaches a frozen process with its signal", () => stopOf("paused"))

  it.effect("reaches one whose pause comes to its end behind the signal", () => stopOf("pausing"))

  it.effect("kills what cannot be thawed, when its patience ends", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const world = yield* MockWorld
      yield* world.script({ containerId: "web" }, { runFor: "forever", handles: { 15: 7 } })
      const id = yield* runningOf("web", forever)
      yield* tasks.pause(id)
      yield* world.failNext("resume", failed("resume", "stuck"))
      const stop = yield* waits("stop", tasks.stop({ id }))
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual((yield* tasks.get(id)).status, "paused")
      yield* TestClock.adjust("2 seconds")
      const { exit, stage } = yield* atOnce("stop", Fiber.join(stop))
      assert.deepStrictEqual([stage, exit.exitStatus], ["kill", 137])
    }).pipe(Effect.provide(whole().pipe(quiet)))
  )
})
