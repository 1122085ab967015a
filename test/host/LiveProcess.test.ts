/** Who is told of which end in which order, and what an exec leaves behind. */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { TestClock } from "effect/testing"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import { sh } from "../layers/mock/support.ts"
import { atOnce, failure, settled, waits } from "../support/atOnce.ts"
import { calm, create, Disk, exec, job, left, nothing, running, test, watching, web } from "./support.ts"

describe("exits", () => {
  test("of execs are told before that of their init, which kills them", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const { lines } = yield* watching
      yield* running()
      for (const id of ["a", "b", "c"]) yield* exec(id)
      yield* host.signal({ ref: web, signal: 9, all: false })
      yield* settled
      assert.deepStrictEqual(lines.slice(1, 4).sort(), ["a 137", "b 137", "c 137"])
      assert.deepStrictEqual(lines.slice(4), ["web 137"])
    }).pipe(Effect.scoped))

  test("are on disk before anybody is told, in a snapshot or an event", () =>
    Effect.gen(function* () {
      const directory = yield* TaskDirectory
      const { lines } = yield* watching
      yield* running(sh("sleep 1; exit 3"))
      yield* (yield* Disk).slow(1_000, ({ exit }) => exit !== null)
      yield* TestClock.adjust("1500 millis")
      const meanwhile = yield* watching
      assert.deepStrictEqual([lines, meanwhile.lines], [["snapshot "], ["snapshot web:-"]])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([lines.slice(1), meanwhile.lines.slice(1)], [["web 3"], ["web 3"]])
      assert.strictEqual(Option.getOrNull(yield* directory.load(web))?.exit?.exitStatus, 3)
    }).pipe(Effect.scoped))

  test("are told late, but told and in order, where the disk is full for a while", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const { lines } = yield* watching
      yield* running()
      yield* exec("job")
      yield* (yield* Disk).fail(5, ({ exit }) => exit !== null)
      yield* host.signal({ ref: web, signal: 9, all: false })
      yield* TestClock.adjust("2500 millis")
      assert.deepStrictEqual(lines.slice(1), [])
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(lines.slice(1), ["job 137", "web 137"])
    }).pipe(Effect.scoped))

  test("are told where somebody has taken the folder away", () =>
    Effect.gen(function* () {
      const { lines } = yield* watching
      yield* running(sh("sleep 1; exit 3"))
      yield* (yield* TaskDirectory).remove(web)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(lines.slice(1), ["web 3"])
    }).pipe(Effect.scoped))

  test("are complete: a start that is being written down does not undo one", () =>
    Effect.gen(function* () {
      yield* create(sh("exit 3"))
      yield* (yield* Disk).slow(1_000)
      const starting = yield* waits(
        "start",
        Effect.flatMap(ProcessHost, (host) => host.start(web))
      )
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(starting)
      const saved = Option.getOrNull(yield* (yield* TaskDirectory).load(web))
      assert.deepStrictEqual([saved?.started, saved?.exit?.exitStatus], [true, 3])
    }))
})

describe("a pause", () => {
  test("that cannot be written down is refused: the next host would not know of it, and nobody could end it", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      yield* running()
      yield* (yield* Disk).fail(1)
      assert.match(yield* failure(host.pause(web)), /^ResourceExhausted/)
      yield* exec("job")
      yield* host.pause(web)
      assert.match(yield* failure(exec("other")), /paused/)
    }))
})

