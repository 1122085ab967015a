/** A daemon that ends and comes back: what each stored state is told, as a table, and whole restarts over the same machine, host and store. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Logger, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Berth from "../../src/actors/Berth.ts"
import { settle } from "../../src/actors/Recovery.ts"
import type { Addressed, Tree } from "../../src/actors/TaskTree.ts"
import { step } from "../../src/actors/TaskTree.ts"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ShimLost } from "../../src/schema/Errors.ts"
import type { HostedRecord, HostEvent } from "../../src/schema/Host.ts"
import { ContainerId, ExecId, processKey, Seq } from "../../src/schema/Ids.ts"
import type { ProcessState, TaskState } from "../../src/schema/TaskState.ts"
import { Containers } from "../../src/services/Containers.ts"
import { Events } from "../../src/services/Events.ts"
import { MetadataStore } from "../../src/services/MetadataStore.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { Tasks } from "../../src/services/Tasks.ts"
import { atOnce, failure, settled, waits } from "../support/atOnce.ts"
import { containerOf, createdOf, daemon, eventLog, ground, history, namespace, runningOf } from "../support/pretended.ts"
import { at, exitOf, identity, processOf, taskOf, taskStates } from "../support/records.ts"

describe("settle", () => {
  const execId = ExecId.make("job")
  const recordOf = (exec: boolean, patch: Partial<HostedRecord> = {}): HostedRecord => {
    const { id: containerId, runtime, stdio } = taskOf("web")
    const ref = { namespace, containerId, execId: exec ? execId : null }
    return { ref, runtime, identity, started: false, paused: false, stdio, logFile: null, exit: null, ...patch }
  }
  const records = (...all: ReadonlyArray<HostedRecord>) => new Map(all.map((record) => [processKey(record.ref), record]))

  const name = ({ execId, input }: Addressed) => {
    const what = input._tag === "Delete" && input.force ? "Force" : input._tag
    const how = input._tag === "Exited" ? ` ${input.exit.source} ${input.exit.exitStatus}` : ""
    return `${execId === null ? "" : `${execId}:`}${what}${how}`
  }
  const told = (tree: Tree, ...all: ReadonlyArray<HostedRecord>) => settle(tree, records(...all), at).map(name)

  describe("init", () => {
    /** What the host holds of it: nothing; a live one, started, frozen; one that has ended, unstarted or started. */
    const held = {
      absent: [],
      made: [recordOf(false)],
      started: [recordOf(false, { started: true })],
      paused: [recordOf(false, { started: true, paused: true })],
      stillborn: [recordOf(false, { exit: exitOf("web", 1) })],
      ended: [recordOf(false, { started: true, exit: exitOf("web", 7) })]
    } as const
    const nothing: ReadonlyArray<string> = []
    const unknown = "Exited unknown 255"
    const [one, seven] = ["Exited reaped 1", "Exited reaped 7"]
    const always = (...tell: ReadonlyArray<string>) => ({ absent: tell, made: tell, started: tell, paused: tell, stillborn: tell, ended: tell })

    const table: Record<TaskState["_tag"], Record<keyof typeof held, ReadonlyArray<string>>> = {
      Creating: always("Force"),
      Created: {
        absent: [unknown], made: nothing, started: ["StartDone"], paused: ["StartDone"], stillborn: [one], ended: ["StartDone", seven]
      },
      Starting: {
        absent: ["StartFailed", unknown],
        made: ["StartFailed"],
        started: ["StartDone"],
        paused: ["StartDone"],
        stillborn: ["StartFailed", one],
        ended: ["StartDone", seven]
      },
      Running: { absent: [unknown], made: nothing, started: nothing, paused: nothing, stillborn: [one], ended: [seven] },
      Pausing: {
        absent: [unknown], made: ["PauseFailed"], started: ["PauseFailed"], paused: ["PauseDone"],
        stillborn: ["PauseFailed", one], ended: ["PauseFailed", seven]
      },
      Paused: { absent: [unknown], made: nothing, started: nothing, paused: nothing, stillborn: [one], ended: [seven] },
      Resuming: {
        absent: [unknown], made: ["ResumeDone"], started: ["ResumeDone"], paused: ["ResumeFailed"],
        stillborn: ["ResumeDone", one], ended: ["ResumeDone", seven]
      },
      Stopped: always(),
      Deleting: always("Force"),
      Deleted: always()
    }
    for (const [tag, state] of Object.entries(taskStates)) {
      it(`${tag}: whatever the host holds`, () => {
        const tree: Tree = { task: taskOf("web", state), execs: new Map(), held: null }
        for (const [what, all] of Object.entries(held)) {
          const expected: Record<string, ReadonlyArray<string>> = table[state._tag]
          assert.deepStrictEqual([what, told(tree, ...all)], [what, expected[what]])
        }
      })
    }
  })

  describe("an exec", () => {
    const states: Record<string, ProcessState> = {
      Created: { _tag: "Created" },
      Starting: { _tag: "Starting", exit: null },
      Running: { _tag: "Running", identity, startedAt: at },
      Stopped: { _tag: "Stopped", identity, startedAt: at, exit: exitOf("job", 3) },
      Deleting: { _tag: "Deleting", identity, startedAt: at, exit: null }
    }
    const held = { absent: [], live: [recordOf(true)], ended: [recordOf(true, { exit: exitOf("job", 3) })] }
    const [three, unknown] = ["job:Exited reaped 3", "job:Exited unknown 255"]
    const table: Record<string, Record<keyof typeof held, ReadonlyArray<string>>> = {
      Created: { absent: [], live: ["job:StartDone"], ended: ["job:StartDone", three] },
      Starting: { absent: ["job:StartFailed"], live: ["job:StartDone"], ended: ["job:StartDone", three] },
      Running: { absent: [unknown], live: [], ended: [three] },
      Stopped: { absent: [], live: [], ended: [three] },
      Deleting: { absent: ["job:Force"], live: ["job:Force"], ended: [three, "job:Force"] }
    }
    const treeOf = (state: ProcessState): Tree => ({
      task: taskOf("web", taskStates.Running),
      execs: new Map([[execId, processOf("web", "job", state)]]),
      held: null
    })
    const init = recordOf(false, { started: true })
    for (const [tag, state] of Object.entries(states)) {
      it(`${tag}: whatever the host holds`, () => {
        for (const [what, all] of Object.entries(held)) {
          const expected: Record<string, ReadonlyArray<string>> = table[tag] ?? {}
          assert.deepStrictEqual([what, told(treeOf(state), init, ...all)], [what, expected[what]])
        }
      })
    }

    it("comes before its init", () => {
      const running = states["Running"] ?? { _tag: "Created" }
      const ended = recordOf(false, { started: true, exit: exitOf("web", 7) })
      assert.deepStrictEqual(told(treeOf(running), ended, recordOf(true, { exit: exitOf("job", 3) })), [three, "Exited reaped 7"])
      assert.deepStrictEqual(told(treeOf(running)), [unknown, "Exited unknown 255"])
    })

    it("ends up in a state that is not on the way to another, whatever it was and whatever the host holds", () => {
      const passing = new Set(["Creating", "Starting", "Pausing", "Resuming"])
      for (const state of Object.values(states)) {
        for (const all of Object.values(held)) {
          let tree = treeOf(state)
          let ordered = 0
          for (const input of settle(tree, records(init, ...all), at)) {
            const next = step(tree, input)
            tree = next.tree
            ordered += next.operations.length
          }
          const after = tree.execs.get(execId)?.state._tag ?? "Deleted"
          assert.isFalse(passing.has(after), after)
          if (after === "Deleting") assert.isAbove(ordered, 0, "nobody goes on with it")
        }
      }
    })
  })
})

