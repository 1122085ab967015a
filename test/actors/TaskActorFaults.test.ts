/** An actor whose store fails, that crashes, or that is asked too much: what is refused, what is tried again, and what nobody else notices. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import * as Berth from "../../src/actors/Berth.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { Internal, ResourceExhausted, Unavailable } from "../../src/schema/Errors.ts"
import type { Change } from "../../src/services/MetadataStore.ts"
import { MetadataStore } from "../../src/services/MetadataStore.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { Tasks } from "../../src/services/Tasks.ts"
import { atOnce, failure, waits } from "../support/atOnce.ts"
import { containerOf, createdOf, ground, history, runningOf, StoreFaults, whole } from "../support/pretended.ts"

const quiet = Logger.layer([])
const berth = (options: Parameters<typeof whole>[0] = {}) => whole(options).pipe(Layer.provide(quiet))
const test = (
  name: string,
  body: () => Effect.Effect<void, unknown, Layer.Success<ReturnType<typeof whole>>>,
  options = {}
) => it.effect(name, () => body().pipe(Effect.provide(berth(options))))

const forever = ["sleep", "inf"]
const full = new ResourceExhausted({ resource: "disk", limit: 1 })

/** Commits that write the exit of a task. */
const writesExit = (changes: ReadonlyArray<Change>) =>
  changes.some((change) => change._tag === "PutTask" && change.record.state._tag === "Stopped")

describe("where the store fails", () => {
  test("a command is refused, and everything is as it was", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const faults = yield* StoreFaults
      const id = yield* createdOf("web", forever)
      yield* faults.next(1, { _tag: "Fail", error: full })
      assert.match(yield* failure(tasks.start(id)), /^ResourceExhausted/)
      assert.strictEqual((yield* tasks.get(id)).status, "created")
      assert.deepStrictEqual((yield* history("web")).slice(1), ["/tasks/create"])
      assert.notMatch((yield* (yield* MockWorld).trace).join("\n"), /starts/)
      assert.strictEqual((yield* tasks.start(id)).status, "running")
    }))

  test("a create is refused, without a task or anything on the machine", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* containerOf("web", ...forever)
      yield* (yield* StoreFaults).next(1, { _tag: "Fail", error: full })
      assert.match(yield* failure(tasks.create({ id })), /^ResourceExhausted/)
      assert.deepStrictEqual([yield* tasks.list({}), yield* (yield* MockWorld).containers], [[], []])
      yield* tasks.create({ id })
    }))

  test("an exit is tried again until it is stored; nobody is told before, and once", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const faults = yield* StoreFaults
      const id = yield* runningOf("web", ["sh", "-c", "sleep 1; exit 3"])
      yield* faults.next(5, { _tag: "Fail", error: full }, writesExit)
      const waiter = yield* waits("wait", tasks.wait({ id }))
      yield* TestClock.adjust("3500 millis")
      assert.isAbove(yield* faults.count, 1)
      assert.isUndefined(waiter.pollUnsafe())
      assert.strictEqual((yield* atOnce("get", tasks.get(id))).status, "running")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([(yield* atOnce("wait", Fiber.join(waiter))).exitStatus, yield* faults.count], [3, 5])
      assert.deepStrictEqual((yield* history("web")).slice(3), ["/tasks/exit"])
    }))

  test("a start that has happened is told when the store can take it", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* createdOf("web", ["sh", "-c", "exit 4"])
      yield* (yield* StoreFaults).next(2, { _tag: "Fail", error: full }, (changes) =>
        changes.some((change) => change._tag === "PutTask" && change.record.state._tag !== "Starting")
      )
      const start = yield* waits("start", tasks.start(id))
      yield* TestClock.adjust("10 seconds")
      yield* atOnce("start", Fiber.join(start))
      assert.strictEqual((yield* atOnce("wait", tasks.wait({ id }))).exitStatus, 4)
      assert.deepStrictEqual((yield* history("web")).slice(1), ["/tasks/create", "/tasks/start", "/tasks/exit"])
    }))
})

