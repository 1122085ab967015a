/** A host that dies under a living daemon, as a shim may: what is told when it is found again, and what is not disturbed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger } from "effect"
import type { Duration, Scope } from "effect"
import { Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Berth from "../../src/actors/Berth.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ShimLost } from "../../src/schema/Errors.ts"
import type { HostEvent } from "../../src/schema/Host.ts"
import { ContainerId, ExecId } from "../../src/schema/Ids.ts"
import type { Containers } from "../../src/services/Containers.ts"
import type { Events } from "../../src/services/Events.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { Tasks } from "../../src/services/Tasks.ts"
import { atOnce, settled, waits } from "../support/atOnce.ts"
import { containerOf, ground, history, runningOf } from "../support/pretended.ts"

const quiet = Layer.provide(Logger.layer([]))
const test = (
  name: string,
  body: () => Effect.Effect<void, unknown, Layer.Success<ReturnType<typeof ground>> | Scope.Scope>
) => it.effect(name, () => body().pipe(Effect.provide(ground().pipe(quiet))))

const forever = ["sleep", "inf"]
const id = ContainerId.make("web")
const get = Effect.flatMap(Tasks, (tasks) => tasks.get(id))

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

  const whileBreaking = (
    body: (
      control: Effect.Success<typeof breaking>
    ) => Effect.Effect<void, unknown, Containers | Tasks | Events | MockWorld>
  ) =>
    Effect.gen(function* () {
      const control = yield* breaking
      const services = yield* Layer.build(Layer.fresh(Berth.layer)).pipe(
        Effect.provideService(ProcessHost, control.host)
      )
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
          const tasks = yield* Tasks
          const old = yield* runningOf("old", forever)
          const execId = ExecId.make("job")
          yield* tasks.exec({ id: old, execId, process: { args: forever, cwd: "/" } })
          yield* TestClock.adjust("1200 millis")
          assert.strictEqual(watches, 2)
          yield* runningOf("web", forever)
          yield* tasks.startExec({ id: old, execId })
          yield* TestClock.adjust("2 seconds")
          assert.strictEqual((yield* get).status, "running")
          assert.deepStrictEqual((yield* history("web")).slice(1), ["/tasks/create", "/tasks/start"])
          assert.deepStrictEqual(
            (yield* tasks.processes(old)).map(({ status }) => status),
            ["running"]
          )
        }),
        services
      )
    }))

  test("is looked for less and less often while it cannot be found, and at once again after it was", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const lost = Stream.fail(new ShimLost({ problem: "it does not start" }))
      let watches = 0
      let found = true
      const watch = Stream.suspend(() => {
        watches++
        return found ? Stream.concat(Stream.take(host.watch, 1), lost) : lost
      })
      yield* Layer.build(Layer.fresh(Berth.layer)).pipe(
        Effect.provideService(ProcessHost, ProcessHost.of({ ...host, watch }))
      )
      const watchesWithin = (duration: Duration.Input) =>
        Effect.gen(function* () {
          const before = watches
          yield* TestClock.adjust(duration)
          yield* settled
          return watches - before
        })
      yield* settled
      assert.isAtLeast(yield* watchesWithin("1 second"), 9)
      found = false
      assert.isAtMost(yield* watchesWithin("10 seconds"), 9)
      assert.strictEqual(yield* watchesWithin("1 minute"), 12)
      found = true
      yield* watchesWithin("5 seconds")
      assert.isAtLeast(yield* watchesWithin("1 second"), 9)
    }))
})
