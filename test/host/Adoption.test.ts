/** One host after another on the same machine: the second knows what the first one knew, and what has happened in between. */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Stream } from "effect"
import type { Duration } from "effect"
import { TestClock } from "effect/testing"
import * as LocalHost from "../../src/host/LocalHost.ts"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { Unavailable } from "../../src/schema/Errors.ts"
import { ContainerId, RuntimeName } from "../../src/schema/Ids.ts"
import { OciRuntime } from "../../src/services/OciRuntime.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { ProcessReaper } from "../../src/services/ProcessReaper.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import { processOf, refOf, sh, specOf, text } from "../layers/mock/support.ts"
import { atOnce, failure, settled } from "../support/atOnce.ts"
import {
  Disk,
  exec,
  forever,
  full,
  gone,
  job,
  left,
  life,
  nothing,
  running,
  testOfLives as test,
  watching,
  web
} from "./support.ts"

/** One life of a host that takes some time to begin. */
const lifeThatBegins =
  (time: Duration.Input) =>
  <A, E, R>(body: Effect.Effect<A, E, R | ProcessHost>) =>
    Effect.gen(function* () {
      const building = yield* Effect.forkChild(Layer.build(Layer.fresh(LocalHost.layer)))
      yield* TestClock.adjust(time)
      return yield* Effect.provideContext(body, yield* atOnce("boot", Fiber.join(building)))
    }).pipe(Effect.scoped)

