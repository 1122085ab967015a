/** Signals to processes by name, by pid and to all of them: whom they reach, and whom they must never reach. */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { TestClock } from "effect/testing"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import { refOf, sh } from "../layers/mock/support.ts"
import { atOnce, failure, settled, waits } from "../support/atOnce.ts"
import { exec, job, running, test, watching, web } from "./support.ts"

const send = (to: { readonly pid?: number; readonly all?: boolean }, signal = 9, id = "web") =>
  Effect.flatMap(ProcessHost, (host) => host.signal({ ref: refOf(id), signal, all: false, ...to }))
const pids = (id = "web") => Effect.flatMap(ProcessHost, (host) => host.pids(refOf(id)))

describe("a signal by pid", () => {
  test("reaches a process that berth did not start, and no other", () =>
    Effect.gen(function* () {
      const { identity } = yield* running(sh("sleep inf & sleep inf"))
      yield* settled
      const [child = 0] = (yield* pids()).filter((pid) => pid !== identity.pid)
      yield* send({ pid: child })
      yield* settled
      assert.deepStrictEqual(yield* pids(), [identity.pid])
      assert.match(yield* failure(send({ pid: child })), /^NotFound: process/)
    }))

  test("is NotFound for a process of another container, or of none", () =>
    Effect.gen(function* () {
      yield* running()
      const other = yield* running(undefined, "other")
      for (const pid of [other.identity.pid, 4_000_000, 1]) {
        assert.match(yield* failure(send({ pid })), new RegExp(`^NotFound: process "${pid}"`))
      }
      assert.deepStrictEqual(yield* pids("other"), [other.identity.pid])
    }))

  for (const at of ["before", "after"] as const) {
    test(
      `does not reach who gets the pid while the processes are counted, ${at} the count`,
      () =>
        Effect.gen(function* () {
          const world = yield* MockWorld
          yield* running(sh("sleep 5 & sleep inf"))
          yield* settled
          const [, child = 0] = yield* pids()
          yield* world.hang("pids", {}, at)
          const sending = yield* waits("signal", failure(send({ pid: child })))
          yield* TestClock.adjust("6 seconds")
          const other = yield* running(undefined, "other")
          assert.strictEqual(other.identity.pid, child)
          yield* world.release("pids")
          assert.match(yield* atOnce("signal", Fiber.join(sending)), /^NotFound: process/)
          assert.deepStrictEqual(yield* pids("other"), [child])
        }),
      { firstPid: 1000, lastPid: 1001 }
    )
  }

  test(
    "that kills ends a process of a frozen container, which stays frozen",
    () =>
      Effect.gen(function* () {
        const { identity } = yield* running(sh("sleep inf & sleep inf"))
        yield* settled
        const [child = 0] = (yield* pids()).filter((pid) => pid !== identity.pid)
        yield* (yield* ProcessHost).pause(web)
        const sending = yield* waits("signal", send({ pid: child }))
        yield* TestClock.adjust("1 second")
        yield* atOnce("signal", Fiber.join(sending))
        assert.deepStrictEqual(yield* pids(), [identity.pid])
        assert.match(yield* failure(exec("job")), /paused/)
      }),
    { freezer: "v1" }
  )
})

