/** A daemon that ends and comes back: whole restarts over the same machine, host and store. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Logger, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Berth from "../../src/actors/Berth.ts"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { Unavailable } from "../../src/schema/Errors.ts"
import { ContainerId, ExecId, RuntimeName, Seq } from "../../src/schema/Ids.ts"
import { Containers } from "../../src/services/Containers.ts"
import { Events } from "../../src/services/Events.ts"
import { MetadataStore } from "../../src/services/MetadataStore.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { Tasks } from "../../src/services/Tasks.ts"
import { specOf } from "../layers/mock/support.ts"
import { atOnce, failure, settled, waits } from "../support/atOnce.ts"
import {
  containerOf,
  createdOf,
  daemon,
  eventLog,
  ground,
  history,
  namespace,
  runningOf
} from "../support/pretended.ts"

const quiet = Layer.provide(Logger.layer([]))
const test = (
  name: string,
  body: () => Effect.Effect<void, unknown, Layer.Success<ReturnType<typeof ground>> | Scope.Scope>
) => it.effect(name, () => body().pipe(Effect.provide(ground().pipe(quiet))))

/** One life of a daemon: what it leaves undone is cut off at its end, as by kill -9, and nobody waits for it. */
const life = Effect.fnUntraced(function* <A, E, R>(body: Effect.Effect<A, E, R | Containers | Tasks | Events>) {
  const scope = yield* Scope.make()
  const services = yield* atOnce("boot", Scope.provide(daemon, scope))
  const result = yield* Effect.provideContext(body, services)
  yield* Effect.forkDetach(Scope.close(scope, Exit.void), { startImmediately: true })
  yield* settled
  return result
})

const forever = ["sleep", "inf"]
const process = { args: forever, cwd: "/" }
const id = ContainerId.make("web")
const job = ExecId.make("job")
const get = Effect.flatMap(Tasks, (tasks) => tasks.get(id))
const seqs = Effect.map(eventLog, (lines) => lines.map((line) => Number(line.split(" ")[0])))

