/**
 * What every driver must do, real or pretended. Commands are those of a small shell, which the mock understands too.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Option, Result, Schedule } from "effect"
import type { Scope } from "effect"
import { ContainerId, ExecId, Namespace, RuntimeName } from "../../src/schema/Ids.ts"
import type { OciProcess } from "../../src/schema/OciSpec.ts"
import type { Capability } from "../../src/schema/Runtime.ts"
import type { Descriptors, Driver, DriverError, Target } from "../../src/services/OciRuntime.ts"
import { OciRuntime } from "../../src/services/OciRuntime.ts"
import { ProcessReaper } from "../../src/services/ProcessReaper.ts"

/** Makes a bundle whose init runs a command, under an id that nobody has. Closing the scope removes it. */
export class Bundles extends Context.Service<
  Bundles,
  { readonly make: (args: ReadonlyArray<string>) => Effect.Effect<Target, never, Scope.Scope> }
>()("test/suites/Bundles") {}

export interface Under {
  /** The runtime's name. */
  readonly runtime: string
  /** Cases that need another capability are left out. */
  readonly capabilities: ReadonlyArray<Capability>
  /** How many processes a shell is that has started another one, at least; the mock counts the shell alone. */
  readonly pidsOfTwo: number
}

const nothing: Descriptors = { stdin: null, stdout: null, stderr: null }
const sh = (script: string) => ["sh", "-c", script]
const sigterm = 15
const sigkill = 9

const inside = (args: ReadonlyArray<string>): OciProcess => ({
  cwd: "/",
  args,
  env: ["PATH=/bin"],
  user: { uid: 0, gid: 0 }
})

const driverOf = Effect.fnUntraced(function* (under: Under) {
  return yield* (yield* OciRuntime).driver(RuntimeName.make(under.runtime))
})

/** A container that is removed at the end, whatever the test did with it. */
const created = Effect.fnUntraced(function* (driver: Driver, args: ReadonlyArray<string>) {
  const target = yield* (yield* Bundles).make(args)
  yield* Effect.addFinalizer(() => Effect.orDie(driver.delete(target, { force: true })))
  return { target, pid: yield* driver.create(target, nothing) }
})

const running = Effect.fnUntraced(function* (driver: Driver, args: ReadonlyArray<string>) {
  const { pid, target } = yield* created(driver, args)
  const child = yield* (yield* ProcessReaper).claim(pid)
  yield* driver.start(target)
  return { child, target }
})

const reasonOf = (error: DriverError) => (error._tag === "RuntimeFailed" ? error.reason : error._tag)

