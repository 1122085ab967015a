import { assert, describe, it, layer as withLayer } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, Option, Schedule } from "effect"
import { TestClock } from "effect/testing"
import type { Scope } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import * as Reaper from "../../src/layers/Reaper.ts"
import { Children } from "../../src/layers/posix/Children.ts"
import { Libc } from "../../src/layers/posix/Libc.ts"
import * as Proc from "../../src/layers/posix/Proc.ts"
import * as Foreign from "../../src/layers/reaper/Foreign.ts"
import * as Strays from "../../src/layers/reaper/Strays.ts"
import type { Reaped } from "../../src/schema/Process.ts"
import { ProcessReaper } from "../../src/services/ProcessReaper.ts"
import { failure } from "../support/atOnce.ts"
import { kernelTells } from "../support/host.ts"
import { leftOut } from "../support/leftOut.ts"
import { withoutDescriptors } from "../support/noDescriptors.ts"

const layer = Reaper.layer.pipe(Layer.provideMerge(Children.layer), Layer.provideMerge(Libc.layer), Layer.orDie)

if (!kernelTells) leftOut("a child of another whose parent waited for it", "the kernel is older than Linux 6.15")

/**
 * A process whose parent ends at once, as a runtime does. It waits until it is ours before it runs the script, or its
 * parent might wait for it.
 */
const orphan = (script: string, uid = process.geteuid?.() ?? 0) =>
  Effect.sync(() => {
    const adopted = `until read -r _ _ _ parent _ < /proc/$$/stat && [ "$parent" = ${process.pid} ]; do :; done`
    const args = ["-c", `sh -c "$0" </dev/null >/dev/null 2>&1 & echo $!`, `${adopted}; ${script}`]
    return Number(execFileSync("/bin/sh", args, { encoding: "utf8", uid }))
  })

/** A process with a living parent that is not us; the parent waits for it only where `reaps` says so. */
const foreign = (script: string, reaps: boolean): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly pid: number; readonly end: () => void }>((resume) => {
      const then = reaps ? "wait; exec sleep 100" : "exec sleep 100"
      const parent = spawn("/bin/sh", ["-c", `sh -c "$0" & echo $!; ${then}`, script], {
        stdio: ["ignore", "pipe", "ignore"]
      })
      parent.stdout.once("data", (pid) =>
        resume(Effect.succeed({ pid: Number(pid), end: () => parent.kill("SIGKILL") }))
      )
    }),
    ({ end }) => Effect.sync(end)
  ).pipe(Effect.map(({ pid }) => pid))

const untilDead = Effect.fnUntraced(function* (pid: number) {
  while (Option.exists(yield* Proc.stat(pid), (stat) => !Proc.isDead(stat))) yield* Effect.sleep("5 millis")
})

withLayer(layer, { excludeTestServices: true })("Reaper", (it) => {
  it.effect("gives the exit code of a child, to any number of waiters", () =>
    Effect.gen(function* () {
      const { claim } = yield* ProcessReaper
      const child = yield* claim(yield* orphan("sleep 0.05; exit 7"))
      const exits = yield* Effect.all([child.exit, child.exit], { concurrency: "unbounded" })
      assert.deepStrictEqual(
        exits.map(({ exitStatus, source }) => [exitStatus, source]),
        [
          [7, "reaped"],
          [7, "reaped"]
        ]
      )
      assert.deepStrictEqual(yield* child.exit, exits[0])
    })
  )

  it.effect("finds the exit of a child that ended before it was claimed", () =>
    Effect.gen(function* () {
      const { claim } = yield* ProcessReaper
      const pid = yield* orphan("exit 9")
      yield* untilDead(pid)
      const child = yield* claim(pid)
      const reaped = yield* child.exit
      assert.deepStrictEqual([reaped.exitStatus, reaped.source], [9, "reaped"])
      assert.notStrictEqual(child.identity.startTime, "0")
    })
  )

  it.effect("tells of an exit at once, not at its next sweep", () =>
    Effect.gen(function* () {
      const { claim } = yield* ProcessReaper
      const child = yield* claim(yield* orphan("sleep 0.1"))
      const [took] = yield* Effect.timed(child.exit)
      assert.isBelow(Duration.toMillis(took), 1000)
    })
  )

  it.effect("reports signals, real-time ones too, as 128 + number", () =>
    Effect.gen(function* () {
      const { claim, signal } = yield* ProcessReaper
      for (const number of [9, 15, 34, 40, 64]) {
        const child = yield* claim(yield* orphan("exec sleep 100"))
        assert.isTrue(yield* signal(child.identity, number))
        assert.strictEqual((yield* child.exit).exitStatus, 128 + number)
      }
    })
  )

  it.effect("signals nobody but the very process", () =>
    Effect.gen(function* () {
      const { claim, identify, signal } = yield* ProcessReaper
      const child = yield* claim(yield* orphan("exec sleep 100"))
      const { identity } = child
      assert.isFalse(yield* signal({ ...identity, startTime: "1" }, 9))
      assert.isFalse(yield* signal({ ...identity, bootId: "another" }, 9))
      assert.isTrue(yield* signal(identity, 0))
      assert.deepStrictEqual(yield* identify(identity.pid), Option.some(identity))
      assert.isTrue(yield* signal(identity, 9))
      yield* child.exit
      assert.isFalse(yield* signal(identity, 9))
      assert.isTrue(Option.isNone(yield* identify(identity.pid)))
    })
  )

  it.effect("does not signal a child that has ended and is not yet waited for", () =>
    Effect.gen(function* () {
      const { claim, signal } = yield* ProcessReaper
      const child = yield* claim(yield* orphan("exec sleep 100"))
      const { pid } = child.identity
      yield* Effect.sync(() => {
        process.kill(pid, 9)
        // Holds the event loop, so that no SIGCHLD is heard.
        while (!readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z")) execFileSync("sleep", ["0.01"])
      })
      assert.isFalse(yield* signal(child.identity, 0))
      assert.strictEqual((yield* child.exit).exitStatus, 137)
    })
  )

  it.effect("does not signal an unclaimed process that has ended and is not yet waited for", () =>
    Effect.gen(function* () {
      const { claim, signal } = yield* ProcessReaper
      const bootId = yield* Proc.bootId
      const pid = yield* orphan("exit 0")
      yield* untilDead(pid)
      const { startTime } = yield* Effect.fromOption(yield* Proc.stat(pid))
      assert.isFalse(yield* signal({ pid, startTime, bootId }, 0))
      yield* (yield* claim(pid)).exit
    })
  )

  it.effect("gives one and the same child for a pid that it has", () =>
    Effect.gen(function* () {
      const { claim, signal } = yield* ProcessReaper
      const pid = yield* orphan("exec sleep 100")
      const [first, second] = yield* Effect.all([claim(pid), claim(pid)])
      assert.strictEqual(first, second)
      yield* signal(first.identity, 9)
      yield* first.exit
    })
  )

  it.effect("loses none of many exits at once", () =>
    Effect.gen(function* () {
      const { claim } = yield* ProcessReaper
      const codes = Array.from({ length: 40 }, (_, index) => index)
      const children = yield* Effect.forEach(codes, (code) => Effect.flatMap(orphan(`sleep 0.1; exit ${code}`), claim))
      const exits = yield* Effect.forEach(children, ({ exit }) => exit)
      assert.deepStrictEqual(
        exits.map(({ exitStatus }) => exitStatus),
        codes
      )
    })
  )

  it.effect("leaves the children of Node to Node", () =>
    Effect.gen(function* () {
      const { claim } = yield* ProcessReaper
      const codes = yield* Effect.forEach(
        [3, 4, 5],
        (code) =>
          Effect.callback<number | null>((resume) => {
            spawn("/bin/sh", ["-c", `exit ${code}`]).on("exit", (code) => resume(Effect.succeed(code)))
          }).pipe(
            Effect.tap(Effect.flatMap(orphan("exit 0"), (pid) => Effect.flatMap(claim(pid), ({ exit }) => exit)))
          ),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(codes, [3, 4, 5])
    })
  )

  it.effect.runIf(kernelTells)(
    "learns from the kernel how the child of another ended, whose parent waited for it",
    () =>
      Effect.gen(function* () {
        const { claim, signal } = yield* ProcessReaper
        const first = yield* claim(yield* foreign("sleep 0.1; exit 42", true))
        const reaped = yield* first.exit
        assert.deepStrictEqual([reaped.exitStatus, reaped.source], [42, "kernel"])
        const second = yield* claim(yield* foreign("exec sleep 100", true))
        assert.isTrue(yield* signal(second.identity, 15))
        assert.deepStrictEqual((yield* second.exit).exitStatus, 143)
        assert.isFalse(yield* signal(second.identity, 15))
      })
  )

  it.effect("learns from the kernel how the child of another ended, when nobody waits for it", () =>
    Effect.gen(function* () {
      const { claim } = yield* ProcessReaper
      const reaped = yield* (yield* claim(yield* foreign("sleep 0.1; exit 5", false))).exit
      assert.deepStrictEqual([reaped.exitStatus, reaped.source], [5, "kernel"])
    })
  )

  it.effect("concludes nothing of processes that it cannot look at", () =>
    Effect.gen(function* () {
      const { claim, identify, isAlive, signal } = yield* ProcessReaper
      const own = yield* claim(yield* orphan("exec sleep 100"))
      const theirs = yield* claim(yield* foreign("exec sleep 100", false))
      const unclaimed = yield* foreign("exec sleep 100", false)
      const late = yield* withoutDescriptors(
        Effect.gen(function* () {
          for (const { identity } of [own, theirs]) {
            assert.match(yield* failure(identify(identity.pid)), /^Unavailable: .*EMFILE/)
            assert.match(yield* failure(isAlive(identity)), /^Unavailable: .*EMFILE/)
          }
          assert.match(yield* failure(claim(unclaimed)), /^Unavailable: .*EMFILE/)
          assert.match(yield* failure(signal(theirs.identity, 0)), /^Unavailable: .*EMFILE/)
          assert.isTrue(yield* signal(own.identity, 0))
          return yield* Effect.timeoutOption(Effect.raceFirst(own.exit, theirs.exit), "300 millis")
        })
      )
      assert.isTrue(Option.isNone(late))
      const child = yield* claim(unclaimed)
      for (const { exit, identity } of [own, theirs, child]) {
        assert.isTrue(yield* isAlive(identity))
        assert.isTrue(yield* signal(identity, 15))
        assert.strictEqual((yield* exit).exitStatus, 143)
      }
    })
  )

  it.effect.runIf(process.geteuid?.() === 0)(
    "says of a process that belongs to another user that it may not be signalled",
    () =>
      Effect.gen(function* () {
        const { claim, identify, signal } = yield* ProcessReaper
        const own = yield* claim(yield* orphan("exec sleep 100", 1234))
        const other = yield* orphan("exec sleep 100", 1234)
        const theirs = { identity: yield* Effect.flatMap(identify(other), Effect.fromOption) }
        const refusals = yield* Effect.acquireUseRelease(
          Effect.sync(() => process.seteuid?.(65_534)),
          () => Effect.forEach([own, theirs], ({ identity }) => failure(signal(identity, 15))),
          () => Effect.sync(() => process.seteuid?.(0))
        )
        for (const refusal of refusals) assert.match(refusal, /^PermissionDenied/)
        for (const { exit, identity } of [own, yield* claim(other)]) {
          assert.isTrue(yield* signal(identity, 15))
          assert.strictEqual((yield* exit).exitStatus, 143)
        }
      })
  )

  it.effect("goes on to reap strays after a time in which it could not look for them", () =>
    Effect.gen(function* () {
      const pid = yield* orphan("sleep 0.2; exit 3")
      yield* withoutDescriptors(Effect.sleep("1 second"))
      yield* Effect.map(Proc.stat(pid), Option.isNone).pipe(
        Effect.repeat({ until: (gone) => gone, schedule: Schedule.spaced("20 millis") }),
        Effect.timeout("5 seconds")
      )
    })
  )

  it.effect("learns how a child of another ends for which there was no descriptor at first", () =>
    Effect.gen(function* () {
      const { pid, startTime } = yield* Effect.fromOption(yield* Proc.stat(yield* foreign("exec sleep 100", true)))
      const watch = yield* Foreign.make
      const told = yield* Deferred.make<Reaped>()
      const identity = { pid, startTime, bootId: yield* Proc.bootId }
      yield* withoutDescriptors(
        Effect.andThen(
          watch(identity, (reaped) => Deferred.succeed(told, reaped)),
          Effect.sleep("200 millis")
        )
      )
      assert.isFalse(yield* Deferred.isDone(told))
      // Once a pidfd is asked for again.
      yield* Effect.sleep("1500 millis")
      process.kill(pid, 15)
      assert.strictEqual((yield* Deferred.await(told)).exitStatus, kernelTells ? 143 : 255)
    })
  )

  it.effect("does not know how a process ended that was gone before", () =>
    Effect.gen(function* () {
      const { claim } = yield* ProcessReaper
      const pid = yield* orphan("exit 5")
      yield* (yield* claim(pid)).exit
      const reaped = yield* (yield* claim(pid)).exit
      assert.deepStrictEqual([reaped.exitStatus, reaped.source], [255, "unknown"])
    })
  )
})

describe("Reaper", () => {
  it.live("interrupts those who wait when it ends, and listens no longer", () =>
    Effect.gen(function* () {
      const before = process.listenerCount("SIGCHLD")
      const { child, waiting } = yield* Effect.scoped(
        Effect.gen(function* () {
          const child = yield* (yield* ProcessReaper).claim(yield* orphan("exec sleep 100"))
          assert.strictEqual(process.listenerCount("SIGCHLD"), before + 1)
          return { child, waiting: yield* Effect.forkDetach(child.exit) }
        }).pipe(Effect.provide(layer))
      )
      assert.isTrue((yield* Fiber.await(waiting))._tag === "Failure")
      assert.strictEqual(process.listenerCount("SIGCHLD"), before)
      process.kill(child.identity.pid, 9)
    })
  )

  it.effect("reaps strays, but gives them time to be claimed, and spares what is claimed or waited for", () =>
    Effect.gen(function* () {
      yield* (yield* Libc).setChildSubreaper
      const pids = yield* Effect.all([orphan("exit 3"), orphan("exit 0"), orphan("exit 0")])
      const [, claimed, awaited] = pids
      yield* TestClock.withLive(Effect.forEach(pids, untilDead))
      const left = Effect.map(Effect.forEach(pids, Proc.stat), (found) => found.map(Option.isSome))
      const unused = () => Effect.die("unused")
      const strays = yield* Strays.make((pid) => pid === claimed).pipe(
        Effect.provideService(
          Children,
          Children.of({ spawn: unused, adopt: unused, stranger: Effect.never, has: (pid) => pid === awaited })
        )
      )
      yield* strays.sweep()
      yield* TestClock.adjust("100 millis")
      assert.isTrue(yield* strays.sweep())
      assert.deepStrictEqual(yield* left, [true, true, true])
      yield* TestClock.adjust("50 millis")
      assert.isFalse(yield* strays.sweep())
      assert.deepStrictEqual(yield* left, [false, true, true])
      assert.deepStrictEqual(
        Option.map(strays.recall(pids[0]), ({ exitStatus }) => exitStatus),
        Option.some(3)
      )
      assert.isTrue(Option.isNone(strays.recall(pids[0])))
      yield* Effect.forEach([claimed, awaited], (yield* Libc).waitpid)
    }).pipe(Effect.provide(Libc.layer))
  )
})