describe("an exec", () => {
  test("that cannot be written down is undone, is not told of, and does not hold init's exit back", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const { lines } = yield* watching
      yield* running()
      yield* (yield* Disk).fail(1, ({ ref }) => ref.execId === job)
      assert.match(yield* failure(exec("job")), /^ResourceExhausted/)
      yield* calm
      assert.strictEqual((yield* (yield* MockWorld).processes(web)).length, 1)
      yield* host.signal({ ref: web, signal: 9, all: false })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(lines.slice(1), ["web 137"])
      yield* atOnce("delete", host.delete(web))
      assert.deepStrictEqual(yield* left, nothing)
    }).pipe(Effect.scoped))

  for (const at of ["before", "after"] as const) {
    test(`that is interrupted ${at} the runtime acts leaves nothing of itself`, () =>
      Effect.gen(function* () {
        yield* running()
        yield* (yield* MockWorld).hang("exec", {}, at)
        yield* Fiber.interrupt(yield* waits("exec", exec("job")))
        yield* (yield* MockWorld).release("exec")
        yield* settled
        assert.strictEqual((yield* (yield* MockWorld).processes(web)).length, 1)
        assert.deepStrictEqual(
          (yield* (yield* TaskDirectory).list).map(({ ref }) => ref.execId),
          [null]
        )
        assert.deepStrictEqual(yield* (yield* MockWorld).descriptors, [])
        yield* atOnce("again", exec("job"))
      }))
  }

  test("in the making does not survive the deletion of its container", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      yield* running()
      yield* (yield* MockWorld).onOperation("exec", {}, { delay: "3 seconds", at: "after" })
      const making = yield* waits("exec", exec("job"))
      yield* host.delete(web)
      yield* TestClock.adjust("10 seconds")
      yield* atOnce("exec", Effect.exit(Fiber.join(making)))
      assert.deepStrictEqual(yield* left, nothing)
    }))

  test("is killed and forgotten with its exit as the answer", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      yield* running()
      yield* exec("job")
      assert.strictEqual((yield* atOnce("delete", host.deleteExec({ ...web, execId: job })))?.exitStatus, 137)
      yield* atOnce("again", exec("job", ["true"]))
    }))

  test(
    "of a frozen container dies all the same, and the others stay frozen",
    () =>
      Effect.gen(function* () {
        const host = yield* ProcessHost
        yield* running()
        yield* exec("job")
        yield* exec("other")
        yield* host.pause(web)
        const deleting = yield* waits("delete", host.deleteExec({ ...web, execId: job }))
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* atOnce("delete", Fiber.join(deleting)))?.exitStatus, 137)
        const { lines } = yield* watching
        assert.deepStrictEqual(lines, ["snapshot other:- web:-"])
        assert.match(yield* failure(exec("third")), /paused/)
        yield* atOnce("resume", host.resume(web))
      }).pipe(Effect.scoped),
    { freezer: "v1" }
  )

  test(
    "that cannot be killed is not waited for without end",
    () =>
      Effect.gen(function* () {
        const host = yield* ProcessHost
        yield* running()
        yield* exec("job")
        yield* host.pause(web)
        yield* (yield* MockWorld).failNext("resume", failed("resume", "no"))
        const deleting = yield* waits("delete", host.deleteExec({ ...web, execId: job }))
        yield* TestClock.adjust("11 seconds")
        assert.match(
          yield* atOnce("delete", failure(Fiber.join(deleting))),
          /^Unavailable: exec "job": it does not end/
        )
        yield* host.resume(web)
        yield* settled
        assert.strictEqual((yield* atOnce("again", host.deleteExec({ ...web, execId: job })))?.exitStatus, 137)
      }),
    { freezer: "v1" }
  )
})

describe("watchers", () => {
  test("each get all that there is, then all that happens", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const early = yield* watching
      yield* running(sh("sleep 1; exit 1"))
      yield* exec("job", sh("exit 2"))
      yield* settled
      const middle = yield* watching
      yield* TestClock.adjust("1 second")
      const late = yield* watching
      assert.deepStrictEqual(early.lines, ["snapshot ", "job 2", "web 1"])
      assert.deepStrictEqual(middle.lines, ["snapshot job:2 web:-", "web 1"])
      assert.deepStrictEqual(late.lines, ["snapshot job:2 web:1"])
      yield* host.delete(web)
      assert.deepStrictEqual((yield* watching).lines, ["snapshot "])
    }).pipe(Effect.scoped))
})
