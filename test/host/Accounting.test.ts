/** Kills for want of memory, told by a host: once each, before the exit that they explain, and by the next host what this one could not. */
import { assert, describe } from "@effect/vitest"
import { Effect, Layer, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as LocalHost from "../../src/host/LocalHost.ts"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { Cgroups } from "../../src/services/Cgroups.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import { NotFound } from "../../src/schema/Errors.ts"
import { refOf } from "../layers/mock/support.ts"
import { settled } from "../support/atOnce.ts"
import { create, Disk, exec, forever, job, life, running, test, testOfLives, watching, web } from "./support.ts"

const hog = ["hog"]
const scripted = Effect.flatMap(MockWorld, (world) =>
  world.script({ args: "hog" }, { oomAfter: "1 second", runFor: "forever" })
)
const kill = Effect.flatMap(ProcessHost, (host) => host.signal({ ref: web, signal: 9, all: false }))
const record = Effect.map(
  Effect.flatMap(TaskDirectory, (directory) => directory.load(web)),
  Option.getOrThrow
)

/** A machine on which no container has a group. */
const gone = new NotFound({ kind: "task", id: "web" })
const withoutGroups = Layer.succeed(Cgroups)({
  find: () =>
    Effect.succeed({
      stats: Effect.fail(gone),
      pids: Effect.fail(gone),
      processes: Effect.fail(gone),
      oomKills: Effect.fail(gone),
      memoryPeak: Effect.fail(gone),
      watchOom: () => Stream.empty,
      ended: Effect.void
    })
})

describe("kills for want of memory", () => {
  test("of init: told before its exit, which says so", () =>
    Effect.gen(function* () {
      yield* scripted
      const { lines } = yield* watching
      yield* running(hog)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(lines.slice(1), ["oom", "web 137"])
      const { exit, oomCount } = yield* record
      assert.deepInclude(exit, { oomKilled: true, oomCount: 1, memoryPeak: 2 ** 30 })
      assert.strictEqual(oomCount, 1)
    }).pipe(Effect.scoped))

  test("of an exec: one each; a SIGKILL long after it has another reason", () =>
    Effect.gen(function* () {
      yield* scripted
      const { lines } = yield* watching
      yield* running()
      yield* exec("job", hog)
      yield* TestClock.adjust("2 seconds")
      yield* exec("more", hog)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(lines.slice(1), ["oom", "job 137", "oom", "more 137"])
      yield* kill
      yield* settled
      assert.deepStrictEqual(lines.slice(5), ["web 137"])
      assert.deepInclude((yield* record).exit, { oomKilled: false, oomCount: 2 })
    }).pipe(Effect.scoped))

  test("where the runtime makes no cgroup: nothing is known, pids come from the runtime, and the rest says why", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const { identity } = yield* create()
      assert.deepStrictEqual(yield* host.pids(web), [identity.pid])
      for (const ask of [Effect.asVoid(host.stats(web)), Effect.asVoid(host.processTable(web))]) {
        const error = yield* Effect.flip(ask)
        assert.strictEqual(error._tag, "Unavailable")
        assert.include(error.message, "no cgroup")
      }
      assert.deepStrictEqual(yield* host.statsOf({ namespace: web.namespace, containerIds: [web.containerId] }), [])
      yield* kill
      yield* settled
      assert.deepInclude((yield* record).exit, { oomKilled: false, oomCount: null, memoryPeak: null })
    }).pipe(Effect.scoped, Effect.provide(Layer.fresh(LocalHost.layer).pipe(Layer.provide(withoutGroups)))))

  test("reads no pids of the runtime where there is a cgroup", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      yield* world.onOperation("pids", {}, { fail: failed("pids", "asked") })
      const { identity } = yield* running()
      yield* exec("job", forever)
      const host = yield* ProcessHost
      assert.strictEqual((yield* host.pids(web)).length, 2)
      const table = yield* host.processTable(web)
      assert.deepStrictEqual(
        table.map(({ execId, pid }) => [pid === identity.pid, execId]),
        [
          [true, null],
          [false, job]
        ]
      )
    }))
})

describe("a host that follows another", () => {
  const test = testOfLives

  test("does not tell again what was told, and tells what happened in between", () =>
    Effect.gen(function* () {
      yield* scripted
      const first = yield* life(
        Effect.gen(function* () {
          const { lines } = yield* watching
          yield* running()
          yield* exec("job", hog)
          yield* TestClock.adjust("2 seconds")
          yield* exec("more", hog)
          return lines
        })
      )
      assert.deepStrictEqual(first.slice(1), ["oom", "job 137"])
      yield* TestClock.adjust("1 minute")
      yield* life(
        Effect.gen(function* () {
          const { lines } = yield* watching
          yield* settled
          assert.deepStrictEqual(lines.slice(1), ["more 137"])
          // It rose while there was no host: whoever watches this one finds it in the record.
          assert.strictEqual((yield* record).oomCount, 2)
          yield* kill
          yield* settled
          assert.deepInclude((yield* record).exit, { oomKilled: false, oomCount: 2 })
        })
      )
      yield* life(
        Effect.gen(function* () {
          const { lines } = yield* watching
          yield* TestClock.adjust("1 minute")
          assert.strictEqual(lines.length, 1)
          assert.deepStrictEqual((yield* (yield* ProcessHost).delete(web)).init?.oomCount, 2)
        })
      )
    }).pipe(Effect.scoped))

  test("has the count though the disk was full when it rose", () =>
    Effect.gen(function* () {
      yield* scripted
      yield* life(
        Effect.gen(function* () {
          yield* running()
          yield* (yield* Disk).fail(1, ({ ref }) => ref.execId === null)
          yield* exec("job", hog)
          const { lines } = yield* watching
          yield* TestClock.adjust("2 seconds")
          assert.deepStrictEqual(lines.slice(1), ["oom", "job 137"])
        })
      )
      yield* life(
        Effect.gen(function* () {
          yield* settled
          assert.strictEqual((yield* record).oomCount, 1)
          yield* (yield* ProcessHost).delete(refOf("web"))
        })
      )
    }).pipe(Effect.scoped))
})
