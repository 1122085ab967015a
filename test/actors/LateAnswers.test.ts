/** What a host brings to its end though its daemon gave it up: the daemon learns of it late, and then it is so. And what could not be removed is not gone. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Berth from "../../src/actors/Berth.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ShimLost, Unavailable } from "../../src/schema/Errors.ts"
import { ContainerId, ExecId } from "../../src/schema/Ids.ts"
import { Containers } from "../../src/services/Containers.ts"
import type { Events } from "../../src/services/Events.ts"
import { MemoryOutput } from "../../src/services/MemoryOutput.ts"
import { OutputLog } from "../../src/services/OutputLog.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { Tasks } from "../../src/services/Tasks.ts"
import { atOnce, failure, settled, waits } from "../support/atOnce.ts"
import { containerOf, createdOf, ground, history, namespace, whole } from "../support/pretended.ts"

const quiet = Layer.provide(Logger.layer([]))
const id = ContainerId.make("web")
const forever = ["sleep", "inf"]
const status = Effect.flatMap(Tasks, (tasks) => Effect.map(tasks.get(id), ({ status }) => status))

/** A daemon on a host that is changed a little. */
const on = (
  change: (host: ProcessHost["Service"]) => Partial<ProcessHost["Service"]>,
  body: Effect.Effect<void, unknown, Containers | Tasks | Events | MockWorld>
) =>
  Effect.gen(function* () {
    const host = yield* ProcessHost
    const services = yield* Layer.build(Layer.fresh(Berth.layer)).pipe(
      Effect.provideService(ProcessHost, ProcessHost.of({ ...host, ...change(host) }))
    )
    yield* Effect.provideContext(body, services)
  }).pipe(Effect.scoped, Effect.provide(ground().pipe(quiet)))

/** The connection breaks while the host is at work. */
const broken = <E>(call: Effect.Effect<void, E>) =>
  Effect.timeoutOrElse(call, {
    duration: "1 second",
    orElse: () => Effect.fail(new ShimLost({ problem: "it closed the connection" }))
  })

describe("an answer that comes late", () => {
  for (const [operation, before, after] of [
    ["start", "created", "running"],
    ["pause", "running", "paused"],
    ["resume", "paused", "running"]
  ] as const) {
    it.effect(`of a ${operation} is taken for what it is`, () => {
      let breaks = false
      return on(
        (host) => ({
          [operation]: (ref: Parameters<typeof host.start>[0]) =>
            breaks ? broken(host[operation](ref)) : host[operation](ref)
        }),
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const world = yield* MockWorld
          yield* createdOf("web", forever)
          if (operation !== "start") yield* tasks.start(id)
          if (operation === "resume") yield* tasks.pause(id)
          breaks = true
          yield* world.hang(operation)
          const asked = yield* waits(operation, failure(tasks[operation](id)))
          yield* TestClock.adjust("1 second")
          assert.match(yield* atOnce(operation, Fiber.join(asked)), /^ShimLost/)
          assert.strictEqual(yield* status, before)
          const told = (yield* history("web")).length
          yield* world.release(operation)
          yield* settled
          assert.strictEqual(yield* status, after)
          assert.deepStrictEqual((yield* history("web")).slice(told), [
            operation === "start" ? "/tasks/start" : `/tasks/${after === "paused" ? "paused" : "resumed"}`
          ])
          breaks = false
          assert.strictEqual((yield* atOnce("delete", tasks.delete({ id, force: true })))?.exitStatus, 137)
        })
      )
    })
  }
})

it.effect("a deletion of the container waits for the answer to that of an exec, which alone has its exit", () => {
  const job = ExecId.make("job")
  return on(
    (host) => ({
      // It was not watched when the exec ended, and its answer takes long.
      watch: Stream.filter(host.watch, (event) => event._tag !== "Exited" || event.ref.execId === null),
      deleteExec: (ref) => Effect.tap(host.deleteExec(ref), () => Effect.sleep("500 millis"))
    }),
    Effect.gen(function* () {
      const tasks = yield* Tasks
      yield* createdOf("web", forever)
      yield* tasks.start(id)
      yield* tasks.exec({ id, execId: job, process: { args: ["sh", "-c", "exit 8"], cwd: "/" } })
      yield* tasks.startExec({ id, execId: job })
      yield* settled
      const one = yield* waits("exec", tasks.deleteExec({ id, execId: job, force: true }))
      const all = yield* waits("init", tasks.delete({ id, force: true }))
      yield* TestClock.adjust("500 millis")
      assert.strictEqual((yield* atOnce("exec", Fiber.join(one)))?.exitStatus, 8)
      assert.strictEqual((yield* atOnce("init", Fiber.join(all)))?.exitStatus, 137)
    })
  )
})

it.effect("a deletion whose answer is lost is asked for again, of init and of an exec", () => {
  const job = ExecId.make("job")
  const asked: Array<string> = []
  /** The host does it, and dies before it can say so; the next one knows nothing of it. */
  const lostOnce = <A, E>(name: string, deletion: Effect.Effect<A, E>) =>
    Effect.suspend(() => {
      asked.push(name)
      const first = asked.filter((each) => each === name).length === 1
      return first ? Effect.andThen(deletion, Effect.fail(new ShimLost({ problem: "it stopped" }))) : deletion
    })
  return on(
    (host) => ({
      delete: (ref) => lostOnce("init", host.delete(ref)),
      deleteExec: (ref) => lostOnce("exec", host.deleteExec(ref))
    }),
    Effect.gen(function* () {
      const tasks = yield* Tasks
      yield* createdOf("web", forever)
      yield* tasks.start(id)
      yield* tasks.exec({ id, execId: job, process: { args: forever, cwd: "/" } })
      yield* tasks.startExec({ id, execId: job })
      const one = yield* waits("exec", tasks.deleteExec({ id, execId: job, force: true }))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* atOnce("exec", Fiber.join(one)))?.pid !== undefined, true)
      const all = yield* waits("init", tasks.delete({ id, force: true }))
      yield* TestClock.adjust("1 second")
      assert.isNotNull(yield* atOnce("init", Fiber.join(all)))
      assert.deepStrictEqual(asked, ["exec", "exec", "init", "init"])
      assert.match(yield* failure(status), /^NotFound/)
    })
  )
})

