import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Unavailable } from "../../../src/schema/Errors.ts"
import { RuntimeName } from "../../../src/schema/Ids.ts"
import { defaultStdio } from "../../../src/schema/Process.ts"
import { OciRuntime } from "../../../src/services/OciRuntime.ts"
import { ProcessIo } from "../../../src/services/ProcessIo.ts"
import { layer } from "../../../src/layers/mock/MockLayers.ts"
import { failed } from "../../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../../src/layers/mock/MockWorld.ts"
import { bundle, created, driver, exec, none, refOf, running, signal, SIGKILL, target } from "./support.ts"

const tag = <A, E extends { readonly _tag: string; readonly message: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), ({ _tag, message }) => `${_tag}: ${message}`)

describe("faults", () => {
  it.effect("the next call fails, and only that", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      const mock = yield* driver
      const { at } = yield* created("c", ["sleep", "inf"])
      yield* world.failNext("start", failed("start", "the disk is on fire"))
      assert.strictEqual(yield* tag(mock.start(at)), "RuntimeFailed: mock start failed: the disk is on fire")
      yield* mock.start(at)
      yield* world.failNext("pids", failed("pids", "not here"), { containerId: "other" })
      assert.strictEqual((yield* mock.pids(at)).length, 1)
      yield* world.failNext("open", new Unavailable({ what: "FIFO", problem: "none left", mend: null }))
      const io = yield* ProcessIo
      const request = { ref: refOf("c"), stdio: defaultStdio, directory: at.bundle, logFile: null }
      assert.strictEqual(yield* tag(Effect.scoped(io.open(request))), "Unavailable: FIFO: none left")
      yield* Effect.scoped(io.open(request))
    }).pipe(Effect.provide(layer()))
  )

  it.effect("a create that hangs before it acts can be interrupted, and leaves nothing", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      const mock = yield* driver
      yield* world.hang("create")
      const creating = yield* Effect.forkChild(mock.create(yield* bundle("c", ["true"]), none))
      yield* TestClock.adjust("10 seconds")
      assert.isUndefined(creating.pollUnsafe())
      yield* Fiber.interrupt(creating)
      assert.deepStrictEqual(yield* world.containers, [])
      yield* world.release("create")
      yield* mock.create(target("c"), none)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("a create interrupted after it acted is undone", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      const mock = yield* driver
      yield* world.hang("create", {}, "after")
      const creating = yield* Effect.forkChild(mock.create(yield* bundle("c", ["true"]), none))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* world.containers, ["default/c"])
      yield* Fiber.interrupt(creating)
      assert.deepStrictEqual(yield* world.containers, [])
      assert.match(
        (yield* world.trace).join("\n"),
        /^0 default\/c init 1000: true\n1000 default\/c init 1000 ends 137\n/
      )
    }).pipe(Effect.provide(layer()))
  )

  it.effect("release lets a hanging call go on", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      const mock = yield* driver
      const { at, exit } = yield* created("c", ["sleep", "5"])
      yield* world.hang("start", { args: "sleep" }, "after")
      const starting = yield* Effect.forkChild(mock.start(at))
      yield* TestClock.adjust("5 seconds")
      // The exit comes before the start has answered.
      assert.strictEqual((yield* exit).exitStatus, 0)
      assert.isUndefined(starting.pollUnsafe())
      yield* world.release("start")
      yield* Fiber.join(starting)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("every call has a deadline", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      const mock = yield* driver
      const { at } = yield* running("c", ["sleep", "inf"])
      yield* world.hang("exec", {}, "after")
      const overdue = yield* Effect.forkChild(Effect.flip(exec("c", "e", ["sleep", "inf"])))
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(overdue.pollUnsafe())
      assert.strictEqual((yield* world.processes(at)).length, 2)
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(overdue)
      assert.isTrue(error._tag === "RuntimeFailed" && error.reason === "deadline" && error.exitCode === -1)
      yield* TestClock.adjust(0)
      assert.strictEqual((yield* mock.pids(at)).length, 1)
    }).pipe(Effect.provide(layer({ deadline: "1 minute" })))
  )

  it.effect("a call may be slow, as often as said", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      const { identity } = yield* running("c", ["sleep", "inf"])
      yield* world.onOperation("signal", { containerId: "c" }, { delay: "3 seconds", times: 1 })
      const sending = yield* Effect.forkChild(signal(identity, 0))
      yield* TestClock.adjust("2 seconds")
      assert.isUndefined(sending.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* Fiber.join(sending))
      assert.isTrue(yield* signal(identity, SIGKILL))
    }).pipe(Effect.provide(layer()))
  )

  it.effect("of several rules the newest acts, and the older ones when it is used up", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      const mock = yield* driver
      const { at } = yield* running("c", ["sleep", "inf"])
      yield* world.onOperation("pids", { args: "sleep" }, { fail: failed("pids", "older") })
      yield* world.failNext("pids", failed("pids", "newer"))
      assert.include(yield* tag(mock.pids(at)), "newer")
      assert.include(yield* tag(mock.pids(at)), "older")
      assert.include(yield* tag(mock.pids(at)), "older")
      yield* world.onOperation("pids", {}, {})
      assert.strictEqual((yield* mock.pids(at)).length, 1)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("a failure after the act is known, and a start that failed so has started", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      const mock = yield* driver
      const { at, exit } = yield* created("c", ["true"])
      yield* world.onOperation("start", {}, { at: "after", fail: failed("start", "lost the answer"), times: 1 })
      assert.include(yield* tag(mock.start(at)), "lost the answer")
      assert.strictEqual((yield* exit).exitStatus, 0)
      yield* mock.delete(at, { force: false })
      yield* world.onOperation("create", {}, { at: "after", fail: failed("create", "lost the answer") })
      assert.include(yield* tag(mock.create(at, none)), "lost the answer")
      assert.deepStrictEqual(yield* world.containers, [])
    }).pipe(Effect.provide(layer()))
  )
})