const quiet = Layer.provide(Logger.layer([]))
const test = (name: string, body: () => Effect.Effect<void, unknown, Layer.Success<ReturnType<typeof ground>> | Scope.Scope>) =>
  it.effect(name, () => body().pipe(Effect.provide(ground().pipe(quiet))))

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
          assert.deepStrictEqual(before.map(({ status }) => status), ["paused", "created", "running"])
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
            "/tasks/exec-added:job", "/tasks/exec-started:job", "/tasks/exit:job", "/tasks/exit"
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
          assert.deepStrictEqual(all, Array.from(all, (_, index) => index + 1))
          const events = yield* Stream.runCollect((yield* Events).subscribe({ after: Seq.make(last) }))
          assert.deepStrictEqual(events.map(({ seq, topic }) => [seq, topic]), [
            [last + 1, "/tasks/exit"], [last + 2, "/containers/create"], [last + 3, "/tasks/create"]
          ])
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
          assert.deepStrictEqual((yield* history("web")).slice(3), ["/tasks/exit", "/tasks/delete", "/containers/delete"])
        })
      )
    }))

  test("serves nobody before it knows: a task of the first moment is not taken for a half-made one", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const slow = ProcessHost.of({ ...host, watch: Stream.fromEffect(Effect.sleep("1 second")).pipe(Stream.flatMap(() => host.watch)) })
      const booting = yield* waits("boot", Layer.build(Layer.fresh(Berth.layer)).pipe(Effect.provideService(ProcessHost, slow)))
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

describe("a host that is lost while the daemon lives", () => {
  /** A host whose watch ends on demand, as when its shim dies; what it holds stays. */
  const breaking = Effect.gen(function* () {
    const host = yield* ProcessHost
    let cut: ReadonlyArray<Fiber.Fiber<unknown, unknown>> = []
    let deaf = false
    const watch = Stream.unwrap(
      Effect.gen(function* () {
        const lost = yield* Effect.forkScoped(Effect.never)
        cut = [...cut, lost]
        return host.watch.pipe(
          Stream.filter((event: HostEvent) => !(deaf && event._tag === "Exited")),
          Stream.interruptWhen(Fiber.await(lost)),
          Stream.concat(Stream.fail(new ShimLost({ problem: "it was killed" })))
        )
      })
    )
    return {
      host: ProcessHost.of({ ...host, watch }),
      /** From now on it tells nothing, as when the news is lost on the way. */
      deafen: Effect.sync(() => void (deaf = true)),
      lose: Effect.suspend(() => {
        deaf = false
        return Effect.forEach(cut, Fiber.interrupt, { discard: true })
      })
    }
  })

  const whileBreaking = (body: (control: Effect.Success<typeof breaking>) => Effect.Effect<void, unknown, Containers | Tasks | Events | MockWorld>) =>
    Effect.gen(function* () {
      const control = yield* breaking
      const services = yield* Layer.build(Layer.fresh(Berth.layer)).pipe(Effect.provideService(ProcessHost, control.host))
      yield* Effect.provideContext(body(control), services)
    })

  test("tells what happened meanwhile when it is found again, and once", () =>
    whileBreaking(({ deafen, lose }) =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        yield* runningOf("web", ["sh", "-c", "sleep 1; exit 6"])
        yield* runningOf("other", forever)
        yield* deafen
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* get).status, "running")
        yield* lose
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* atOnce("wait", tasks.wait({ id }))).exitStatus, 6)
        assert.strictEqual((yield* tasks.get(ContainerId.make("other"))).status, "running")
        yield* lose
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual((yield* history("web")).slice(3), ["/tasks/exit"])
      })
    ))

  test("does not disturb what is under way: a create and a deletion get their own answers", () =>
    whileBreaking(({ lose }) =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const world = yield* MockWorld
        const gone = yield* runningOf("gone", forever)
        yield* world.hang("delete")
        const deletion = yield* waits("delete", tasks.delete({ id: gone, force: true }))
        yield* world.hang("create", {}, "after")
        yield* containerOf("web", ...forever)
        const create = yield* waits("create", tasks.create({ id }))
        yield* lose
        yield* TestClock.adjust("1 second")
        yield* world.release("create")
        yield* world.release("delete")
        assert.strictEqual((yield* atOnce("create", Fiber.join(create))).status, "created")
        assert.strictEqual((yield* atOnce("delete", Fiber.join(deletion)))?.exitStatus, 137)
        yield* settled
        assert.strictEqual((yield* get).status, "created")
      })
    ))

  test("does not take for lost what was made after it was asked", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      let watches = 0
      /** The first ends after a second; the second brings its snapshot half a second after it was taken. */
      const watch = Stream.suspend(() => {
        const first = ++watches === 1
        const events = Stream.mapEffect(host.watch, (event) =>
          first || event._tag !== "Snapshot" ? Effect.succeed(event) : Effect.delay(Effect.succeed(event), "500 millis")
        )
        const ending = first ? Stream.interruptWhen(events, Effect.sleep("1 second")) : events
        return Stream.concat(ending, Stream.fail(new ShimLost({ problem: "it was killed" })))
      })
      const late = ProcessHost.of({ ...host, watch })
      const services = yield* Layer.build(Layer.fresh(Berth.layer)).pipe(Effect.provideService(ProcessHost, late))
      yield* Effect.provideContext(
        Effect.gen(function* () {
          yield* TestClock.adjust("1200 millis")
          assert.strictEqual(watches, 2)
          yield* runningOf("web", forever)
          yield* TestClock.adjust("2 seconds")
          assert.strictEqual((yield* get).status, "running")
          assert.deepStrictEqual((yield* history("web")).slice(1), ["/tasks/create", "/tasks/start"])
        }),
        services
      )
    }))
})