it.effect("a half-made task that could not be removed is still there, and can be removed again", () => {
  let fails = true
  return on(
    (host) => ({
      delete: (ref) =>
        fails ? Effect.fail(new Unavailable({ what: "runtime", problem: "gone", mend: null })) : host.delete(ref)
    }),
    Effect.gen(function* () {
      const tasks = yield* Tasks
      yield* containerOf("web", ...forever)
      yield* (yield* MockWorld).hang("create", {}, "after")
      yield* waits("create", Effect.ignore(tasks.create({ id })))
      assert.match(yield* atOnce("delete", failure(tasks.delete({ id, force: true }))), /^Unavailable/)
      assert.strictEqual(yield* status, "created")
      assert.match(yield* failure(tasks.create({ id })), /^AlreadyExists/)
      fails = false
      yield* atOnce("again", tasks.delete({ id, force: true }))
      assert.match(yield* failure(status), /^NotFound/)
      yield* (yield* MockWorld).release("create")
      yield* tasks.create({ id })
    })
  )
})

it.effect(
  "a half-made task that could not be removed is tried again by itself, and clean says why it cannot be",
  () => {
    let fails = true
    return on(
      (host) => ({
        create: () => Effect.never,
        delete: (ref) =>
          fails ? Effect.fail(new Unavailable({ what: "runtime", problem: "gone", mend: null })) : host.delete(ref)
      }),
      Effect.gen(function* () {
        const tasks = yield* Tasks
        yield* containerOf("web", ...forever)
        yield* waits("create", Effect.ignore(tasks.create({ id })))
        assert.match(yield* atOnce("clean", failure(tasks.clean(id))), /^Unavailable/)
        const both = yield* Effect.forEach(["one", "other"], (name) => waits(name, failure(tasks.clean(id))))
        yield* TestClock.adjust("3 seconds")
        for (const each of both) assert.match(yield* atOnce("clean", Fiber.join(each)), /^Unavailable/)
        fails = false
        yield* TestClock.adjust("1 minute")
        assert.match(yield* failure(status), /^NotFound/)
      })
    )
  }
)

it.effect("a run ends though its container cannot be removed, which goes on", () => {
  let hangs = true
  return on(
    (host) => ({
      create: () => Effect.never,
      delete: (ref) => Effect.suspend(() => (hangs ? Effect.never : host.delete(ref)))
    }),
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const spec = { ociVersion: "1.0.2", process: { args: forever, cwd: "/" }, root: { path: "/rootfs" } }
      const run = yield* Effect.forkDetach(Stream.runDrain(tasks.runStream({ id, spec })))
      yield* settled
      const ending = yield* waits("interrupt", Fiber.interrupt(run))
      yield* TestClock.adjust("15 seconds")
      yield* atOnce("interrupt", Fiber.join(ending))
      hangs = false
      yield* atOnce("delete", tasks.delete({ id, force: true }))
      assert.match(yield* failure(status), /^NotFound/)
    })
  )
})

it.effect("the log of a create that was cut off before it was written down goes with its container", () =>
  Effect.gen(function* () {
    const { append, outputLog } = yield* MemoryOutput
    const ref = { namespace, containerId: id, execId: null }
    const kept = Effect.map(Stream.runCollect(outputLog.read(ref, { ended: null })), ({ length }) => length)
    yield* containerOf("web", ...forever)
    yield* append(ref, "stdout", new Uint8Array([1]))
    assert.strictEqual(yield* kept, 1)
    yield* (yield* Containers).delete(id)
    assert.strictEqual(yield* kept, 0)
  }).pipe(Effect.provide(whole().pipe(quiet)))
)

it.effect("a log that is being removed with its container is not that of the next one of that name", () =>
  Effect.gen(function* () {
    const inner = yield* OutputLog
    const calls: Array<string> = []
    const note = (call: string) => Effect.sync(() => void calls.push(call))
    const slow = OutputLog.of({
      ...inner,
      prepare: (ref) => Effect.tap(inner.prepare(ref), () => note("prepare")),
      remove: (ref) => Effect.delay(Effect.andThen(inner.remove(ref), note("remove")), "20 millis")
    })
    const services = yield* Layer.build(Layer.fresh(Berth.layer)).pipe(Effect.provideService(OutputLog, slow))
    yield* Effect.gen(function* () {
      yield* containerOf("web", ...forever)
      const deletion = yield* waits("delete", (yield* Containers).delete(id))
      const next = yield* waits("create", createdOf("web", forever))
      yield* TestClock.adjust("1 second")
      yield* atOnce("delete", Fiber.join(deletion))
      yield* atOnce("create", Fiber.join(next))
      assert.deepStrictEqual([calls, yield* status], [["remove", "prepare"], "created"])
    }).pipe(Effect.provideContext(services))
  }).pipe(Effect.provide(ground().pipe(quiet)))
)
