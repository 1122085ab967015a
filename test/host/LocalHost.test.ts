/** The host on the pretended machine: what a call that does not come to its end leaves behind, and what a deletion ends. */
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { PermissionDenied } from "../../src/schema/Errors.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { ProcessReaper } from "../../src/services/ProcessReaper.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import { sh } from "../layers/mock/support.ts"
import { atOnce, failure, settled, waits } from "../support/atOnce.ts"
import {
  calm,
  create,
  Disk,
  exec,
  gone,
  job,
  left,
  life,
  nothing,
  running,
  test,
  testOfLives,
  watching,
  web
} from "./support.ts"

describe("a create that fails leaves nothing, and the id is free", () => {
  const cases: Record<string, Effect.Effect<void, never, MockWorld | Disk>> = {
    "making its folder": Effect.flatMap(Disk, ({ failCreate }) => failCreate),
    "opening its streams": Effect.flatMap(MockWorld, (world) => world.failNext("open", gone)),
    "in the runtime": Effect.flatMap(MockWorld, (world) => world.failNext("create", failed("create", "no"))),
    "in the runtime, after it acted": Effect.flatMap(MockWorld, (world) =>
      world.onOperation("create", {}, { at: "after", fail: failed("create", "no"), times: 1 })
    ),
    "saving its record": Effect.flatMap(Disk, (disk) => disk.fail(1))
  }
  for (const [step, breaking] of Object.entries(cases)) {
    test(step, () =>
      Effect.gen(function* () {
        yield* breaking
        assert.match(yield* failure(create()), /^(ResourceExhausted|Unavailable|RuntimeFailed)/)
        assert.deepStrictEqual(yield* left, nothing)
        yield* atOnce("again", create())
        assert.strictEqual((yield* (yield* ProcessHost).delete(web)).init?.exitStatus, 137)
        assert.deepStrictEqual(yield* left, nothing)
      })
    )
  }

  test("but for its folder where the runtime cannot undo it: by that the next create does", () =>
    Effect.gen(function* () {
      yield* (yield* Disk).fail(1)
      yield* (yield* MockWorld).failNext("delete", failed("delete", "busy"))
      assert.match(yield* failure(create()), /^ResourceExhausted/)
      assert.deepStrictEqual(yield* (yield* MockWorld).descriptors, [])
      assert.deepInclude(yield* left, { records: [], folder: "taken", processes: 1 })
      yield* create()
      assert.deepInclude(yield* left, { folder: "taken", processes: 1, containers: ["default/web"] })
    }))
})

describe("a create that is interrupted leaves nothing, and the id is free", () => {
  const hang = (at: "before" | "after") => Effect.flatMap(MockWorld, (world) => world.hang("create", {}, at))
  const delayed = (operation: "open" | "claim") =>
    Effect.flatMap(MockWorld, (world) => world.onOperation(operation, {}, { delay: "1 second", times: 1 }))
  const cases: Record<string, Effect.Effect<void, never, MockWorld | Disk>> = {
    "opening its streams": delayed("open"),
    "before the runtime acts": hang("before"),
    "after it acted": hang("after"),
    "claiming its process": delayed("claim"),
    "saving its record": Effect.flatMap(Disk, (disk) => disk.slow(1_000))
  }
  for (const [step, breaking] of Object.entries(cases)) {
    for (const by of ["its caller", "a deletion"]) {
      test(`${step}, by ${by}`, () =>
        Effect.gen(function* () {
          const host = yield* ProcessHost
          yield* breaking
          const creating = yield* waits("create", create())
          const ending = yield* Effect.forkChild(by === "its caller" ? Fiber.interrupt(creating) : host.delete(web))
          yield* TestClock.adjust("5 seconds")
          yield* atOnce("the end", Fiber.join(ending))
          if (Exit.isSuccess(yield* atOnce("create", Fiber.await(creating)))) yield* host.delete(web)
          yield* (yield* MockWorld).release("create")
          yield* (yield* Disk).slow(0)
          assert.deepStrictEqual(yield* left, nothing)
          yield* atOnce("again", create())
        }))
    }
  }

  test("another create of that id meanwhile is refused and does not disturb it", () =>
    Effect.gen(function* () {
      yield* (yield* MockWorld).hang("create")
      const creating = yield* waits("create", create())
      assert.match(yield* atOnce("second", failure(create())), /^AlreadyExists/)
      yield* (yield* MockWorld).release("create")
      yield* atOnce("first", Fiber.join(creating))
      assert.match(yield* atOnce("third", failure(create())), /^AlreadyExists/)
    }))
})

