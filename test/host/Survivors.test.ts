import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { outlive } from "../../src/host/Survivors.ts"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { RuntimeName } from "../../src/schema/Ids.ts"
import type { Driver } from "../../src/services/OciRuntime.ts"
import { OciRuntime } from "../../src/services/OciRuntime.ts"
import { ProcessReaper } from "../../src/services/ProcessReaper.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import { refOf } from "../layers/mock/support.ts"
import { exec, life, running, testOfLives as test } from "./support.ts"

const runtime = { pid: 77, startTime: "1", bootId: "b" }

/** What `outlive` does on a machine with two containers where a runtime is at work as long as `goesOn` says, unless it is killed. */
const outliving = Effect.fnUntraced(function* (goesOn: () => boolean, error = false) {
  yield* life(Effect.all([running(), exec("job"), running(undefined, "other")]))
  const runtimes = yield* OciRuntime
  const reaper = yield* ProcessReaper
  const asked: Array<ReadonlyArray<string>> = []
  const killed: Array<number> = []
  const atWork: Driver["atWork"] = (targets) =>
    Effect.suspend(() => {
      asked.push(targets.map(({ bundle, containerId }) => `${containerId} ${bundle}`))
      if (error) return Effect.fail(failed("pids", "no /proc"))
      return Effect.succeed(killed.length === 0 && goesOn() ? [runtime] : [])
    })
  const driver = { ...(yield* runtimes.driver(RuntimeName.make("auto"))), atWork }
  const directory = yield* TaskDirectory
  const work = Effect.flatMap(directory.list, outlive).pipe(
    Effect.provideService(OciRuntime, OciRuntime.of({ ...runtimes, driver: () => Effect.succeed(driver) })),
    Effect.provideService(
      ProcessReaper,
      ProcessReaper.of({ ...reaper, signal: ({ pid }, signal) => Effect.sync(() => killed.push(pid, signal) > 0) })
    )
  )
  const fiber = yield* Effect.forkChild(work)
  const bundles = ["other", "web"].map((id) => `${id} ${directory.directory(refOf(id))}`)
  return { asked, bundles, fiber, killed }
})

describe("a host whose predecessor has left a runtime at work", () => {
  test("waits for it, in one look for all containers", () =>
    Effect.gen(function* () {
      let looks = 0
      const { asked, bundles, fiber, killed } = yield* outliving(() => ++looks < 4)
      yield* TestClock.adjust("29 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        asked.slice(0, 4).map((each) => each.toSorted()),
        Array.from({ length: 4 }, () => bundles)
      )
      assert.deepStrictEqual(killed, [])
    }))

  test("ends it where it takes too long", () =>
    Effect.gen(function* () {
      const { fiber, killed } = yield* outliving(() => true)
      yield* TestClock.adjust("990 millis")
      assert.deepStrictEqual(killed, [])
      yield* TestClock.adjust("10 millis")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(killed, [runtime.pid, 9])
    }))

  test("begins also where that cannot be known", () =>
    Effect.gen(function* () {
      const { asked, fiber } = yield* outliving(() => true, true)
      yield* Fiber.join(fiber)
      assert.lengthOf(asked, 1)
    }))
})
