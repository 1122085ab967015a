import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { execFileSync, spawn as nodeSpawn } from "node:child_process"
import { closeSync, readFileSync } from "node:fs"
import { Children } from "../../../src/layers/posix/Children.ts"
import type { Start } from "../../../src/layers/posix/Children.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import * as Proc from "../../../src/layers/posix/Proc.ts"

const layer = Children.layer.pipe(Layer.provideMerge(Libc.layer))

const shell = (script: string): Start => ({
  path: "/bin/sh",
  args: ["-c", script],
  env: { PATH: "/usr/bin:/bin" },
  stdin: null,
  stdout: null,
  stderr: null
})

const dead = (pid: number) => Effect.map(Proc.stat(pid), Option.exists(Proc.isDead))
const codes = Array.from({ length: 100 }, (_, index) => index)

/** Holds the event loop, so that no SIGCHLD is heard before the child has ended. */
const heldUntilDead = (pid: number) =>
  Effect.sync(() => {
    while (!readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z")) execFileSync("/bin/sleep", ["0.01"])
  })

describe("Children", () => {
  it.live("gives the exit of each, once and for all who ask, and forgets it", () =>
    Effect.gen(function* () {
      const { has, spawn } = yield* Children
      const child = yield* spawn(shell("sleep 0.05; exit 7"))
      assert.deepStrictEqual([has(child.pid), child.isOver(), child.output], [true, false, null])
      assert.deepStrictEqual(yield* Effect.all([child.exit, child.exit], { concurrency: "unbounded" }), [7, 7])
      assert.deepStrictEqual([has(child.pid), child.isOver(), yield* child.exit], [false, true, 7])
      assert.strictEqual(yield* (yield* spawn(shell("kill -9 $$"))).exit, 137)
    }).pipe(Effect.provide(layer))
  )

  it.live("gives the end of a pipe of which it keeps no other", () =>
    Effect.gen(function* () {
      const { spawn } = yield* Children
      const child = yield* spawn({ ...shell("echo out"), stdout: "pipe" })
      yield* child.exit
      const fd = child.output ?? -1
      // It would not come back if this process still could write.
      assert.strictEqual(readFileSync(fd, "utf8"), "out\n")
      closeSync(fd)
    }).pipe(Effect.provide(layer))
  )

  it.live("leaves no descriptor behind where the program cannot be started", () =>
    Effect.gen(function* () {
      const { spawn } = yield* Children
      const { pipe } = yield* Libc
      const next = Effect.map(pipe, ({ read, write }) => {
        for (const fd of [read, write]) closeSync(fd)
        return [read, write]
      })
      const before = yield* next
      yield* Effect.flip(spawn({ ...shell(""), path: "/nowhere/program", stdout: "pipe" }))
      assert.deepStrictEqual(yield* next, before)
    }).pipe(Effect.provide(layer))
  )

  it.live("and Node each get the exits of their own, many at once", () =>
    Effect.gen(function* () {
      const { spawn } = yield* Children
      const own = Effect.forEach(codes, (code) => Effect.flatMap(spawn(shell(`exit ${code}`)), ({ exit }) => exit), {
        concurrency: "unbounded"
      })
      const node = Effect.forEach(
        codes,
        (code) =>
          Effect.callback<number | null>((resume) => {
            nodeSpawn("/bin/sh", ["-c", `exit ${100 + code}`]).on("exit", (code) => resume(Effect.succeed(code)))
          }),
        { concurrency: "unbounded" }
      )
      const [ours, theirs] = yield* Effect.all([own, node], { concurrency: "unbounded" })
      assert.deepStrictEqual(ours, codes)
      assert.deepStrictEqual(
        theirs,
        codes.map((code) => 100 + code)
      )
    }).pipe(Effect.provide(layer))
  )

  it.live("is not kept from an exit by a zombie that is nobody's, and leaves that one", () =>
    Effect.gen(function* () {
      const { spawn } = yield* Children
      const libc = yield* Libc
      const stray = yield* libc.spawn({ ...shell("exit 3"), stdout: null })
      yield* heldUntilDead(stray)
      const child = yield* spawn(shell("sleep 0.1; exit 4"))
      assert.strictEqual(yield* child.exit, 4)
      assert.isTrue(yield* dead(stray))
      assert.deepStrictEqual(yield* libc.endedChild, Option.some(stray))
      assert.deepStrictEqual(yield* libc.waitpid(stray), Option.some(3))
      // On a clock that stands still there is no sweep that would find it later.
    }).pipe(Effect.provide(Layer.provide(layer, TestClock.layer())))
  )

  it.live("adopts a child that ended before, and the same one once", () =>
    Effect.gen(function* () {
      const { adopt } = yield* Children
      const libc = yield* Libc
      const ended = yield* libc.spawn({ ...shell("exit 5"), stdout: null })
      yield* heldUntilDead(ended)
      const first = yield* adopt(ended)
      assert.isTrue(first.isOver())
      assert.strictEqual(yield* first.exit, 5)
      const running = yield* libc.spawn({ ...shell("sleep 0.05; exit 6"), stdout: null })
      assert.strictEqual(yield* adopt(running), yield* adopt(running))
      assert.strictEqual(yield* (yield* adopt(running)).exit, 6)
      assert.strictEqual((yield* Effect.flip((yield* adopt(running)).exit)).code, "ECHILD")
      assert.strictEqual((yield* Effect.flip((yield* adopt(1)).exit)).code, "ECHILD")
    }).pipe(Effect.provide(layer))
  )

  it.effect("finds at its slow sweep what no signal told of", () =>
    Effect.gen(function* () {
      const heard = new Set(process.listeners("SIGCHLD"))
      yield* Effect.gen(function* () {
        const { spawn } = yield* Children
        for (const listener of process.listeners("SIGCHLD")) {
          if (!heard.has(listener)) process.off("SIGCHLD", listener)
        }
        const lost = yield* spawn(shell("sleep 0.05; exit 8"))
        yield* heldUntilDead(lost.pid)
        yield* TestClock.adjust("1 second")
        assert.isFalse(lost.isOver())
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* lost.exit, 8)
        const taken = yield* spawn(shell("sleep 0.05; exit 9"))
        yield* heldUntilDead(taken.pid)
        assert.deepStrictEqual(yield* (yield* Libc).waitpid(taken.pid), Option.some(9))
        const fiber = yield* Effect.forkChild(Effect.flip(taken.exit))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* Fiber.join(fiber)).code, "ECHILD")
      }).pipe(Effect.provide(layer))
    })
  )
})