describe("what is not there", () => {
  test("a deletion of it is empty; anything else is NotFound", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      assert.deepStrictEqual(yield* host.delete(web), { init: null, execs: [] })
      assert.isNull(yield* host.deleteExec({ ...web, execId: job }))
      const bytes = new Uint8Array([1])
      const calls = [
        host.start(web),
        host.pause(web),
        host.resume(web),
        host.pids(web),
        host.signal({ ref: web, signal: 9, all: false })
      ]
      for (const call of [...calls, exec("job"), host.writeStdin({ ref: web, bytes }), host.closeStdin(web)]) {
        assert.match(yield* failure(Effect.asVoid(call)), /^NotFound: task "web"/)
      }
      yield* running()
      assert.isNull(yield* host.deleteExec({ ...web, execId: job }))
      assert.match(
        yield* failure(host.signal({ ref: { ...web, execId: job }, signal: 9, all: false })),
        /^NotFound: exec "job"/
      )
    }))
})

describe("start, pause and resume", () => {
  for (const at of ["before", "after"] as const) {
    test(`come to their end though their caller goes away ${at} they act, and the record says so`, () =>
      Effect.gen(function* () {
        const host = yield* ProcessHost
        const world = yield* MockWorld
        const record = Effect.map(
          Effect.flatMap(TaskDirectory, (directory) => directory.load(web)),
          Option.getOrNull
        )
        yield* create()
        for (const operation of ["start", "pause", "resume"] as const) {
          yield* world.hang(operation, {}, at)
          yield* Fiber.interrupt(yield* waits(operation, host[operation](web)))
          yield* world.release(operation)
          yield* settled
          const { paused, started } = (yield* record) ?? {}
          assert.deepStrictEqual([operation, started, paused], [operation, true, operation === "pause"])
        }
      }))
  }

  test("are told to whoever watches where their callers are gone, and only there", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const world = yield* MockWorld
      const { lines } = yield* watching
      yield* create()
      for (const operation of ["start", "pause", "resume"] as const) {
        yield* world.hang(operation, {}, "after")
        yield* Fiber.interrupt(yield* waits(operation, host[operation](web)))
        yield* world.release(operation)
        yield* settled
      }
      yield* host.pause(web)
      yield* host.resume(web)
      yield* world.onOperation("pause", {}, { delay: "1 second", fail: failed("pause", "no"), times: 1 })
      yield* Fiber.interrupt(yield* waits("pause", host.pause(web)))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(lines, ["snapshot ", "web started", "web paused", "web resumed"])
    }).pipe(Effect.scoped))

  test("of a pause that failed nothing is left frozen", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      yield* running()
      yield* (yield* MockWorld).onOperation("pause", {}, { at: "after", fail: failed("pause", "late"), times: 1 })
      assert.match(yield* failure(host.pause(web)), /^RuntimeFailed/)
      yield* atOnce("exec", exec("job"))
    }))

  test("have happened also where they cannot be written down", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      yield* create()
      yield* (yield* Disk).fail(2, ({ freezing }) => freezing !== true)
      yield* atOnce("start", host.start(web))
      yield* atOnce("pause", host.pause(web))
      const snapshot = yield* Effect.map(Stream.runHead(host.watch), Option.getOrThrow)
      assert.deepInclude(snapshot._tag === "Snapshot" ? snapshot.records[0] : null, { started: true, paused: true })
    }))

  test(
    "end with a deletion, whatever they hang on, also where KILL does not reach the frozen",
    () =>
      Effect.gen(function* () {
        const host = yield* ProcessHost
        const world = yield* MockWorld
        for (const [operation, at] of [
          ["start", "before"],
          ["start", "after"],
          ["pause", "before"],
          ["pause", "after"]
        ] as const) {
          yield* operation === "start" ? Effect.asVoid(create()) : Effect.asVoid(running())
          yield* world.hang(operation, {}, at)
          const hung = yield* waits(operation, host[operation](web))
          const deleting = yield* Effect.forkChild(host.delete(web), { startImmediately: true })
          yield* settled
          assert.isDefined(deleting.pollUnsafe(), `${operation} ${at}`)
          assert.strictEqual((yield* Fiber.join(deleting)).init?.exitStatus, 137)
          assert.isTrue(Exit.isFailure(yield* atOnce(operation, Fiber.await(hung))))
          yield* world.release(operation)
          assert.deepStrictEqual(yield* left, nothing)
        }
      }),
    { freezer: "v1" }
  )
})

