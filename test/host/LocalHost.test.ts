/** The host's own promises on the pretended machine: what a call that does not come to its end leaves behind, who is told what in which order, and taking over. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Logger, Option, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as LocalHost from "../../src/host/LocalHost.ts"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ResourceExhausted, Unavailable } from "../../src/schema/Errors.ts"
import type { HostedRecord, HostEvent } from "../../src/schema/Host.ts"
import { ExecId, RuntimeName } from "../../src/schema/Ids.ts"
import { defaultStdio } from "../../src/schema/Process.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import { processOf, refOf, sh, specOf, text } from "../layers/mock/support.ts"
import { atOnce, failure, settled, waits } from "../support/atOnce.ts"
import { machine } from "../support/pretended.ts"

const io = { stdio: defaultStdio, logFile: "/memory/log" }
const runtime = RuntimeName.make("auto")
const forever = ["sleep", "inf"]
const job = ExecId.make("job")
const web = refOf("web")
const full = new ResourceExhausted({ resource: "disk", limit: 1 })
const gone = new Unavailable({ what: "disk", problem: "gone", mend: null })

/** What goes wrong in the task folders, by the name of the method; one entry a call. */
class Disk extends Context.Service<
  Disk,
  {
    readonly fail: (times: number, match?: (record: HostedRecord) => boolean) => Effect.Effect<void>
    readonly failCreate: Effect.Effect<void>
    /** How many records were to be saved so far. */
    readonly saves: Effect.Effect<number>
    /** Every save of such a record takes so long. */
    readonly slow: (milliseconds: number, match?: (record: HostedRecord) => boolean) => Effect.Effect<void>
  }
>()("berth/test/Disk") {}

const disk = Layer.effectContext(
  Effect.gen(function* () {
    const inner = yield* TaskDirectory
    const any = () => true
    let rule: { match: (record: HostedRecord) => boolean; left: number } = { match: any, left: 0 }
    let delay: { match: (record: HostedRecord) => boolean; milliseconds: number } = { match: any, milliseconds: 0 }
    let failCreate = false
    let saves = 0
    const directory = TaskDirectory.of({
      ...inner,
      create: (...args) =>
        Effect.suspend(() => {
          if (!failCreate) return inner.create(...args)
          failCreate = false
          return Effect.fail(full)
        }),
      save: (record) =>
        Effect.suspend(() => {
          saves++
          const slow = delay.milliseconds > 0 && delay.match(record) ? Effect.sleep(delay.milliseconds) : Effect.void
          if (rule.left === 0 || !rule.match(record)) return Effect.andThen(slow, inner.save(record))
          rule.left--
          return Effect.fail(full)
        })
    })
    return Context.make(TaskDirectory, directory).pipe(
      Context.add(
        Disk,
        Disk.of({
          fail: (left, match = any) => Effect.sync(() => void (rule = { match, left })),
          saves: Effect.sync(() => saves),
          failCreate: Effect.sync(() => void (failCreate = true)),
          slow: (milliseconds, match = any) => Effect.sync(() => void (delay = { match, milliseconds }))
        })
      )
    )
  })
)

const ground = (options: Parameters<typeof machine>[0] = {}) =>
  disk.pipe(Layer.provideMerge(machine(options)), Layer.provide(Logger.layer([])))
type Ground = Layer.Success<ReturnType<typeof ground>>

const test = (name: string, body: () => Effect.Effect<void, unknown, Ground | ProcessHost>, options: Parameters<typeof machine>[0] = {}) =>
  it.effect(name, () => body().pipe(Effect.provide(LocalHost.layer.pipe(Layer.provideMerge(ground(options))))))

const create = (args: ReadonlyArray<string> = forever, id = "web") =>
  Effect.flatMap(ProcessHost, (host) => host.create({ ...refOf(id), runtime, spec: specOf(args), ...io }))
const running = Effect.fnUntraced(function* (args: ReadonlyArray<string> = forever, id = "web") {
  const made = yield* create(args, id)
  yield* (yield* ProcessHost).start(refOf(id))
  return made
})
const exec = (execId: string, args: ReadonlyArray<string> = forever) =>
  Effect.flatMap(ProcessHost, (host) => host.exec({ ...web, execId: ExecId.make(execId), process: processOf(args), ...io }))