describe("a daemon that comes back", () => {
  test("announces what was killed for want of memory while it was away, once and before the exit", () =>
    Effect.gen(function* () {
      yield* (yield* MockWorld).script({ args: "hog" }, { oomAfter: "1 minute", runFor: "forever" })
      yield* life(runningOf("web", ["hog"]))
      yield* TestClock.adjust("2 minutes")
      const expected = ["/containers/create", "/tasks/create", "/tasks/start", "/tasks/oom", "/tasks/exit"]
      for (let time = 0; time < 2; time++) {
        yield* life(
          Effect.gen(function* () {
            yield* settled
            assert.deepInclude(yield* get, { status: "stopped", oomKilled: true, oomCount: 1 })
            assert.deepStrictEqual(yield* history("web"), expected)
          })
        )
      }
    }))

  test("finds its tasks as they are: running with the same pid, paused, created", () =>
    Effect.gen(function* () {
      const before = yield* life(
        Effect.gen(function* () {
          const tasks = yield* Tasks
          yield* runningOf("web", forever)
          yield* createdOf("made", forever)
          yield* tasks.pause(yield* runningOf("cold", forever))
          return yield* tasks.list({})
        })
      )
      yield* life(
        Effect.gen(function* () {
          const tasks = yield* Tasks
          yield* settled
          assert.deepStrictEqual(yield* tasks.list({}), before)
          assert.deepStrictEqual(
            before.map(({ status }) => status),
            ["paused", "created", "running"]
          )
          assert.strictEqual((yield* atOnce("start", tasks.start(ContainerId.make("made")))).status, "running")
          assert.strictEqual((yield* atOnce("resume", tasks.resume(ContainerId.make("cold")))).status, "running")
          yield* atOnce("kill", tasks.signal({ id, signal: 9 }))
          assert.strictEqual((yield* atOnce("wait", tasks.wait({ id }))).exitStatus, 137)
        })
      )
    }))

  test("tells the exits that happened meanwhile, once, with their true code and time", () =>
    Effect.gen(function* () {
      yield* life(
        Effect.gen(function* () {
          const tasks = yield* Tasks
          yield* runningOf("web", ["sh", "-c", "sleep 5; exit 7"])
          yield* tasks.exec({ id, execId: job, process: { args: ["sh", "-c", "sleep 2; exit 3"], cwd: "/" } })
          yield* tasks.startExec({ id, execId: job })
        })
      )
      yield* TestClock.adjust("10 seconds")
      yield* life(
        Effect.gen(function* () {
          const exit = yield* atOnce("wait", (yield* Tasks).wait({ id }))
          assert.deepStrictEqual([exit.exitStatus, exit.source, exit.exitedAt.epochMilliseconds], [7, "reaped", 5000])
          assert.strictEqual((yield* (yield* Tasks).wait({ id, execId: job })).exitStatus, 3)
        })
      )
      yield* life(
        Effect.gen(function* () {
          yield* settled
          assert.strictEqual((yield* get).status, "stopped")
          assert.deepStrictEqual((yield* history("web")).slice(3), [
            "/tasks/exec-added:job",
            "/tasks/exec-started:job",
            "/tasks/exit:job",
            "/tasks/exit"
          ])
        })
      )
    }))

  test("goes on with the event log without gap or repeat, and a cursor of before still fits", () =>
    Effect.gen(function* () {
      const last = yield* life(
        Effect.gen(function* () {
          yield* runningOf("web", ["sh", "-c", "sleep 1; exit 0"])
          return Math.max(...(yield* seqs))
        })
      )
      yield* TestClock.adjust("2 seconds")
      yield* life(
        Effect.gen(function* () {
          yield* atOnce("wait", (yield* Tasks).wait({ id }))
          yield* createdOf("next", forever)
          const all = yield* seqs
          assert.deepStrictEqual(
            all,
            Array.from(all, (_, index) => index + 1)
          )
          const events = yield* Stream.runCollect((yield* Events).subscribe({ after: Seq.make(last) }))
          assert.deepStrictEqual(
            events.map(({ seq, topic }) => [seq, topic]),
            [
              [last + 1, "/tasks/exit"],
              [last + 2, "/containers/create"],
              [last + 3, "/tasks/create"]
            ]
          )
        })
      )
    }))

  test("does away with what was half-made, and its id is free", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      for (const when of ["before", "after"] as const) {
        yield* world.hang("create", {}, when)
        yield* life(
          Effect.gen(function* () {
            if (when === "before") yield* containerOf("web", ...forever)
            yield* waits("create", (yield* Tasks).create({ id }))
          })
        )
        assert.strictEqual((yield* (yield* MetadataStore).tasks)[0]?.task.state._tag, "Creating")
        yield* world.release("create")
        yield* life(
          Effect.gen(function* () {
            yield* settled
            assert.match(yield* failure(get), /^NotFound/)
            assert.deepStrictEqual([yield* world.containers, yield* world.descriptors], [[], []])
            yield* atOnce("create", (yield* Tasks).create({ id }))
            yield* atOnce("delete", (yield* Tasks).delete({ id }))
          })
        )
      }
    }))

  test("goes on with a deletion that was cut off", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      yield* world.hang("delete")
      yield* life(
        Effect.gen(function* () {
          yield* runningOf("web", forever)
          yield* waits("delete", (yield* Tasks).delete({ id, force: true }))
        })
      )
      yield* world.release("delete")
      yield* life(
        Effect.gen(function* () {
          yield* settled
          assert.match(yield* failure(get), /^NotFound/)
          assert.deepStrictEqual((yield* history("web")).slice(3), ["/tasks/exit", "/tasks/delete"])
          yield* (yield* Containers).delete(id)
        })
      )
      assert.deepStrictEqual(yield* world.containers, [])
    }))

  test("undoes what the host made for a daemon that did not live to write it down, and spares what runs", () =>
    Effect.gen(function* () {
      const [host, world] = [yield* ProcessHost, yield* MockWorld]
      const make = (name: string) =>
        host.create({
          namespace,
          containerId: ContainerId.make(name),
          runtime: RuntimeName.make("auto"),
          spec: specOf(forever),
          stdio: { stdin: false, log: { _tag: "none" } },
          logFile: null
        })
      yield* make("made")
      yield* make("runs")
      yield* host.start({ namespace, containerId: ContainerId.make("runs") })
      yield* life(settled)
      assert.deepStrictEqual(
        (yield* world.containers).map((name) => name.split("/").at(-1)),
        ["runs"]
      )
    }))

  for (const commits of [0, 1, 2, 3, 4]) {
    test(`finds nothing left of a run whose creation fails, ended after ${commits} commits`, () =>
      Effect.gen(function* () {
        const [inner, world] = [yield* MetadataStore, yield* MockWorld]
        yield* world.onOperation("create", {}, { fail: failed("create", "no") })
        let left = commits
        const commit: typeof inner.commit = (...all) =>
          Effect.suspend(() => (left-- > 0 ? inner.commit(...all) : Effect.never))
        const run = Effect.gen(function* () {
          const tasks = yield* Tasks
          yield* Effect.forkDetach(Effect.ignore(Stream.runDrain(tasks.runStream({ id, spec: specOf(forever) }))))
          yield* settled
        })
        yield* Effect.provideService(life(run), MetadataStore, MetadataStore.of({ ...inner, commit }))
        yield* life(settled)
        assert.deepStrictEqual([yield* inner.containers(namespace), yield* inner.tasks], [[], []])
      }))
  }

  test("leaves a created container alone whose task the store has and cannot read", () =>
    Effect.gen(function* () {
      yield* life(createdOf("web", forever))
      const inner = yield* MetadataStore
      const unreadable = new Unavailable({ what: "store", problem: "row default/web cannot be read", mend: null })
      const damaged = { ...inner, tasks: Effect.succeed([]), task: () => Effect.fail(unreadable) }
      yield* Effect.provideService(life(settled), MetadataStore, MetadataStore.of(damaged))
      assert.strictEqual((yield* (yield* MockWorld).containers).length, 1)
    }))

  test("tells an exit for what was deleted but not yet written down", () =>
    Effect.gen(function* () {
      yield* life(
        Effect.gen(function* () {
          yield* runningOf("web", forever)
          yield* (yield* MockWorld).hang("delete")
          yield* waits("delete", (yield* Tasks).delete({ id, force: true }))
        })
      )
      yield* (yield* MockWorld).release("delete")
      // The host had finished, and its answer was lost with the daemon.
      yield* (yield* ProcessHost).delete({ namespace, containerId: id })
      yield* life(
        Effect.gen(function* () {
          yield* settled
          assert.deepStrictEqual((yield* history("web")).slice(3), ["/tasks/exit", "/tasks/delete"])
        })
      )
    }))

  for (const when of ["before", "after"] as const) {
    test(`learns that a start which was under way has happened, though its answer was lost ${when} it acted`, () =>
      Effect.gen(function* () {
        const world = yield* MockWorld
        yield* world.hang("start", {}, when)
        yield* life(
          Effect.gen(function* () {
            yield* createdOf("web", forever)
            yield* waits("start", (yield* Tasks).start(id))
          })
        )
        assert.strictEqual((yield* (yield* MetadataStore).tasks)[0]?.task.state._tag, "Starting")
        yield* world.release("start")
        yield* settled
        yield* life(
          Effect.gen(function* () {
            yield* settled
            assert.strictEqual((yield* get).status, "running")
            assert.deepStrictEqual((yield* history("web")).slice(1), ["/tasks/create", "/tasks/start"])
          })
        )
      }))
  }

  test("lets a start that failed unseen be tried again", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      yield* world.onOperation("start", {}, { delay: "1 second", fail: failed("start", "no"), times: 1 })
      yield* life(
        Effect.gen(function* () {
          yield* createdOf("web", forever)
          yield* waits("start", (yield* Tasks).start(id))
        })
      )
      yield* TestClock.adjust("2 seconds")
      yield* life(
        Effect.gen(function* () {
          yield* settled
          assert.strictEqual((yield* get).status, "created")
          assert.strictEqual((yield* atOnce("start", (yield* Tasks).start(id))).status, "running")
        })
      )
    }))

  test("finishes the deletion of an exec that was cut off, and its id is free", () =>
    Effect.gen(function* () {
      yield* (yield* MockWorld).onOperation("signal", {}, { hang: true, times: 1 })
      yield* life(
        Effect.gen(function* () {
          const tasks = yield* Tasks
          yield* runningOf("web", forever)
          yield* tasks.exec({ id, execId: job, process })
          yield* tasks.startExec({ id, execId: job })
          yield* waits("delete", tasks.deleteExec({ id, execId: job, force: true }))
        })
      )
      yield* (yield* MockWorld).release("signal")
      yield* life(
        Effect.gen(function* () {
          const tasks = yield* Tasks
          yield* settled
          assert.deepStrictEqual(yield* tasks.processes(id), [])
          assert.strictEqual((yield* history("web")).at(-1), "/tasks/exit:job")
          yield* atOnce("a new one", tasks.exec({ id, execId: job, process }))
          yield* atOnce("start it", tasks.startExec({ id, execId: job }))
        })
      )
    }))

  test("removes by itself what ended meanwhile and was to be removed", () =>
    Effect.gen(function* () {
      yield* life(runningOf("web", ["sh", "-c", "sleep 1; exit 5"], { autoRemove: true }))
      yield* TestClock.adjust("2 seconds")
      yield* life(
        Effect.gen(function* () {
          yield* settled
          assert.match(yield* failure((yield* Containers).get(id)), /^NotFound/)
          assert.deepStrictEqual((yield* history("web")).slice(3), [
            "/tasks/exit",
            "/tasks/delete",
            "/containers/delete"
          ])
        })
      )
    }))

  test("serves nobody before it knows: a task of the first moment is not taken for a half-made one", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const slow = ProcessHost.of({
        ...host,
        watch: Stream.fromEffect(Effect.sleep("1 second")).pipe(Stream.flatMap(() => host.watch))
      })
      const booting = yield* waits(
        "boot",
        Layer.build(Layer.fresh(Berth.layer)).pipe(Effect.provideService(ProcessHost, slow))
      )
      yield* TestClock.adjust("1 second")
      const services = yield* atOnce("boot", Fiber.join(booting))
      yield* Effect.provideContext(
        Effect.gen(function* () {
          yield* runningOf("web", forever)
          yield* settled
          assert.strictEqual((yield* get).status, "running")
        }),
        services
      )
    }))
})