describe("the end of init is told", () => {
  const denied = new PermissionDenied({ problem: "another user's" })
  testOfLives(
    "though an exec may not be ended, whose own end is told when it comes",
    () =>
      Effect.gen(function* () {
        const inner = yield* ProcessReaper
        let denies = 0
        const reaper = ProcessReaper.of({
          ...inner,
          signal: (identity, signal) =>
            Effect.suspend((): ReturnType<typeof inner.signal> =>
              identity.pid === denies ? Effect.fail(denied) : inner.signal(identity, signal)
            )
        })
        yield* life(
          Effect.gen(function* () {
            const host = yield* ProcessHost
            const { lines } = yield* watching
            yield* running(sh("sleep 1; exit 4"))
            // The runtime may not end it either.
            yield* (yield* MockWorld).onOperation("delete", {}, { fail: failed("delete", "not permitted") })
            denies = (yield* exec("job", sh("sleep 10; exit 3"))).identity.pid
            assert.match(
              yield* failure(host.signal({ ref: { ...web, execId: job }, signal: 9, all: false })),
              /^PermissionDenied/
            )
            yield* TestClock.adjust("5 seconds")
            assert.deepStrictEqual(lines, ["snapshot ", "web 4"])
            yield* TestClock.adjust("10 seconds")
            assert.deepStrictEqual(lines.slice(2), ["job 3"])
          })
        ).pipe(Effect.provideService(ProcessReaper, reaper))
      }).pipe(Effect.scoped),
    { capabilities: ["exec"] }
  )

  testOfLives(
    "whatever defect there is in what only adds to it",
    () =>
      Effect.gen(function* () {
        const reaper = yield* ProcessReaper
        const broken = ProcessReaper.of({ ...reaper, signal: () => Effect.die("no such case") })
        yield* life(
          Effect.gen(function* () {
            const { lines } = yield* watching
            yield* running(sh("sleep 1; exit 4"))
            yield* exec("job", sh("sleep 10; exit 3"))
            yield* TestClock.adjust("5 seconds")
            assert.include(lines, "web 4")
          })
        ).pipe(Effect.provideService(ProcessReaper, broken))
      }).pipe(Effect.scoped),
    { capabilities: ["exec"] }
  )
})

