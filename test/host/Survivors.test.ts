import { assert, describe } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import * as LocalHost from "../../src/host/LocalHost.ts"
import { settle } from "../../src/host/Survivors.ts"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ContainerId, RuntimeName } from "../../src/schema/Ids.ts"
import type { Driver } from "../../src/services/OciRuntime.ts"
import { OciRuntime } from "../../src/services/OciRuntime.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { ProcessReaper } from "../../src/services/ProcessReaper.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import { refOf, specOf } from "../layers/mock/support.ts"
import { atOnce } from "../support/atOnce.ts"
import { create, exec, forever, left, life, nothing, running, testOfLives as test, web } from "./support.ts"

const runtime = { pid: 77, startTime: "1", bootId: "b" }

/** What `settle` does on a machine with two containers where a runtime is at work as long as `goesOn` says, unless it is killed. */
const settling = Effect.fnUntraced(function* (goesOn: () => boolean, error = false) {
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
  const work = Effect.flatMap(directory.list, settle).pipe(
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
      const { asked, bundles, fiber, killed } = yield* settling(() => ++looks < 4)
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
      const { fiber, killed } = yield* settling(() => true)
      yield* TestClock.adjust("990 millis")
      assert.deepStrictEqual(killed, [])
      yield* TestClock.adjust("20 millis")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(killed, [runtime.pid, 9])
    }))

  test("ends it at once where what it works on was only being made", () =>
    Effect.gen(function* () {
      const [directory, reaper, runtimes] = [yield* TaskDirectory, yield* ProcessReaper, yield* OciRuntime]
      yield* directory.create(web.namespace, web.containerId, specOf(forever))
      const killed: Array<number> = []
      const driver: Driver = {
        ...(yield* runtimes.driver(RuntimeName.make("auto"))),
        leftAtWork: () => Effect.sync(() => (killed.length === 0 ? [runtime] : []))
      }
      const signal: typeof reaper.signal = ({ pid }, signal) => Effect.sync(() => killed.push(pid, signal) > 0)
      const boot = yield* life(directory.unrecorded).pipe(
        Effect.provideService(OciRuntime, OciRuntime.of({ ...runtimes, driver: () => Effect.succeed(driver) })),
        Effect.provideService(ProcessReaper, ProcessReaper.of({ ...reaper, signal })),
        Effect.forkChild
      )
      yield* TestClock.adjust("10 millis")
      assert.deepStrictEqual(yield* Fiber.join(boot), [])
      assert.deepStrictEqual(killed, [runtime.pid, 9])
    }))

  test("begins also where that cannot be known", () =>
    Effect.gen(function* () {
      const { asked, fiber } = yield* settling(() => true, true)
      yield* Fiber.join(fiber)
      assert.lengthOf(asked, 1)
    }))
})

describe("a host whose runtime hangs", () => {
  test("takes over all the same: what it could not learn or undo comes later", () =>
    Effect.gen(function* () {
      const [directory, world] = [yield* TaskDirectory, yield* MockWorld]
      yield* life(Effect.all([running(), create(undefined, "made")]))
      const record = Option.getOrThrow(yield* directory.load(web))
      yield* directory.save({ ...record, freezing: true })
      yield* directory.create(web.namespace, ContainerId.make("half"), specOf(forever))
      for (const hangs of ["pids", "resume", "delete"] as const) yield* world.hang(hangs)
      const boot = yield* Effect.forkChild(Layer.build(Layer.fresh(LocalHost.layer)))
      yield* TestClock.adjust("7 seconds")
      const host = Context.get(yield* atOnce("boot", Fiber.join(boot)), ProcessHost)
      const freezing = Effect.map(directory.load(web), (found) => Option.getOrThrow(found).freezing)
      assert.deepStrictEqual([yield* freezing, (yield* directory.unrecorded).length], [true, 1])
      for (const hangs of ["pids", "resume", "delete"] as const) yield* world.release(hangs)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual([yield* freezing, (yield* directory.unrecorded).length], [false, 0])
      for (const id of ["web", "made"]) yield* host.delete(refOf(id))
      assert.deepStrictEqual(yield* left, nothing)
    }).pipe(Effect.scoped))
})