describe("a host that follows another", () => {
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

  test("undoes what was being made: the folder, and the container in it", () =>
    Effect.gen(function* () {
      const [directory, runtime] = [yield* TaskDirectory, yield* OciRuntime]
      const { containerId, namespace } = web
      const driver = yield* runtime.driver(RuntimeName.make("auto"))
      const bundle = yield* directory.create(namespace, containerId, specOf(forever))
      yield* driver.create({ namespace, containerId, bundle }, { stdin: null, stdout: null, stderr: null })
      yield* directory.create(namespace, ContainerId.make("empty"), specOf(forever))
      assert.deepStrictEqual(
        (yield* directory.unrecorded).map((ref) => String(ref.containerId)),
        ["empty", "web"]
      )
      yield* life(
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* directory.unrecorded, [])
          assert.deepStrictEqual(yield* left, nothing)
          yield* running(forever)
          yield* (yield* ProcessHost).delete(web)
        })
      )
      assert.deepStrictEqual(yield* left, nothing)
    }))

  test("tries again what the runtime refuses to undo, and a deletion or a creation of that name does it at once", () =>
    Effect.gen(function* () {
      const [directory, runtime, world] = [yield* TaskDirectory, yield* OciRuntime, yield* MockWorld]
      const { containerId, namespace } = web
      const driver = yield* runtime.driver(RuntimeName.make("auto"))
      const halfMade = Effect.gen(function* () {
        const bundle = yield* directory.create(namespace, containerId, specOf(forever))
        yield* driver.create({ namespace, containerId, bundle }, { stdin: null, stdout: null, stderr: null })
        yield* world.onOperation("delete", {}, { fail: failed("delete", "busy"), times: 1 })
      })
      for (const [what, undoing] of [
        ["time", TestClock.adjust("2 seconds")],
        ["deletion", Effect.flatMap(ProcessHost, (host) => host.delete(web))],
        [
          "creation",
          Effect.andThen(
            running(),
            Effect.flatMap(ProcessHost, (host) => host.delete(web))
          )
        ]
      ] as const) {
        yield* halfMade
        yield* life(
          Effect.gen(function* () {
            assert.lengthOf(yield* directory.unrecorded, 1, what)
            yield* undoing
            assert.deepStrictEqual(yield* left, nothing, what)
            // What is tried again later finds nothing to do, and leaves the next one of that name alone.
            yield* running()
            yield* TestClock.adjust("5 seconds")
            assert.strictEqual((yield* world.processes(web)).length, 1, what)
            yield* (yield* ProcessHost).delete(web)
          })
        )
      }
    }))

  // The first time, at boot, it cannot.
  for (const refusals of [1, 2]) {
    test(`ends the exec that nobody came to write down${refusals > 1 ? ", and leaves the next one of its name alone" : ""}`, () =>
      Effect.gen(function* () {
        const [directory, runtime, world] = [yield* TaskDirectory, yield* OciRuntime, yield* MockWorld]
        const { containerId, namespace } = web
        yield* life(running())
        yield* directory.prepareExec(namespace, containerId, job)
        const driver = yield* runtime.driver(RuntimeName.make("auto"))
        const target = { namespace, containerId, bundle: directory.directory(web) }
        yield* driver.exec(target, job, processOf(forever), { stdin: null, stdout: null, stderr: null })
        assert.lengthOf(yield* world.processes(web), 2)
        let left = refusals
        const leftAtWork: typeof driver.leftAtWork = (...of) =>
          Effect.suspend(() => (left-- > 0 ? Effect.fail(failed("pids", "busy")) : driver.leftAtWork(...of)))
        const refusing = OciRuntime.of({ ...runtime, driver: () => Effect.succeed({ ...driver, leftAtWork }) })
        yield* life(
          Effect.gen(function* () {
            if (refusals > 1) {
              yield* (yield* ProcessHost).delete(web)
              yield* running()
              yield* exec("job")
            }
            yield* TestClock.adjust("1 minute")
            assert.lengthOf(yield* directory.unrecorded, 0)
            assert.lengthOf(yield* world.processes(web), refusals > 1 ? 2 : 1)
            yield* (yield* ProcessHost).delete(web)
          })
        ).pipe(Effect.provideService(OciRuntime, refusing))
      }))
  }

  test("knows that one was started which ended before that could be written down", () =>
    Effect.gen(function* () {
      const directory = yield* TaskDirectory
      yield* life(running(sh("sleep 60; exit 5")))
      const record = Option.getOrThrow(yield* directory.load(web))
      yield* directory.save({ ...record, started: false })
      yield* TestClock.adjust("1 hour")
      yield* life(
        Effect.gen(function* () {
          const snapshot = yield* Effect.map(Stream.runHead((yield* ProcessHost).watch), Option.getOrThrow)
          assert.isTrue(snapshot._tag === "Snapshot" && snapshot.records[0]?.started)
        })
      )
    }))

  test("keeps a paused container paused", () =>
    Effect.gen(function* () {
      yield* life(
        Effect.andThen(
          running(),
          Effect.flatMap(ProcessHost, (host) => host.pause(web))
        )
      )
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

  test("knows that one goes on whose resume could not be written down", () =>
    Effect.gen(function* () {
      const directory = yield* TaskDirectory
      yield* life(
        Effect.gen(function* () {
          yield* running()
          const host = yield* ProcessHost
          yield* host.pause(web)
          const paused = Option.getOrThrow(yield* directory.load(web))
          yield* host.resume(web)
          yield* directory.save(paused)
        })
      )
      yield* life(
        Effect.gen(function* () {
          const host = yield* ProcessHost
          const snapshot = yield* Effect.map(Stream.runHead(host.watch), Option.getOrThrow)
          assert.isFalse(snapshot._tag === "Snapshot" && snapshot.records[0]?.paused)
          yield* host.pause(web)
        })
      )
    }))

  test("says unknown where a process ends while it is taken over, and another gets its pid at once", () =>
    Effect.gen(function* () {
      const reaper = yield* ProcessReaper
      yield* life(running())
      const claim: typeof reaper.claim = (pid) =>
        Effect.map(reaper.claim(pid), (child) => ({ ...child, identity: { ...child.identity, startTime: "999" } }))
      yield* life(
        Effect.gen(function* () {
          const { lines } = yield* watching
          yield* TestClock.adjust("5 seconds")
          assert.deepStrictEqual(lines, ["snapshot web:-", "web 255"])
        })
      ).pipe(Effect.provideService(ProcessReaper, ProcessReaper.of({ ...reaper, claim })))
    }).pipe(Effect.scoped))

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

  test("keeps what has lost its runtime, tells its exit, and removes it when the runtime is back", () =>
    Effect.gen(function* () {
      const directory = yield* TaskDirectory
      yield* life(Effect.andThen(running(forever, "bad"), running(forever, "web")))
      const bad = Option.getOrThrow(yield* directory.load(refOf("bad")))
      yield* directory.save({ ...bad, runtime: RuntimeName.make("absent") })
      yield* life(
        Effect.gen(function* () {
          const host = yield* ProcessHost
          const { lines } = yield* watching
          assert.deepStrictEqual(lines, ["snapshot bad:- web:-"])
          assert.deepStrictEqual(yield* host.pids(refOf("bad")), [bad.identity.pid])
          assert.match(yield* failure(host.pause(refOf("bad"))), /^Unavailable: runtime "absent"/)
          yield* host.signal({ ref: refOf("bad"), signal: 9, all: false })
          yield* settled
          assert.deepStrictEqual(lines.slice(1), ["bad 137"])
          assert.match(yield* failure(host.delete(refOf("bad"))), /^Unavailable: runtime "absent"/)
        })
      )
      const ended = Option.getOrThrow(yield* directory.load(refOf("bad")))
      yield* directory.save({ ...ended, runtime: bad.runtime })
      yield* life(
        Effect.gen(function* () {
          const host = yield* ProcessHost
          assert.strictEqual((yield* host.delete(refOf("bad"))).init?.exitStatus, 137)
          yield* host.delete(web)
        })
      )
      assert.deepStrictEqual(yield* left, nothing)
    }).pipe(Effect.scoped))

  const exhausted = new Unavailable({ what: "processes", problem: "cannot be looked at: EMFILE", mend: null })
  for (const [what, streams] of [
    ["cannot be looked at", false],
    ["has streams for which there is no descriptor", true]
  ] as const) {
    test(`keeps what ${what} as it is written down, and takes it over when that is to be had`, () =>
      Effect.gen(function* () {
        const [reaper, world] = [yield* ProcessReaper, yield* MockWorld]
        yield* life(
          Effect.gen(function* () {
            yield* running(sh("echo one; sleep 20; echo two; exit 5"))
            yield* exec("job", sh("sleep 10; exit 6"))
          })
        )
        let blind = true
        const unless = <A, E>(look: Effect.Effect<A, E>) =>
          Effect.suspend((): Effect.Effect<A, E | Unavailable> => (blind && !streams ? Effect.fail(exhausted) : look))
        const blinded = ProcessReaper.of({
          ...reaper,
          claim: (pid) => unless(reaper.claim(pid)),
          identify: (pid) => unless(reaper.identify(pid)),
          isAlive: (identity) => unless(reaper.isAlive(identity))
        })
        if (streams) yield* world.onOperation("open", {}, { fail: full })
        yield* life(
          Effect.gen(function* () {
            const { lines } = yield* watching
            assert.deepStrictEqual(lines, ["snapshot job:- web:-"])
            yield* TestClock.adjust("15 seconds")
            // One has ended by now, and nobody could see it.
            assert.lengthOf(lines, 1)
            blind = false
            if (streams) yield* world.onOperation("open", {}, {})
            yield* TestClock.adjust("1 second")
            assert.deepStrictEqual(lines.slice(1), ["job 6"])
            yield* TestClock.adjust("5 seconds")
            assert.deepStrictEqual(lines.slice(2), ["web 5"])
            assert.strictEqual(yield* text("web"), "one\ntwo\n")
            assert.strictEqual((yield* (yield* ProcessHost).delete(web)).init?.exitStatus, 5)
          })
        ).pipe(Effect.provideService(ProcessReaper, blinded))
        assert.deepStrictEqual(yield* left, nothing)
      }).pipe(Effect.scoped))
  }

  test("deletes what it could not take over yet", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      yield* life(running())
      yield* world.onOperation("open", {}, { fail: full })
      yield* life(
        Effect.gen(function* () {
          const deleting = yield* Effect.forkChild((yield* ProcessHost).delete(web))
          yield* TestClock.adjust("1 minute")
          yield* atOnce("delete", Fiber.join(deleting))
        })
      )
      assert.deepStrictEqual(yield* left, nothing)
    }))

  test("asks until it is told how a process has ended", () =>
    Effect.gen(function* () {
      const reaper = yield* ProcessReaper
      yield* life(running(sh("sleep 10; exit 6")))
      yield* TestClock.adjust("1 minute")
      let failures = 5
      const recall: typeof reaper.recall = (path) =>
        Effect.suspend(() => (failures-- > 0 ? Effect.fail(exhausted) : reaper.recall(path)))
      yield* life(
        Effect.gen(function* () {
          const { lines } = yield* watching
          assert.deepStrictEqual(lines, ["snapshot web:-"])
          yield* TestClock.adjust("10 seconds")
          assert.deepStrictEqual(lines.slice(1), ["web 6"])
        })
      ).pipe(Effect.provideService(ProcessReaper, ProcessReaper.of({ ...reaper, recall })))
    }).pipe(Effect.scoped))

  test("reads the records again while one cannot be read", () =>
    Effect.gen(function* () {
      const directory = yield* TaskDirectory
      yield* life(running())
      let failures = 3
      const list = Effect.suspend(() => (failures-- > 0 ? Effect.fail(exhausted) : directory.list))
      yield* Effect.gen(function* () {
        const { lines } = yield* watching
        assert.deepStrictEqual(lines, ["snapshot web:-"])
      }).pipe(
        Effect.scoped,
        lifeThatBegins("3 seconds"),
        Effect.provideService(TaskDirectory, TaskDirectory.of({ ...directory, list }))
      )
    }))

  test("keeps what has lost its streams, and tells its exit", () =>
    Effect.gen(function* () {
      yield* life(running())
      yield* (yield* MockWorld).failNext("open", gone)
      yield* life(
        Effect.gen(function* () {
          const host = yield* ProcessHost
          const { lines } = yield* watching
          assert.match(yield* failure(host.writeStdin({ ref: web, bytes: new Uint8Array([1]) })), /^NotFound/)
          yield* host.signal({ ref: web, signal: 9, all: false })
          yield* settled
          assert.deepStrictEqual(lines, ["snapshot web:-", "web 137"])
          // What it wrote nobody has read.
          assert.isTrue((yield* host.delete(web)).init?.truncated)
        })
      )
      assert.deepStrictEqual(yield* left, nothing)
    }).pipe(Effect.scoped))

  for (const at of ["before", "after"] as const) {
    test(`lets a container go on that its host was about to pause when it died, ${at} it was frozen`, () =>
      Effect.gen(function* () {
        const world = yield* MockWorld
        yield* life(running())
        yield* world.hang("pause", {}, at)
        yield* life(
          Effect.gen(function* () {
            const { pause } = yield* ProcessHost
            yield* Effect.forkDetach(pause(web), { startImmediately: true })
            yield* settled
          })
        )
        yield* world.release("pause")
        yield* life(
          Effect.gen(function* () {
            const host = yield* ProcessHost
            const snapshot = yield* Effect.map(Stream.runHead(host.watch), Option.getOrThrow)
            assert.isFalse(snapshot._tag === "Snapshot" && snapshot.records[0]?.paused)
            yield* atOnce("pause", host.pause(web))
            yield* atOnce("resume", host.resume(web))
            yield* exec("job")
            yield* host.delete(web)
          })
        )
      }).pipe(Effect.scoped))
  }

  /** A host that dies while the runtime pauses "web", which goes on to do it. */
  const cutOff = Effect.gen(function* () {
    const world = yield* MockWorld
    yield* life(running())
    yield* world.hang("pause", {}, "after")
    yield* life(
      Effect.gen(function* () {
        const { pause } = yield* ProcessHost
        yield* Effect.forkDetach(pause(web), { startImmediately: true })
        yield* settled
      })
    )
    yield* world.release("pause")
  })

  for (const knows of [true, false]) {
    test(`says that it is paused where it cannot be let go on, and ${knows ? "the runtime says so" : "the runtime cannot say"}`, () =>
      Effect.gen(function* () {
        const world = yield* MockWorld
        yield* cutOff
        yield* world.failNext("resume", failed("resume", "busy"))
        if (!knows) yield* world.failNext("pids", failed("pids", "busy"))
        yield* life(
          Effect.gen(function* () {
            const host = yield* ProcessHost
            const snapshot = yield* Effect.map(Stream.runHead(host.watch), Option.getOrThrow)
            assert.isTrue(snapshot._tag === "Snapshot" && snapshot.records[0]?.paused)
            yield* atOnce("resume", host.resume(web))
            yield* exec("job")
            yield* host.delete(web)
          })
        )
      }).pipe(Effect.scoped))
  }

  for (const [fails, change] of [
    [false, "resumed"],
    [true, "paused"]
  ] as const) {
    test(`tells that it is ${change} also where the runtime takes longer to say so than it is waited for`, () =>
      Effect.gen(function* () {
        const world = yield* MockWorld
        yield* cutOff
        const fail = fails ? { fail: failed("resume", "busy") } : {}
        yield* world.onOperation("resume", {}, { delay: "5 seconds", times: 1, ...fail })
        const directory = yield* TaskDirectory
        const record = Option.getOrThrow(yield* directory.load(web))
        yield* directory.save({ ...record, paused: !fails })
        yield* Effect.gen(function* () {
          const { lines } = yield* watching
          assert.deepStrictEqual(lines, ["snapshot web:-"])
          yield* TestClock.adjust("3 seconds")
          assert.deepStrictEqual(lines.slice(1), [`web ${change}`])
        }).pipe(Effect.scoped, lifeThatBegins("4 seconds"))
      }))
  }

  test("tells that it has started also where the runtime takes longer to say so than it is waited for", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      const directory = yield* TaskDirectory
      yield* life(running())
      const record = Option.getOrThrow(yield* directory.load(web))
      yield* directory.save({ ...record, started: false })
      yield* world.onOperation("pids", {}, { delay: "5 seconds", times: 1 })
      yield* Effect.gen(function* () {
        const { lines } = yield* watching
        assert.deepStrictEqual(lines, ["snapshot web:-"])
        yield* TestClock.adjust("3 seconds")
        assert.deepStrictEqual(lines.slice(1), ["web started"])
      }).pipe(Effect.scoped, lifeThatBegins("4 seconds"))
    }))

  test("knows the exit that the one before had heard of, and died before its last output was read", () =>
    Effect.gen(function* () {
      yield* life(
        Effect.gen(function* () {
          yield* (yield* Disk).slow(3_600_000, ({ exit }) => exit !== null)
          const { lines } = yield* watching
          yield* running(sh("sleep 1; exit 5"))
          yield* TestClock.adjust("5 seconds")
          assert.deepStrictEqual(lines, ["snapshot "])
        })
      )
      yield* (yield* Disk).slow(0)
      yield* life(
        Effect.gen(function* () {
          yield* settled
          const record = Option.getOrNull(yield* (yield* TaskDirectory).load(web))
          assert.deepInclude(record?.exit, { ...record?.reaped, exitStatus: 5, source: "reaped" })
          assert.strictEqual((yield* (yield* ProcessHost).delete(web)).init?.exitStatus, 5)
        })
      )
      assert.deepStrictEqual(yield* left, nothing)
    }).pipe(Effect.scoped))

  test("says that output may be missing of what ended while nobody held its pipes, and of nothing else", () =>
    Effect.gen(function* () {
      yield* life(
        Effect.gen(function* () {
          yield* running(sh("sleep 10; exit 5"))
          yield* exec("early", sh("sleep 2; exit 3"))
          yield* exec("late", sh("sleep 5; exit 4"))
        })
      )
      yield* TestClock.adjust("3 seconds")
      yield* life(
        Effect.gen(function* () {
          yield* TestClock.adjust("1 minute")
          const { exits, init } = yield* Effect.map((yield* ProcessHost).delete(web), ({ execs, init }) => ({
            exits: new Map(execs.map(({ execId, exit }) => [String(execId), exit])),
            init
          }))
          const told = [init, exits.get("late"), exits.get("early")].map((exit) => [exit?.exitStatus, exit?.truncated])
          assert.deepStrictEqual(told, [
            [5, undefined],
            [4, undefined],
            [3, true]
          ])
        })
      )
    }).pipe(Effect.scoped))

  for (const keepsEnds of [true, false]) {
    test(
      `knows of an end that the one before could not write down ${keepsEnds ? "what the kernel has kept" : "that it came, on an older kernel"}`,
      () =>
        Effect.gen(function* () {
          yield* life(
            Effect.gen(function* () {
              yield* running()
              yield* (yield* Disk).fail(1_000_000)
              yield* (yield* ProcessHost).signal({ ref: web, signal: 9, all: false })
              yield* TestClock.adjust("5 seconds")
            })
          )
          yield* (yield* Disk).fail(0)
          yield* life(
            Effect.gen(function* () {
              const { lines } = yield* watching
              yield* settled
              assert.deepStrictEqual(lines, ["snapshot web:-", keepsEnds ? "web 137" : "web 255"])
            })
          )
        }).pipe(Effect.scoped),
      { keepsEnds }
    )
  }
})
