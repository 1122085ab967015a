/** A test of a program that uses berth, without a machine: no root, no runtime, no waiting. It runs as part of `npm test`. */
// #region
import { assert, layer } from "@effect/vitest"
import { ContainerId, Containers, Spec, Tasks } from "berth"
import { BerthTest, MockWorld } from "berth/testing"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

/** The program under test: gives a command a minute to end by itself. */
const minute = Effect.fnUntraced(function* (id: ContainerId, ...args: ReadonlyArray<string>) {
  const tasks = yield* Tasks
  yield* (yield* Containers).create({ id, spec: yield* Effect.fromResult(Spec.make({ args })) })
  yield* tasks.create({ id })
  yield* tasks.start(id)
  const ended = yield* Effect.option(tasks.wait({ id, timeoutMillis: 60_000 }))
  return ended._tag === "Some" ? "ended" : (yield* tasks.stop({ id, timeoutMillis: 5_000 })).stage
})

layer(BerthTest.layer())("a minute", (it) => {
  it.effect("is followed by SIGKILL for what does not heed SIGTERM", () =>
    Effect.gen(function* () {
      yield* (yield* MockWorld).script({ containerId: "deaf" }, { runFor: "forever", ignores: [15] })
      const result = yield* Effect.forkChild(minute(ContainerId.make("deaf"), "/bin/deaf"))
      while (result.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(result), "kill")
    })
  )
})
// #endregion