/** The cases, on one driver. `layer` provides the driver under its name. */
export const driverSuite = (
  name: string,
  under: Under,
  layer: Layer.Layer<OciRuntime | ProcessReaper | Bundles>
): void => {
  const can = (capability: Capability) => under.capabilities.includes(capability)
  /** Where the capability is lacking, says which case that costs. */
  const excluded = (capability: Capability, title: string) => {
    if (can(capability)) return false
    process.stderr.write(`driver suite on ${name}: without ${capability}, so without: ${title}\n`)
    return true
  }

  withLayer(layer, { excludeTestServices: true, timeout: "30 seconds" })(`driver: ${name}`, (it) => {
    it.effect("says what it is", () =>
      Effect.gen(function* () {
        const { info } = yield* driverOf(under)
        assert.strictEqual(info.name, under.runtime)
        assert.isTrue(info.available)
        assert.includeMembers([...info.capabilities], [...under.capabilities])
      })
    )

    it.effect("runs a command to its exit code", () =>
      Effect.gen(function* () {
        const { child } = yield* running(yield* driverOf(under), sh("exit 7"))
        const reaped = yield* child.exit
        assert.deepStrictEqual([reaped.exitStatus, reaped.source], [7, "reaped"])
        assert.deepStrictEqual(yield* child.exit, reaped)
      })
    )

    it.effect("runs nothing before start", () =>
      Effect.gen(function* () {
        const driver = yield* driverOf(under)
        const { pid, target } = yield* created(driver, ["true"])
        const child = yield* (yield* ProcessReaper).claim(pid)
        const exit = yield* Effect.forkChild(child.exit)
        yield* Effect.sleep("100 millis")
        assert.isUndefined(exit.pollUnsafe())
        yield* driver.start(target)
        assert.strictEqual((yield* Fiber.join(exit)).exitStatus, 0)
      })
    )

    it.effect("reports death by a signal as 128 + its number", () =>
      Effect.gen(function* () {
        const { child } = yield* running(yield* driverOf(under), ["sleep", "100"])
        const { signal } = yield* ProcessReaper
        assert.isTrue(yield* signal(child.identity, sigkill))
        assert.strictEqual((yield* child.exit).exitStatus, 137)
        assert.isFalse(yield* signal(child.identity, sigkill))
      })
    )

    it.effect("keeps the exit of a process that ended before it was claimed", () =>
      Effect.gen(function* () {
        const driver = yield* driverOf(under)
        const { pid, target } = yield* created(driver, sh("exit 3"))
        yield* driver.start(target)
        yield* Effect.sleep("200 millis")
        const child = yield* (yield* ProcessReaper).claim(pid)
        const reaped = yield* child.exit
        assert.deepStrictEqual([reaped.exitStatus, reaped.source], [3, "reaped"])
      })
    )

    for (const [command, reason] of [
      ["/nowhere/program", "command-not-found"],
      ["no-such-program", "command-not-found"],
      ["/etc/passwd", "command-not-executable"],
      ["/etc", "command-not-executable"]
    ] as const) {
      it.effect(`create: ${command} is ${reason}, and leaves nothing`, () =>
        Effect.gen(function* () {
          const driver = yield* driverOf(under)
          const target = yield* (yield* Bundles).make([command])
          assert.strictEqual(reasonOf(yield* Effect.flip(driver.create(target, nothing))), reason)
          yield* driver.delete(target, { force: false })
        })
      )
    }

    it.effect("refuses an id that exists, and leaves its owner alone", () =>
      Effect.gen(function* () {
        const driver = yield* driverOf(under)
        const { child, target } = yield* running(driver, ["sleep", "100"])
        assert.strictEqual(reasonOf(yield* Effect.flip(driver.create(target, nothing))), "failed")
        assert.isTrue(yield* (yield* ProcessReaper).signal(child.identity, 0))
      })
    )

    it.effect("deletes by force what runs, and again what is gone", () =>
      Effect.gen(function* () {
        const driver = yield* driverOf(under)
        const { child, target } = yield* running(driver, ["sleep", "100"])
        assert.strictEqual(reasonOf(yield* Effect.flip(driver.delete(target, { force: false }))), "failed")
        yield* driver.delete(target, { force: true })
        assert.strictEqual((yield* child.exit).exitStatus, 137)
        yield* driver.delete(target, { force: true })
        yield* driver.delete(target, { force: false })
      })
    )

    it.effect("deletes what it never knew", () =>
      Effect.gen(function* () {
        const driver = yield* driverOf(under)
        const bundle = "/nowhere/bundle"
        const target: Target = { namespace: Namespace.make("none"), containerId: ContainerId.make("none"), bundle }
        yield* driver.delete(target, { force: false })
        yield* driver.delete(target, { force: true })
      })
    )

    it.effect("lists the pids of the container", () =>
      Effect.gen(function* () {
        const driver = yield* driverOf(under)
        const { child, target } = yield* running(driver, ["sleep", "100"])
        assert.deepStrictEqual(yield* driver.pids(target), [child.identity.pid])
        yield* (yield* ProcessReaper).signal(child.identity, sigkill)
        yield* child.exit
        assert.deepStrictEqual(yield* driver.pids(target), [])
      })
    )

    it.effect("makes many at once, each with its own exit", () =>
      Effect.gen(function* () {
        const driver = yield* driverOf(under)
        const codes = Array.from({ length: 20 }, (_, index) => index)
        const exits = yield* Effect.forEach(
          codes,
          Effect.fnUntraced(function* (code) {
            const { child } = yield* running(driver, sh(`exit ${code}`))
            return (yield* child.exit).exitStatus
          }),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(exits, codes)
      })
    )

    if (!excluded("exec", "exec: exit codes, signals, programs that cannot be executed")) {
      it.effect("exec: exit codes and signals, while init goes on", () =>
        Effect.gen(function* () {
          const driver = yield* driverOf(under)
          const { claim, signal } = yield* ProcessReaper
          const { child, target } = yield* running(driver, ["sleep", "100"])
          const first = yield* driver.exec(target, ExecId.make("first"), inside(sh("exit 9")), nothing)
          assert.strictEqual((yield* (yield* claim(first)).exit).exitStatus, 9)
          const second = yield* claim(
            yield* driver.exec(target, ExecId.make("second"), inside(["sleep", "100"]), nothing)
          )
          assert.sameMembers([...(yield* driver.pids(target))], [child.identity.pid, second.identity.pid])
          assert.isTrue(yield* signal(second.identity, sigterm))
          assert.strictEqual((yield* second.exit).exitStatus, 143)
          assert.isTrue(yield* signal(child.identity, 0))
        })
      )

      for (const [command, reason] of [
        ["/nowhere/program", "command-not-found"],
        ["/etc/passwd", "command-not-executable"]
      ] as const) {
        it.effect(`exec: ${command} is ${reason}, and init goes on`, () =>
          Effect.gen(function* () {
            const driver = yield* driverOf(under)
            const { child, target } = yield* running(driver, ["sleep", "100"])
            const failure = yield* Effect.flip(driver.exec(target, ExecId.make("e"), inside([command]), nothing))
            assert.strictEqual(reasonOf(failure), reason)
            assert.isTrue(yield* (yield* ProcessReaper).signal(child.identity, 0))
          })
        )
      }
    } else {
      it.effect("exec is Unsupported", () =>
        Effect.gen(function* () {
          const driver = yield* driverOf(under)
          const { target } = yield* running(driver, ["sleep", "100"])
          const refused = yield* Effect.flip(driver.exec(target, ExecId.make("e"), inside(["true"]), nothing))
          assert.strictEqual(refused._tag, "Unsupported")
        })
      )
    }

    if (!excluded("update", "update: sets what is named")) {
      it.effect("update: sets what is named, and answers what held before and holds now", () =>
        Effect.gen(function* () {
          const driver = yield* driverOf(under)
          const { child, target } = yield* running(driver, ["sleep", "100"])
          const first = yield* driver.update(target, { pids: { limit: 50 }, cpu: { shares: 512 } })
          const second = yield* driver.update(target, { pids: { limit: 60 } })
          assert.deepStrictEqual([second.before, second.after.pids?.limit], [first.after, 60])
          assert.deepStrictEqual([first.after.pids?.limit, second.after.cpu?.shares], [50, 512])
          yield* (yield* ProcessReaper).signal(child.identity, sigkill)
          yield* child.exit
          yield* driver.delete(target, { force: true })
          assert.notStrictEqual(reasonOf(yield* Effect.flip(driver.update(target, { pids: { limit: 9 } }))), "deadline")
        })
      )
    } else {
      it.effect("update is Unsupported", () =>
        Effect.gen(function* () {
          const driver = yield* driverOf(under)
          const { target } = yield* running(driver, ["sleep", "100"])
          assert.strictEqual(reasonOf(yield* Effect.flip(driver.update(target, {}))), "Unsupported")
        })
      )
    }

    it.effect("what init has started ends when the container is deleted", () =>
      Effect.gen(function* () {
        const driver = yield* driverOf(under)
        const { child, target } = yield* running(driver, sh("sleep 1000 & sleep 1000"))
        const all = yield* Effect.repeat(driver.pids(target), {
          until: (pids) => pids.length >= under.pidsOfTwo,
          schedule: Schedule.spaced("10 millis"),
          times: 200
        })
        const { identify, signal } = yield* ProcessReaper
        const identities = (yield* Effect.forEach(all, identify)).flatMap(Option.toArray)
        assert.isAtLeast(identities.length, under.pidsOfTwo)
        assert.isTrue(yield* signal(child.identity, sigkill))
        yield* child.exit
        yield* driver.delete(target, { force: false })
        for (const identity of identities) assert.isFalse(yield* signal(identity, 0))
      })
    )

    if (!excluded("pause", "pause: nothing goes on until resume")) {
      it.effect("pause: nothing goes on until resume", () =>
        Effect.gen(function* () {
          const driver = yield* driverOf(under)
          const { child, target } = yield* running(driver, sh("sleep 0.8; exit 4"))
          yield* driver.pause(target)
          const ended = yield* Effect.forkChild(child.exit)
          yield* Effect.sleep("1200 millis")
          assert.isUndefined(ended.pollUnsafe())
          yield* driver.resume(target)
          assert.strictEqual((yield* Fiber.join(ended)).exitStatus, 4)
        })
      )
    } else {
      it.effect("pause is Unsupported", () =>
        Effect.gen(function* () {
          const driver = yield* driverOf(under)
          const { target } = yield* running(driver, ["sleep", "100"])
          const paused = yield* Effect.result(driver.pause(target))
          assert.isTrue(Result.isFailure(paused) && paused.failure._tag === "Unsupported")
        })
      )
    }
  })
}