describe("a signal that kills in a frozen container which cannot be thawed or frozen again", () => {
  /** A child of init is killed while the next such call fails; what is told of it, and what is written down. */
  const killedWhere = Effect.fnUntraced(function* (command: "pause" | "resume") {
    yield* running(sh("sleep inf & sleep inf"))
    yield* settled
    const [, child = 0] = yield* pids()
    yield* (yield* ProcessHost).pause(web)
    const { lines } = yield* watching
    yield* (yield* MockWorld).failNext(command, failed(command, "busy"))
    const sending = yield* waits("signal", send({ pid: child }))
    yield* TestClock.adjust("1 second")
    yield* atOnce("signal", Fiber.join(sending))
    const { freezing, paused } = Option.getOrThrow(yield* (yield* TaskDirectory).load(web))
    return { told: lines.slice(1), paused, freezing }
  })

  test(
    "not again: it goes on, and that is told",
    () =>
      Effect.gen(function* () {
        const found = yield* killedWhere("pause")
        assert.deepStrictEqual(found, { told: ["web resumed"], paused: false, freezing: false })
        yield* exec("job")
        yield* (yield* ProcessHost).pause(web)
      }).pipe(Effect.scoped),
    { freezer: "v1" }
  )

  test(
    "not thawed: it stays as it is",
    () =>
      Effect.gen(function* () {
        const found = yield* killedWhere("resume")
        assert.deepStrictEqual(found, { told: [], paused: true, freezing: false })
        yield* (yield* ProcessHost).resume(web)
      }).pipe(Effect.scoped),
    { freezer: "v1" }
  )
})

describe("a signal to all", () => {
  test(
    "ends a frozen container and its execs",
    () =>
      Effect.gen(function* () {
        yield* running()
        yield* exec("job")
        yield* (yield* ProcessHost).pause(web)
        const { lines } = yield* watching
        yield* atOnce("signal", send({ all: true }))
        yield* settled
        assert.deepStrictEqual(lines.slice(1), ["job 137", "web 137"])
      }).pipe(Effect.scoped),
    { freezer: "v1" }
  )

  test("reaches those that appear while it is sent", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      yield* running()
      yield* world.onOperation("pids", {}, { at: "after", delay: "1 second", times: 1 })
      const { lines } = yield* watching
      const sending = yield* waits("signal", send({ all: true }))
      yield* exec("job")
      yield* TestClock.adjust("1 second")
      yield* atOnce("signal", Fiber.join(sending))
      yield* settled
      assert.deepStrictEqual(lines.slice(1), ["job 137", "web 137"])
    }).pipe(Effect.scoped))

  test(
    "does not reach who gets a pid while the processes are counted",
    () =>
      Effect.gen(function* () {
        const world = yield* MockWorld
        yield* running(sh("trap 'exit 4' TERM; sleep 5 & sleep inf"))
        yield* settled
        const [, child = 0] = yield* pids()
        yield* world.hang("pids", {}, "after")
        const sending = yield* waits("signal", send({ all: true }, 15))
        yield* TestClock.adjust("6 seconds")
        const other = yield* running(["sleep", "3"], "other")
        assert.strictEqual(other.identity.pid, child)
        yield* world.release("pids")
        const { lines } = yield* watching
        yield* atOnce("signal", Fiber.join(sending))
        yield* TestClock.adjust("6 seconds")
        assert.deepStrictEqual([...lines].sort(), ["other 0", "snapshot web:- other:-", "web 4"])
      }).pipe(Effect.scoped),
    { firstPid: 1000, lastPid: 1001 }
  )

  test("of a container whose init has ended is NotFound", () =>
    Effect.gen(function* () {
      yield* running(sh("exit 0"))
      yield* settled
      assert.match(yield* failure(send({ all: true })), /^NotFound/)
      assert.match(yield* failure(send({})), /^NotFound: process "web"/)
    }))
})

test(
  "KILL to an exec of a frozen container ends it, and no other",
  () =>
    Effect.gen(function* () {
      yield* running()
      yield* exec("job")
      const host = yield* ProcessHost
      yield* host.pause(web)
      const { lines } = yield* watching
      const sending = yield* waits("signal", host.signal({ ref: { ...web, execId: job }, signal: 9, all: false }))
      yield* TestClock.adjust("1 second")
      yield* atOnce("signal", Fiber.join(sending))
      assert.deepStrictEqual(lines, ["snapshot job:- web:-", "job 137"])
      yield* host.resume(web)
      yield* exec("next")
    }).pipe(Effect.scoped),
  { freezer: "v1" }
)