describe("a deletion", () => {
  test("asked for twice at once happens once, and spares the next container of that name", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const world = yield* MockWorld
      yield* running()
      yield* world.hang("delete")
      const first = yield* waits("first", host.delete(web))
      const second = yield* waits("second", host.delete(web))
      yield* world.release("delete")
      const answer = yield* atOnce("first", Fiber.join(first))
      yield* atOnce("create", running())
      assert.deepStrictEqual(yield* atOnce("second", Fiber.join(second)), answer)
      assert.strictEqual(answer.init?.exitStatus, 137)
      assert.strictEqual((yield* host.pids(web)).length, 1)
    }))

  test(
    "kills what runs, frozen or not, and answers every exit",
    () =>
      Effect.gen(function* () {
        const host = yield* ProcessHost
        for (const freeze of [false, true]) {
          yield* running()
          yield* exec("job")
          if (freeze) yield* host.pause(web)
          const { execs, init } = yield* atOnce("delete", host.delete(web))
          assert.deepStrictEqual(
            [init?.exitStatus, execs.map(({ execId, exit }) => [execId, exit.exitStatus])],
            [137, [[job, 137]]]
          )
          assert.deepStrictEqual(yield* left, nothing)
        }
      }),
    { freezer: "v1" }
  )

  test("waits for one that is under way, so that none comes late and hits the next container of that name", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const world = yield* MockWorld
      yield* running()
      // The newest rule counts first: the runtime does not forget the container by itself, so that the deletion asks it, and waits.
      yield* world.onOperation("delete", {}, { delay: "5 seconds", times: 1 })
      yield* world.failNext("delete", failed("delete", "busy"))
      const first = yield* waits("the first", host.delete(web))
      const second = yield* waits("the second", host.delete(web))
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual((yield* atOnce("the first", Fiber.join(first))).init?.exitStatus, 137)
      assert.strictEqual((yield* atOnce("the second", Fiber.join(second))).init?.exitStatus, 137)
      yield* running()
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* world.processes(web)).length, 1)
    }))

  test("that the runtime refuses leaves the container, to be deleted later with the same answer", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      // Once for the end of the container, once for the deletion.
      yield* (yield* MockWorld).onOperation("delete", {}, { fail: failed("delete", "busy"), times: 2 })
      yield* running(sh("exit 4"))
      yield* settled
      assert.match(yield* failure(host.delete(web)), /^RuntimeFailed/)
      assert.strictEqual((yield* host.delete(web)).init?.exitStatus, 4)
      assert.deepStrictEqual(yield* left, nothing)
    }))

  test("ends the wait for an exit that never came to disk", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      yield* running()
      yield* (yield* Disk).fail(1_000_000, ({ exit }) => exit !== null)
      const deleting = yield* Effect.forkChild(host.delete(web))
      yield* TestClock.adjust("30 seconds")
      yield* atOnce("delete", Fiber.join(deleting))
      assert.deepStrictEqual(yield* left, nothing)
      const { lines } = yield* watching
      yield* calm
      yield* (yield* Disk).fail(0)
      assert.deepStrictEqual(lines, ["snapshot "])
    }).pipe(Effect.scoped))

  test("a deletion of an exec that is being started waits, and finds it", () =>
    Effect.gen(function* () {
      const [disk, host, world] = [yield* Disk, yield* ProcessHost, yield* MockWorld]
      yield* running()
      yield* disk.slow(100, ({ ref }) => ref.execId !== null)
      yield* Effect.forkChild(Effect.exit(exec("job")))
      yield* TestClock.adjust("50 millis")
      assert.lengthOf(yield* world.processes(web), 2)
      const deletion = yield* Effect.forkChild(host.deleteExec({ ...web, execId: job }))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(deletion))?.exitStatus, 137)
      assert.lengthOf(yield* world.processes(web), 1)
      assert.isNull(yield* host.deleteExec({ ...web, execId: job }))
    }))

  // The runtime's own work is done by then: only the answer that the record is saved comes late.
  testOfLives("closes what an exec holds that comes to its end within it", () =>
    Effect.gen(function* () {
      const [directory, world] = [yield* TaskDirectory, yield* MockWorld]
      const late = TaskDirectory.of({
        ...directory,
        save: (record) =>
          Effect.tap(directory.save(record), () =>
            record.ref.execId === null ? Effect.void : Effect.sleep("1 second")
          )
      })
      yield* life(
        Effect.gen(function* () {
          const host = yield* ProcessHost
          yield* running()
          const starting = yield* waits("exec", exec("job"))
          assert.strictEqual((yield* atOnce("delete", host.delete(web))).init?.exitStatus, 137)
          yield* TestClock.adjust("1 minute")
          assert.match(yield* atOnce("exec", failure(Fiber.join(starting))), /^NotFound: task "web"/)
          assert.deepStrictEqual(yield* world.descriptors, [])
        })
      ).pipe(Effect.provideService(TaskDirectory, late))
      assert.deepStrictEqual(yield* left, nothing)
    })
  )
})
