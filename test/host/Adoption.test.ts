/** One host after another on the same machine: the second knows what the first one knew, and what has happened in between. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Option, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as LocalHost from "../../src/host/LocalHost.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { RuntimeName } from "../../src/schema/Ids.ts"
import { OciRuntime } from "../../src/services/OciRuntime.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import { refOf, sh, specOf, text } from "../layers/mock/support.ts"
import { atOnce, settled } from "../support/atOnce.ts"
import { Disk, exec, forever, ground, left, nothing, running, watching, web } from "./support.ts"
import type { Ground } from "./support.ts"

describe("a host that follows another", () => {
  /** One life of a host. What it has begun is cut off with it. */
  const life = Effect.fnUntraced(function* <A, E, R>(body: Effect.Effect<A, E, R | ProcessHost>) {
    const scope = yield* Scope.make()
    const services = yield* atOnce("boot", Layer.build(Layer.fresh(LocalHost.layer)).pipe(Scope.provide(scope)))
    const result = yield* Effect.provideContext(body, services)
    yield* Scope.close(scope, Exit.void)
    return result
  })
  const test = (name: string, body: () => Effect.Effect<void, unknown, Ground>) =>
    it.effect(name, () => body().pipe(Effect.provide(ground())))

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

  test("clears what the one before had begun to make and did not come to write down", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      const directory = yield* TaskDirectory
      const bundle = yield* directory.create(web.namespace, web.containerId, specOf(forever))
      const driver = yield* (yield* OciRuntime).driver(RuntimeName.make("mock"))
      yield* driver.create({ ...refOf("web"), bundle }, { stdin: null, stdout: null, stderr: null })
      assert.deepStrictEqual(yield* world.containers, ["default/web"])
      yield* life(Effect.void)
      assert.deepStrictEqual(yield* left, nothing)
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