/** Fails where somebody still tries to save something. */
const calm = Effect.gen(function* () {
  const { saves } = yield* Disk
  const before = yield* saves
  yield* TestClock.adjust("1 minute")
  assert.strictEqual(yield* saves, before, "it goes on trying to save")
})

/** Everything of a container that could be left: on disk, in the runtime, as a process, as a descriptor. */
const left = Effect.gen(function* () {
  const world = yield* MockWorld
  return {
    records: (yield* (yield* TaskDirectory).list).map(({ ref }) => ref.execId ?? ref.containerId),
    folder: Exit.isFailure(yield* Effect.exit(created)) ? "taken" : "free",
    containers: yield* world.containers,
    processes: (yield* world.processes(web)).length,
    descriptors: yield* world.descriptors
  }
})
/** Whether the folder of the id can be made: it is taken away again. */
const created = Effect.gen(function* () {
  const directory = yield* TaskDirectory
  yield* directory.create(web.namespace, web.containerId, specOf(forever))
  yield* directory.remove(web)
})
const nothing = { records: [], folder: "free", containers: [], processes: 0, descriptors: [] }

/** What a watcher is told from now on, in words, the snapshot first. */
const watching = Effect.gen(function* () {
  const lines: Array<string> = []
  const { watch } = yield* ProcessHost
  const fiber = yield* Effect.forkScoped(Stream.runForEach(watch, (event) => Effect.sync(() => void lines.push(word(event)))), {
    startImmediately: true
  })
  yield* settled
  return { lines, fiber }
})
const word = (event: HostEvent) => {
  switch (event._tag) {
    case "Snapshot":
      return `snapshot ${event.records.map(({ exit, ref }) => `${ref.execId ?? ref.containerId}:${exit?.exitStatus ?? "-"}`).join(" ")}`
    case "Exited":
      return `${event.ref.execId ?? event.ref.containerId} ${event.exit.exitStatus}`
    case "Oom":
      return "oom"
  }
}

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
      }))
  }

  test("not even where the runtime cannot undo it: its descriptors are closed", () =>
    Effect.gen(function* () {
      yield* (yield* Disk).fail(1)
      yield* (yield* MockWorld).failNext("delete", failed("delete", "busy"))
      assert.match(yield* failure(create()), /^ResourceExhausted/)
      assert.deepStrictEqual(yield* (yield* MockWorld).descriptors, [])
      assert.deepInclude(yield* left, { records: [], folder: "free" })
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
      const calls = [host.start(web), host.pause(web), host.resume(web), host.pids(web), host.signal({ ref: web, signal: 9, all: false })]
      for (const call of [...calls, exec("job"), host.writeStdin({ ref: web, bytes }), host.closeStdin(web)]) {
        assert.match(yield* failure(Effect.asVoid(call)), /^NotFound: task "web"/)
      }
      yield* running()
      assert.isNull(yield* host.deleteExec({ ...web, execId: job }))
      assert.match(yield* failure(host.signal({ ref: { ...web, execId: job }, signal: 9, all: false })), /^NotFound: exec "job"/)
    }))
})

