/** A task and its actor on the pretended machine: what hangs and fails under it, and what its callers are told. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ResourceExhausted } from "../../src/schema/Errors.ts"
import { ExecId } from "../../src/schema/Ids.ts"
import { Containers } from "../../src/services/Containers.ts"
import { MetadataStore } from "../../src/services/MetadataStore.ts"
import { Tasks } from "../../src/services/Tasks.ts"
import { atOnce, failure, settled, waits } from "../support/atOnce.ts"
import { containerOf, createdOf, history, namespace, runningOf, StoreFaults, whole } from "../support/pretended.ts"

const quiet = Logger.layer([])
const berth = (options: Parameters<typeof whole>[0] = {}) => whole(options).pipe(Layer.provide(quiet))
const test = (
  name: string,
  body: () => Effect.Effect<void, unknown, Layer.Success<ReturnType<typeof whole>>>,
  options = {}
) => it.effect(name, () => body().pipe(Effect.provide(berth(options))))

const forever = ["sleep", "inf"]
const full = new ResourceExhausted({ resource: "disk", limit: 1 })
const job = ExecId.make("job")
const process = { args: forever, cwd: "/" }

describe("while a start hangs", () => {
  const hung = Effect.gen(function* () {
    const id = yield* createdOf("web", forever)
    yield* (yield* MockWorld).hang("start", { containerId: "web" })
    const start = yield* waits("start", (yield* Tasks).start(id))
    return { id, start }
  })

  test("every read and every kill of the task answers at once", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const { id, start } = yield* hung
      assert.strictEqual((yield* atOnce("get", tasks.get(id))).status, "created")
      assert.strictEqual((yield* atOnce("list", tasks.list({}))).length, 1)
      assert.strictEqual((yield* atOnce("pids", tasks.pids(id))).length, 1)
      assert.deepStrictEqual(yield* atOnce("processes", tasks.processes(id)), [])
      assert.match(yield* atOnce("start again", failure(tasks.start(id))), /^FailedPrecondition.*it is starting/)
      assert.match(yield* atOnce("pause", failure(tasks.pause(id))), /^FailedPrecondition/)
      assert.match(yield* atOnce("delete", failure(tasks.delete({ id }))), /^FailedPrecondition/)
      yield* atOnce("kill", tasks.signal({ id, signal: 9 }))
      yield* settled
      assert.deepStrictEqual(yield* (yield* MockWorld).processes({ namespace, containerId: id }), [])
      assert.isUndefined(start.pollUnsafe())
    }))

  test("delete --force ends it, the one who waits learns why, and nothing is left", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const world = yield* MockWorld
      const { id, start } = yield* hung
      const waiter = yield* waits("wait", tasks.wait({ id }))
      assert.strictEqual((yield* atOnce("delete", tasks.delete({ id, force: true })))?.exitStatus, 137)
      assert.match(
        yield* atOnce("its answer", failure(Fiber.join(start))),
        /^FailedPrecondition: .*it is being deleted/
      )
      assert.strictEqual((yield* atOnce("the exit", Fiber.join(waiter))).exitStatus, 137)
      assert.match(yield* failure(tasks.get(id)), /^NotFound/)
      assert.deepStrictEqual([yield* world.containers, yield* world.descriptors], [[], []])
      yield* (yield* Containers).delete(id)
      assert.deepStrictEqual((yield* history("web")).slice(1), [
        "/tasks/create",
        "/tasks/exit",
        "/tasks/delete",
        "/containers/delete"
      ])
    }))

  test("other tasks are not held up", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      yield* hung
      const other = yield* atOnce("create and start", runningOf("other", forever))
      yield* atOnce("pause", tasks.pause(other))
      yield* atOnce("resume", tasks.resume(other))
      yield* atOnce("exec", tasks.exec({ id: other, execId: job, process }))
      yield* atOnce("start it", tasks.startExec({ id: other, execId: job }))
      yield* atOnce("kill", tasks.signal({ id: other, signal: 9 }))
      assert.strictEqual((yield* atOnce("wait", tasks.wait({ id: other }))).exitStatus, 137)
      yield* atOnce("delete", tasks.delete({ id: other }))
    }))

  test("an exit is announced after the start, when that answers at last", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const world = yield* MockWorld
      const id = yield* createdOf("web", ["sh", "-c", "exit 3"])
      yield* world.hang("start", {}, "after")
      const start = yield* waits("start", tasks.start(id))
      assert.deepStrictEqual(yield* world.processes({ namespace, containerId: id }), [])
      assert.deepStrictEqual((yield* history("web")).slice(1), ["/tasks/create"])
      yield* world.release("start")
      assert.strictEqual((yield* atOnce("start", Fiber.join(start))).status, "stopped")
      assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 3)
      assert.deepStrictEqual((yield* history("web")).slice(1), ["/tasks/create", "/tasks/start", "/tasks/exit"])
    }))

  test("it fails at the runtime's deadline, and the task can be started again", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const { id, start } = yield* hung
      yield* TestClock.adjust("31 seconds")
      assert.match(yield* atOnce("its answer", failure(Fiber.join(start))), /^RuntimeFailed: .*no answer in time/)
      assert.strictEqual((yield* tasks.get(id)).status, "created")
      yield* (yield* MockWorld).release("start")
      assert.strictEqual((yield* tasks.start(id)).status, "running")
    }))
})

describe("a create", () => {
  for (const at of ["before", "after"] as const) {
    test(`that hangs ${at} it acts is ended by delete --force and leaves nothing`, () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const world = yield* MockWorld
        yield* world.hang("create", {}, at)
        const id = yield* containerOf("web", ...forever)
        const create = yield* waits("create", tasks.create({ id }))
        assert.strictEqual((yield* atOnce("get", tasks.get(id))).status, "created")
        assert.match(yield* atOnce("kill", failure(tasks.signal({ id, signal: 9 }))), /^FailedPrecondition/)
        assert.match(yield* atOnce("again", failure(tasks.create({ id }))), /^AlreadyExists/)
        assert.isNull(yield* atOnce("delete", tasks.delete({ id, force: true })))
        assert.match(
          yield* atOnce("its answer", failure(Fiber.join(create))),
          /^FailedPrecondition: .*it is being deleted/
        )
        assert.deepStrictEqual([yield* world.containers, yield* world.descriptors], [[], []])
        assert.deepStrictEqual(yield* (yield* MetadataStore).tasks, [])
        yield* world.release("create")
        yield* atOnce("a new one", tasks.create({ id }))
        assert.strictEqual((yield* tasks.start(id)).status, "running")
        assert.deepStrictEqual((yield* history("web")).slice(1), ["/tasks/create", "/tasks/start"])
      }))
  }

  test("that fails leaves no task, and the container can be deleted", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const world = yield* MockWorld
      yield* world.failNext("create", failed("create", "no room"))
      const id = yield* containerOf("web", ...forever)
      assert.match(yield* failure(tasks.create({ id })), /^RuntimeFailed: .*no room/)
      assert.match(yield* failure(tasks.get(id)), /^NotFound/)
      assert.deepStrictEqual(yield* world.descriptors, [])
      yield* (yield* Containers).delete(id)
    }))

  test("whose caller goes away while it is stored leaves a task that can be deleted, or none", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* containerOf("web", ...forever)
      yield* (yield* StoreFaults).slow(100)
      const create = yield* waits("create", tasks.create({ id }))
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(create))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(interrupting)
      yield* (yield* StoreFaults).slow(0)
      assert.match(yield* history("web").pipe(Effect.map((topics) => topics.join())), /create$/)
      const [stored] = yield* (yield* MetadataStore).tasks
      if (stored !== undefined) {
        assert.strictEqual(stored.task.state._tag, "Created")
        yield* atOnce("delete", tasks.delete({ id }))
      }
      yield* atOnce("delete the container", (yield* Containers).delete(id))
      assert.deepStrictEqual(yield* (yield* MockWorld).containers, [])
    }))

  test("of one id from two callers at once makes one task", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* containerOf("web", ...forever)
      const [first, second] = yield* Effect.all(
        [Effect.result(tasks.create({ id })), Effect.result(tasks.create({ id }))],
        {
          concurrency: "unbounded"
        }
      )
      assert.deepStrictEqual([first._tag, second._tag].sort(), ["Failure", "Success"])
      assert.strictEqual((yield* tasks.list({})).length, 1)
      assert.deepStrictEqual((yield* history("web")).slice(1), ["/tasks/create"])
    }))
})

describe("what fails", () => {
  test("a pause leaves the task running and tells its caller why", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* runningOf("web", forever)
      yield* (yield* MockWorld).failNext("pause", failed("pause", "no freezer"))
      assert.match(yield* failure(tasks.pause(id)), /^RuntimeFailed: .*no freezer/)
      assert.strictEqual((yield* tasks.get(id)).status, "running")
      assert.notInclude(yield* history("web"), "/tasks/paused")
      assert.strictEqual((yield* tasks.pause(id)).status, "paused")
    }))

  test("a resume leaves it paused", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* runningOf("web", forever)
      yield* tasks.pause(id)
      yield* (yield* MockWorld).failNext("resume", failed("resume", "stuck"))
      assert.match(yield* failure(tasks.resume(id)), /^RuntimeFailed: .*stuck/)
      assert.strictEqual((yield* tasks.get(id)).status, "paused")
      assert.strictEqual((yield* tasks.resume(id)).status, "running")
    }))

  test("a delete leaves it stopped, and the next one works", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* runningOf("web", ["sh", "-c", "sleep 1; exit 0"])
      // Once for the end of the container, once for the deletion.
      yield* (yield* MockWorld).onOperation("delete", {}, { fail: failed("delete", "busy"), times: 2 })
      yield* TestClock.adjust("1 second")
      yield* tasks.wait({ id })
      assert.match(yield* failure(tasks.delete({ id })), /^RuntimeFailed: .*busy/)
      assert.strictEqual((yield* tasks.get(id)).status, "stopped")
      assert.strictEqual((yield* tasks.delete({ id }))?.exitStatus, 0)
    }))

  test("an exec that cannot be started can be tried again", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* runningOf("web", forever)
      yield* tasks.exec({ id, execId: job, process })
      yield* (yield* MockWorld).failNext("exec", failed("exec", "not now"))
      assert.match(yield* failure(tasks.startExec({ id, execId: job })), /^RuntimeFailed: .*not now/)
      assert.strictEqual((yield* tasks.processes(id))[0]?.status, "created")
      assert.strictEqual((yield* tasks.startExec({ id, execId: job })).status, "running")
    }))
})

describe("an exec", () => {
  test("that runs is killed by delete --force, which answers its exit; the log has it too", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* runningOf("web", forever)
      for (let round = 0; round < 5; round++) {
        yield* tasks.exec({ id, execId: job, process })
        yield* tasks.startExec({ id, execId: job })
        const waiter = yield* waits("wait", tasks.wait({ id, execId: job }))
        assert.strictEqual(
          (yield* atOnce("delete", tasks.deleteExec({ id, execId: job, force: true })))?.exitStatus,
          137
        )
        assert.strictEqual((yield* atOnce("its exit", Fiber.join(waiter))).exitStatus, 137)
      }
      const one = ["/tasks/exec-added:job", "/tasks/exec-started:job", "/tasks/exit:job"]
      assert.deepStrictEqual((yield* history("web")).slice(3), Array.from({ length: 5 }, () => one).flat())
    }))

  test("that hangs in its start does not hold up the deletion of the task, and its caller is told", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* runningOf("web", forever)
      yield* tasks.exec({ id, execId: job, process })
      yield* (yield* MockWorld).hang("exec")
      const start = yield* waits("exec", tasks.startExec({ id, execId: job }))
      assert.strictEqual((yield* atOnce("delete", tasks.delete({ id, force: true })))?.exitStatus, 137)
      assert.match(yield* atOnce("its answer", failure(Fiber.join(start))), /^(FailedPrecondition|NotFound)/)
      assert.deepStrictEqual(yield* (yield* MockWorld).descriptors, [])
      assert.deepStrictEqual((yield* history("web")).slice(3), [
        "/tasks/exec-added:job",
        "/tasks/exit",
        "/tasks/delete"
      ])
    }))

  test("that ends while init's end waits for it is told first", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const id = yield* runningOf("web", forever)
      yield* tasks.exec({ id, execId: job, process })
      yield* (yield* MockWorld).hang("exec", {}, "after")
      const start = yield* waits("exec", tasks.startExec({ id, execId: job }))
      yield* tasks.signal({ id, signal: 9 })
      const waiter = yield* waits("wait for init", tasks.wait({ id }))
      assert.match(
        yield* failure(tasks.exec({ id, execId: ExecId.make("late"), process })),
        /^FailedPrecondition.*it is stopped/
      )
      yield* (yield* MockWorld).release("exec")
      yield* atOnce("exec", Effect.exit(Fiber.join(start)))
      assert.strictEqual((yield* atOnce("init", Fiber.join(waiter))).exitStatus, 137)
      const exits = (yield* history("web")).filter((topic) => topic.startsWith("/tasks/ex"))
      assert.strictEqual(exits.at(-1), "/tasks/exit")
    }))
})

describe("a caller is never left waiting", () => {
  test("a kill that hangs is answered when the task is deleted", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const world = yield* MockWorld
      const id = yield* runningOf("web", forever)
      yield* world.onOperation("signal", {}, { hang: true, times: 1 })
      const kill = yield* waits("kill", tasks.signal({ id, signal: 15 }))
      yield* atOnce("delete", tasks.delete({ id, force: true }))
      yield* world.release("signal")
      assert.match(yield* atOnce("its answer", failure(Fiber.join(kill))), /^NotFound|^FailedPrecondition/)
    }))

  test("a report that the store refuses until the task is gone", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const faults = yield* StoreFaults
      const id = yield* createdOf("web", forever)
      yield* faults.next(1, { _tag: "Fail", error: full }, (changes) =>
        changes.some((change) => change._tag === "PutTask" && change.record.state._tag === "Running")
      )
      const start = yield* waits("start", tasks.start(id))
      yield* atOnce("delete", tasks.delete({ id, force: true }))
      yield* TestClock.adjust("2 seconds")
      assert.match(yield* atOnce("its answer", failure(Fiber.join(start))), /^NotFound/)
    }))

  test("a stop that meets a deletion", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      for (let round = 0; round < 4; round++) {
        const id = yield* createdOf(`web${round}`, forever)
        const [stopped] = yield* atOnce(
          "both",
          Effect.all(
            [
              Effect.result(
                Effect.andThen(
                  Effect.forEach(Array.from({ length: round }), () => Effect.yieldNow),
                  tasks.stop({ id, signal: 9 })
                )
              ),
              tasks.delete({ id, force: true })
            ],
            { concurrency: "unbounded" }
          )
        )
        if (stopped._tag === "Failure") assert.strictEqual(stopped.failure._tag, "NotFound")
      }
    }))

  test("a deletion that is overtaken by another", () =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const world = yield* MockWorld
      const id = yield* runningOf("web", forever)
      yield* world.hang("delete")
      const first = yield* waits("delete", tasks.delete({ id, force: true }))
      const second = yield* waits("again", tasks.delete({ id, force: true }))
      yield* world.release("delete")
      yield* TestClock.adjust("1 minute")
      const ends = yield* atOnce(
        "both",
        Effect.all([Effect.result(Fiber.join(first)), Effect.result(Fiber.join(second))])
      )
      assert.include(
        ends.map(({ _tag }) => _tag),
        "Success"
      )
      assert.match(yield* failure(tasks.get(id)), /^NotFound/)
      assert.deepStrictEqual(yield* world.containers, [])
    }))
})