describe("the driver", () => {
  it.effect("is mock, also as auto, and nothing else", () =>
    Effect.gen(function* () {
      const runtime = yield* OciRuntime
      assert.strictEqual((yield* runtime.driver(RuntimeName.make("mock"))).info.name, "mock")
      assert.strictEqual((yield* runtime.driver(RuntimeName.make("auto"))).info.name, "mock")
      assert.include(yield* tag(runtime.driver(RuntimeName.make("runc"))), "Unavailable")
      const [info, ...others] = yield* runtime.list
      assert.deepStrictEqual([info?.name, info?.capabilities, others.length], ["mock", ["exec"], 0])
    }).pipe(Effect.provide(layer({ capabilities: ["exec"] })))
  )

  it.effect("lacks what it is told to lack", () =>
    Effect.gen(function* () {
      yield* running("c", ["sleep", "inf"])
      assert.strictEqual(yield* tag(exec("c", "e", ["true"])), `Unsupported: runtime "mock" does not support exec`)
      const spec = { ociVersion: "1.0.2", process: { args: ["true"], cwd: "/", terminal: true } }
      const at = yield* bundle("t", [], spec)
      assert.include(yield* tag((yield* driver).create(at, none)), "terminal")
    }).pipe(Effect.provide(layer({ capabilities: [] })))
  )

  it.effect("refuses descriptors that are not open, and forgets none", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      const mock = yield* driver
      const at = yield* bundle("c", ["sleep", "inf"])
      assert.include(yield* tag(mock.create(at, { ...none, stdout: 7 })), "bad file descriptor")
      assert.include(yield* tag(mock.start(at)), "does not exist")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const io = yield* (yield* ProcessIo).open({
            ref: refOf("c"),
            stdio: defaultStdio,
            directory: at.bundle,
            logFile: null
          })
          assert.strictEqual((yield* world.descriptors).length, 2)
          yield* mock.create(at, io.descriptors)
        })
      )
      assert.deepStrictEqual(yield* world.descriptors, [])
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(mock.start(at))))
      assert.include(yield* tag(mock.start(at)), "running")
    }).pipe(Effect.provide(layer()))
  )
})