describe("exits", () => {
  test("of execs are told before that of their init, which kills them", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const { lines } = yield* watching
      yield* running()
      for (const id of ["a", "b", "c"]) yield* exec(id)
      yield* host.signal({ ref: web, signal: 9, all: false })
      yield* settled
      assert.deepStrictEqual([...lines.slice(1, 4)].sort(), ["a 137", "b 137", "c 137"])
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

  test("are complete: a start that is being written down does not undo one", () =>
    Effect.gen(function* () {
      yield* create(sh("exit 3"))
      yield* (yield* Disk).slow(1_000)
      const starting = yield* waits("start", Effect.flatMap(ProcessHost, (host) => host.start(web)))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(starting)
      const saved = Option.getOrNull(yield* (yield* TaskDirectory).load(web))
      assert.deepStrictEqual([saved?.started, saved?.exit?.exitStatus], [true, 3])
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
        assert.deepStrictEqual((yield* (yield* TaskDirectory).list).map(({ ref }) => ref.execId), [null])
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

  test("that cannot be killed is not waited for without end", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      yield* running()
      yield* exec("job")
      yield* host.pause(web)
      const deleting = yield* waits("delete", host.deleteExec({ ...web, execId: job }))
      yield* TestClock.adjust("11 seconds")
      assert.match(yield* atOnce("delete", failure(Fiber.join(deleting))), /^Unavailable: exec "job": it does not end/)
      yield* host.resume(web)
      yield* settled
      assert.strictEqual((yield* atOnce("again", host.deleteExec({ ...web, execId: job })))?.exitStatus, 137)
    }), { freezer: "v1" })
})

describe("start, pause and resume", () => {
  for (const at of ["before", "after"] as const) {
    test(`come to their end though their caller goes away ${at} they act, and the record says so`, () =>
      Effect.gen(function* () {
        const host = yield* ProcessHost
        const world = yield* MockWorld
        const record = Effect.map(Effect.flatMap(TaskDirectory, (directory) => directory.load(web)), Option.getOrNull)
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

  test("have happened also where they cannot be written down", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      yield* create()
      yield* (yield* Disk).fail(2)
      yield* atOnce("start", host.start(web))
      yield* atOnce("pause", host.pause(web))
      const snapshot = yield* Effect.map(Stream.runHead(host.watch), Option.getOrThrow)
      assert.deepInclude(snapshot._tag === "Snapshot" ? snapshot.records[0] : null, { started: true, paused: true })
    }))

  test("end with a deletion, whatever they hang on, also where KILL does not reach the frozen", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const world = yield* MockWorld
      for (const [operation, at] of [["start", "before"], ["start", "after"], ["pause", "before"], ["pause", "after"]] as const) {
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
    }), { freezer: "v1" })
})

describe("a deletion", () => {
  test("kills what runs, frozen or not, and answers every exit", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      for (const freeze of [false, true]) {
        yield* running()
        yield* exec("job")
        if (freeze) yield* host.pause(web)
        const { execs, init } = yield* atOnce("delete", host.delete(web))
        assert.deepStrictEqual([init?.exitStatus, execs.map(({ execId, exit }) => [execId, exit.exitStatus])], [137, [[job, 137]]])
        assert.deepStrictEqual(yield* left, nothing)
      }
    }), { freezer: "v1" })

  test("that the runtime refuses leaves the container, to be deleted later with the same answer", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      yield* running(sh("exit 4"))
      yield* settled
      yield* (yield* MockWorld).failNext("delete", failed("delete", "busy"))
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

describe("a host that follows another", () => {
  /** One life of a host. What it has begun is cut off with it. */
  const life = Effect.fnUntraced(function* <A, E, R>(body: Effect.Effect<A, E, R | ProcessHost>) {
    const scope = yield* Scope.make()
    const services = yield* atOnce("boot", Layer.build(Layer.fresh(LocalHost.layer)).pipe(Scope.provide(scope)))
    const result = yield* Effect.provideContext(body, services)
    yield* Scope.close(scope, Exit.void)
    return result
  })
  const test = (name: string, body: () => Effect.Effect<void, unknown, Ground>) => it.effect(name, () => body().pipe(Effect.provide(ground())))

  test("takes over what runs: same processes, their signals, exits, output and deletion", () =>
    Effect.gen(function* () {
      const made = yield* life(
        Effect.gen(function* () {
          const made = yield* running(sh("echo one; sleep 5; echo two; sleep inf"))
          yield* exec("job", forever)
          return made
        })
      )
      assert.strictEqual((yield* (yield* MockWorld).processes(web)).length, 2)
      yield* life(
        Effect.gen(function* () {
          const host = yield* ProcessHost
          const { lines } = yield* watching
          assert.deepStrictEqual(lines, ["snapshot job:- web:-"])
          assert.include(yield* host.pids(web), made.identity.pid)
          yield* TestClock.adjust("6 seconds")
          assert.strictEqual(yield* text("web"), "one\ntwo\n")
          yield* exec("more", sh("exit 6"))
          yield* settled
          yield* host.signal({ ref: web, signal: 9, all: false })
          yield* settled
          assert.deepStrictEqual(lines.slice(1), ["more 6", "job 137", "web 137"])
          assert.strictEqual((yield* host.delete(web)).init?.exitStatus, 137)
        })
      )
      assert.deepStrictEqual(yield* left, nothing)
    }).pipe(Effect.scoped))

  test("tells again what was told, word for word, and does not tell it twice", () =>
    Effect.gen(function* () {
      const load = Effect.flatMap(TaskDirectory, (directory) => directory.load(web))
      yield* life(Effect.andThen(running(sh("exit 5")), settled))
      const before = yield* load
      yield* TestClock.adjust("1 hour")
      yield* life(
        Effect.gen(function* () {
          const { lines } = yield* watching
          yield* TestClock.adjust("1 minute")
          assert.deepStrictEqual(lines, ["snapshot web:5"])
          assert.deepStrictEqual((yield* (yield* ProcessHost).delete(web)).init, Option.getOrNull(before)?.exit)
        })
      )
    }).pipe(Effect.scoped))

  test("keeps a paused container paused", () =>
    Effect.gen(function* () {
      yield* life(Effect.andThen(running(), Effect.flatMap(ProcessHost, (host) => host.pause(web))))
      yield* life(
        Effect.gen(function* () {
          const host = yield* ProcessHost
          const snapshot = yield* Effect.map(Stream.runHead(host.watch), Option.getOrThrow)
          assert.isTrue(snapshot._tag === "Snapshot" && snapshot.records[0]?.paused)
          yield* host.resume(web)
          assert.strictEqual((yield* atOnce("delete", host.delete(web))).init?.exitStatus, 137)
        })
      )
    }))

  test("says unknown where the pid is another's by now, and leaves that one alone", () =>
    Effect.gen(function* () {
      const directory = yield* TaskDirectory
      yield* life(running())
      const record = Option.getOrThrow(yield* directory.load(web))
      yield* directory.save({ ...record, identity: { ...record.identity, startTime: "999" } })
      yield* life(
        Effect.gen(function* () {
          const { lines } = yield* watching
          yield* TestClock.adjust("5 seconds")
          assert.deepStrictEqual(lines, ["snapshot web:-", "web 255"])
          assert.strictEqual((yield* (yield* MockWorld).processes(web)).length, 1)
        })
      )
    }).pipe(Effect.scoped))

  test("takes over the others where it cannot take over one", () =>
    Effect.gen(function* () {
      const directory = yield* TaskDirectory
      yield* life(Effect.andThen(running(forever, "bad"), running(forever, "web")))
      const bad = Option.getOrThrow(yield* directory.load(refOf("bad")))
      yield* directory.save({ ...bad, runtime: RuntimeName.make("absent") })
      yield* life(
        Effect.gen(function* () {
          const { lines } = yield* watching
          assert.deepStrictEqual(lines, ["snapshot web:-"])
        })
      )
      assert.deepStrictEqual((yield* (yield* MockWorld).descriptors).length, 0)
    }).pipe(Effect.scoped))

  test("goes on with the exit that the one before could not write down", () =>
    Effect.gen(function* () {
      yield* life(
        Effect.gen(function* () {
          yield* running()
          yield* (yield* Disk).fail(1_000_000, ({ exit }) => exit !== null)
          yield* (yield* ProcessHost).signal({ ref: web, signal: 9, all: false })
          yield* TestClock.adjust("5 seconds")
        })
      )
      yield* (yield* Disk).fail(0)
      yield* life(
        Effect.gen(function* () {
          const { lines } = yield* watching
          yield* settled
          // The process is gone and waited for: nobody knows its code any more, but that it has ended.
          assert.match(lines.join(), /web(:| )255/)
        })
      )
    }).pipe(Effect.scoped))
})