describe("a crash", () => {
  const bug = { _tag: "Die", defect: new Error("secret detail") } as const

  test("is Internal to its caller; the actor goes on from the store, and its siblings notice nothing", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* createdOf("web", forever)
      const other = yield* runningOf("other", forever)
      yield* (yield* StoreFaults).next(1, bug)
      const error = yield* atOnce("start", Effect.flip(tasks.start(id)))
      assert.instanceOf(error, Internal)
      assert.notInclude(JSON.stringify(error), "secret")
      assert.strictEqual((yield* tasks.get(id)).status, "created")
      assert.strictEqual((yield* atOnce("start", tasks.start(id))).status, "running")
      assert.strictEqual((yield* atOnce("pause", tasks.pause(other))).status, "paused")
    }))

  test("behind the commit finds what was stored", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* createdOf("web", forever)
      yield* (yield* StoreFaults).next(1, { ...bug, after: true })
      assert.instanceOf(yield* Effect.flip(tasks.start(id)), Internal)
      const [stored] = yield* (yield* MetadataStore).tasks
      assert.strictEqual(stored?.task.state._tag, "Starting")
      assert.match(yield* failure(tasks.start(id)), /^FailedPrecondition.*it is starting/)
      assert.strictEqual((yield* atOnce("delete", tasks.delete({ id, force: true })))?.exitStatus, 137)
    }))

  test("over a report does not lose what it told", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* runningOf("web", ["sh", "-c", "sleep 1; exit 3"])
      yield* (yield* StoreFaults).next(2, bug, writesExit)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* atOnce("wait", tasks.wait({ id }))).exitStatus, 3)
      assert.deepStrictEqual((yield* history("web")).slice(3), ["/tasks/exit"])
    }))

  test("too often marks the task as failed: Unavailable to commands and waiters, while reads go on", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const faults = yield* StoreFaults
      const id = yield* createdOf("web", forever)
      const other = yield* runningOf("other", forever)
      const waiter = yield* waits("wait", tasks.wait({ id }))
      yield* faults.next(6, bug)
      for (let crash = 0; crash < 6; crash++)
        assert.instanceOf(yield* atOnce("start", Effect.flip(tasks.start(id))), Internal)
      const error = yield* atOnce("start", Effect.flip(tasks.start(id)))
      assert.instanceOf(error, Unavailable)
      assert.match(yield* atOnce("the waiter", failure(Fiber.join(waiter))), /^Unavailable/)
      assert.match(yield* atOnce("wait", failure(tasks.wait({ id }))), /^Unavailable/)
      assert.match(yield* atOnce("stop", failure(tasks.stop({ id }))), /^Unavailable/)
      assert.strictEqual((yield* atOnce("get", tasks.get(id))).status, "created")
      assert.strictEqual((yield* atOnce("list", tasks.list({}))).length, 2)
      assert.strictEqual((yield* atOnce("pids", tasks.pids(id))).length, 1)
      yield* atOnce("kill", tasks.signal({ id: other, signal: 9 }))
      assert.strictEqual((yield* atOnce("wait", tasks.wait({ id: other }))).exitStatus, 137)
    }))

  test("now and then is forgiven", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* createdOf("web", forever)
      yield* (yield* StoreFaults).next(20, bug)
      for (let crash = 0; crash < 20; crash++) {
        assert.instanceOf(yield* atOnce("start", Effect.flip(tasks.start(id))), Internal)
        yield* TestClock.adjust("7 seconds")
      }
      assert.strictEqual((yield* tasks.start(id)).status, "running")
    }))

  it.effect("of the host's is Internal to its caller, and the state does not hang on it", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* createdOf("web", forever)
      assert.instanceOf(yield* atOnce("start", Effect.flip(tasks.start(id))), Internal)
      assert.strictEqual((yield* tasks.get(id)).status, "created")
      yield* atOnce("delete", tasks.delete({ id }))
    }).pipe(
      Effect.provide(
        Berth.layer.pipe(
          Layer.provide(
            Layer.effect(
              ProcessHost,
              Effect.map(ProcessHost, (host) =>
                ProcessHost.of({ ...host, start: () => Effect.die(new Error("secret")) })
              )
            )
          ),
          Layer.provideMerge(ground()),
          Layer.provide(quiet)
        )
      )
    )
  )
})

describe("a busy actor", () => {
  test("refuses the 65th command that waits, and answers the others in their turn", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* runningOf("web", forever)
      yield* (yield* StoreFaults).slow(1_000)
      const pause = yield* waits("pause", tasks.pause(id))
      const kills: Array<Fiber.Fiber<void, unknown>> = []
      for (let n = 0; n < 64; n++)
        kills.push(yield* Effect.forkChild(tasks.signal({ id, signal: 15 }), { startImmediately: true }))
      const error = yield* atOnce("the 65th", Effect.flip(tasks.signal({ id, signal: 15 })))
      assert.deepInclude(error, { _tag: "ResourceExhausted", limit: 64 })
      assert.strictEqual((yield* atOnce("get", tasks.get(id))).status, "running")
      yield* (yield* StoreFaults).slow(0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* atOnce("pause", Fiber.join(pause))).status, "paused")
      yield* atOnce("all of them", Effect.forEach(kills, Fiber.join))
    }))

  test("tells a waiter its exit whenever it asks, before, during and after", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* runningOf("web", ["sh", "-c", "sleep 1; exit 3"])
      const early = yield* Effect.forEach(Array.from({ length: 200 }), () => waitsFor(tasks.wait({ id })))
      yield* TestClock.adjust("1 second")
      const codes = yield* atOnce("all", Effect.forEach(early, Fiber.join))
      assert.isTrue(codes.every(({ exitStatus }) => exitStatus === 3))
      assert.strictEqual((yield* atOnce("late", tasks.wait({ id }))).exitStatus, 3)
      assert.strictEqual((yield* tasks.delete({ id }))?.exitStatus, 3)
      assert.match(yield* failure(tasks.wait({ id })), /^NotFound/)
    }))
})

const waitsFor = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })
