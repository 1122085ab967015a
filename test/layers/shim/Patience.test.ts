import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Logger, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as Proc from "../../../src/layers/posix/Proc.ts"
import { whileItGetsOn } from "../../../src/layers/shim/Patience.ts"

/** It looks like a shim of that folder, and calls a runtime for each line that it reads. */
const shimOf = (state: string) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn("/bin/sh", ["-c", "while read line; do sleep 1000 & done; kill $(jobs -p)", "/somewhere/shim.js", state], {
        stdio: ["pipe", "ignore", "ignore"]
      })
    ),
    (child) =>
      Effect.callback<void>((resume) => {
        child.once("exit", () => resume(Effect.void))
        child.stdin.end()
      })
  )

/** The children of a process, once there are so many that have become what they are. */
const untilChildren = (parent: number, count: number) =>
  Effect.map(Proc.withArgument("sleep"), (found) => found.filter((one) => one.parent === parent).length).pipe(
    Effect.repeat({ until: (found) => found === count, schedule: Schedule.spaced("5 millis") }),
    TestClock.withLive
  )

it.effect("a shim is waited for as long as it calls runtimes, and a minute more", () =>
  Effect.gen(function* () {
    const state = `/somewhere/${randomUUID()}`
    const { pid = 0, stdin } = yield* shimOf(state)
    yield* untilChildren(pid, 0)
    const said: Array<unknown> = []
    const log = Logger.layer([Logger.make(({ message }) => void said.push(message))])
    const waiting = yield* Effect.forkChild(Effect.provide(Effect.flip(whileItGetsOn(state, Effect.never)), log), {
      startImmediately: true
    })
    for (const call of [1, 2, 3]) {
      yield* TestClock.adjust("55 seconds")
      assert.isUndefined(waiting.pollUnsafe())
      stdin.write("\n")
      yield* untilChildren(pid, call)
    }
    yield* TestClock.adjust("60 seconds")
    assert.isUndefined(waiting.pollUnsafe())
    assert.lengthOf(said, 45)
    assert.include(String(said[0]), `waiting for the shim (pid ${pid})`)
    yield* TestClock.adjust("5 seconds")
    const error = yield* Fiber.join(waiting)
    assert.include(error.message, "done nothing new for 60 seconds")
    assert.include(error.mend ?? "", `kill -9 ${pid}`)
  })
)

it.effect("what the wait brings is what comes of it, and it ends the watching", () =>
  Effect.gen(function* () {
    const state = `/somewhere/${randomUUID()}`
    const waiting = yield* Effect.forkChild(whileItGetsOn(state, Effect.as(Effect.sleep("40 seconds"), "there")))
    yield* TestClock.adjust("40 seconds")
    assert.strictEqual(yield* Fiber.join(waiting), "there")
    assert.strictEqual(yield* Effect.flip(whileItGetsOn(state, Effect.fail("dead"))), "dead")
  })
)
