import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { TestClock } from "effect/testing"
import { ProcessReaper } from "../../../src/services/ProcessReaper.ts"
import { layer } from "../../../src/layers/mock/MockLayers.ts"
import { MockWorld } from "../../../src/layers/mock/MockWorld.ts"
import {
  bundle,
  created,
  driver,
  exec,
  none,
  running,
  sh,
  SIGCONT,
  signal,
  SIGHUP,
  SIGKILL,
  SIGSTOP,
  SIGTERM,
  SIGWINCH,
  specOf,
  target
} from "./support.ts"

const isUp = Effect.fnUntraced(function* (fiber: Fiber.Fiber<unknown>) {
  yield* TestClock.adjust("1 second")
  return fiber.pollUnsafe() === undefined
})

describe("signals", () => {
  it.effect("end a process with 128 + their number, but init only by KILL", () =>
    Effect.gen(function* () {
      const init = yield* running("c", ["sleep", "inf"])
      const beside = yield* exec("c", "e", ["sleep", "inf"])
      const up = yield* Effect.forkChild(init.exit)
      assert.isTrue(yield* signal(init.identity, SIGTERM))
      assert.isTrue(yield* isUp(up))
      assert.isTrue(yield* signal(beside.identity, SIGWINCH))
      assert.isTrue(yield* isUp(yield* Effect.forkChild(beside.exit)))
      assert.isTrue(yield* signal(beside.identity, SIGTERM))
      assert.strictEqual((yield* beside.exit).exitStatus, 143)
      assert.isTrue(yield* signal(init.identity, SIGKILL))
      assert.strictEqual((yield* init.exit).exitStatus, 137)
      assert.isFalse(yield* signal(init.identity, SIGKILL))
      assert.isFalse(yield* signal(init.identity, 0))
    }).pipe(Effect.provide(layer()))
  )

  it.effect("end an init that has no pid namespace of its own, and leave the others alone", () =>
    Effect.gen(function* () {
      const spec = { ...specOf(["sleep", "inf"]), linux: { namespaces: [{ type: "mount" }] } }
      const at = yield* bundle("c", ["sleep", "inf"], spec)
      const mock = yield* driver
      const init = yield* (yield* ProcessReaper).claim(yield* mock.create(at, none))
      yield* mock.start(at)
      const beside = yield* exec("c", "e", ["sleep", "3"])
      yield* signal(init.identity, SIGTERM)
      assert.strictEqual((yield* init.exit).exitStatus, 143)
      assert.deepStrictEqual(yield* mock.pids(at), [beside.identity.pid])
      const ended = yield* Effect.forkChild(beside.exit)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* Fiber.join(ended)).exitStatus, 0)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("run traps: those that end, those that go on, those that take time", () =>
    Effect.gen(function* () {
      const script = "trap '' HUP; trap 'sleep 2; exit 3' TERM; sleep 1; sleep inf"
      const { exit, identity } = yield* running("c", sh(script))
      const ended = yield* Effect.forkChild(exit)
      yield* signal(identity, SIGHUP)
      assert.isTrue(yield* isUp(ended))
      yield* signal(identity, SIGTERM)
      assert.isTrue(yield* isUp(ended))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(ended)).exitStatus, 3)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("stop and continue: time stands still, signals wait, KILL does not", () =>
    Effect.gen(function* () {
      yield* running("c", ["sleep", "inf"])
      const first = yield* exec("c", "first", ["sleep", "2"])
      const second = yield* exec("c", "second", ["sleep", "inf"])
      for (const { identity } of [first, second]) yield* signal(identity, SIGSTOP)
      yield* signal(second.identity, SIGTERM)
      const ended = yield* Effect.forkChild(first.exit)
      yield* TestClock.adjust("1 minute")
      assert.isTrue(yield* isUp(ended))
      assert.isTrue(yield* isUp(yield* Effect.forkChild(second.exit)))
      yield* signal(second.identity, SIGCONT)
      assert.strictEqual((yield* second.exit).exitStatus, 143)
      yield* signal(first.identity, SIGKILL)
      assert.strictEqual((yield* Fiber.join(ended)).exitStatus, 137)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("before start only KILL counts", () =>
    Effect.gen(function* () {
      const trap = sh("trap 'exit 5' TERM; sleep inf")
      const other = yield* created("d", trap)
      yield* signal(other.identity, SIGTERM)
      yield* (yield* driver).start(other.at)
      assert.isTrue(yield* isUp(yield* Effect.forkChild(other.exit)))
      const { exit, identity } = yield* created("c", trap)
      const ended = yield* Effect.forkChild(exit)
      yield* signal(identity, SIGTERM)
      assert.isTrue(yield* isUp(ended))
      yield* signal(identity, SIGKILL)
      assert.strictEqual((yield* Fiber.join(ended)).exitStatus, 137)
      const failure = yield* Effect.flip((yield* driver).start(target("c")))
      assert.include(failure.message, "stopped")
    }).pipe(Effect.provide(layer()))
  )
})

describe("the end of a container", () => {
  it.effect("takes execs and grandchildren along, before the end of init is known", () =>
    Effect.gen(function* () {
      const init = yield* running("c", ["sleep", "2"])
      const order: Array<string> = []
      const noteEnd = (name: string, child: { readonly exit: typeof init.exit }) =>
        Effect.forkChild(
          Effect.map(child.exit, ({ exitStatus, exitedAt }) =>
            order.push(`${exitedAt.epochMilliseconds} ${name} ${exitStatus}`)
          )
        )
      yield* noteEnd("init", init)
      yield* noteEnd("one", yield* exec("c", "one", ["sleep", "inf"]))
      yield* noteEnd("two", yield* exec("c", "two", sh("sleep 100 & wait")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* (yield* MockWorld).processes(init.at)).length, 4)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(order, ["2000 one 137", "2000 two 137", "2000 init 0"])
      assert.deepStrictEqual(yield* (yield* driver).pids(init.at), [])
      const refused = yield* Effect.flip(exec("c", "three", ["true"]))
      assert.include(refused.message, "stopped")
    }).pipe(Effect.provide(layer()))
  )

  it.effect("a process is claimed after it has ended, once", () =>
    Effect.gen(function* () {
      const { claim, identify } = yield* ProcessReaper
      const mock = yield* driver
      const at = yield* bundle("c", sh("exit 3"))
      const pid = yield* mock.create(at, none)
      yield* mock.start(at)
      yield* TestClock.adjust("1 minute")
      yield* mock.delete(at, { force: false })
      assert.isTrue(Option.isSome(yield* identify(pid)))
      const child = yield* claim(pid)
      const { exitedAt, exitStatus, source } = yield* child.exit
      assert.deepStrictEqual([exitStatus, exitedAt.epochMilliseconds, source], [3, 0, "reaped"])
      assert.isTrue(Option.isNone(yield* identify(pid)))
      const again = yield* claim(pid)
      assert.deepStrictEqual(yield* again.exit, yield* again.exit)
      assert.deepInclude(yield* again.exit, { exitStatus: 255, source: "unknown" })
    }).pipe(Effect.provide(layer()))
  )

  it.effect("a pid that is used again belongs to somebody else", () =>
    Effect.gen(function* () {
      const first = yield* running("a", ["true"])
      yield* first.exit
      const second = yield* running("b", ["sleep", "inf"])
      assert.strictEqual(second.identity.pid, first.identity.pid)
      assert.isFalse(yield* signal(first.identity, SIGKILL))
      assert.isFalse(yield* signal({ ...second.identity, bootId: "other" }, SIGKILL))
      assert.isTrue(yield* signal(second.identity, 0))
    }).pipe(Effect.provide(layer({ firstPid: 50, lastPid: 50 })))
  )
})
