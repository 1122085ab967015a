import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import { TestClock } from "effect/testing"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { Children } from "../../../src/layers/posix/Children.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import * as Proc from "../../../src/layers/posix/Proc.ts"
import { attempt, hold, holder, socketOf } from "../../../src/layers/shim/ShimLock.ts"
import { temporaryFolder } from "../../support/folder.ts"

const lockOf = (state: string) => join(state, "shim.lock")

/** How often this process was told to look at its socket; without that it would die of it. */
const roused = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const asked = { times: 0, listener: () => void asked.times++ }
      process.on("SIGHUP", asked.listener)
      return asked
    }),
    ({ listener }) => Effect.sync(() => process.off("SIGHUP", listener))
  ),
  (asked) => () => asked.times
)

/** Another that has it, until its scope is closed. */
const taken = Effect.fnUntraced(function* (state: string) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  yield* Scope.provide(hold(state), scope)
  return scope
})

it.effect("who has the lock is known by it, and nobody else gets it before it is let go", () =>
  Effect.gen(function* () {
    const state = yield* temporaryFolder
    assert.deepStrictEqual(yield* holder(state), Option.none())
    const scope = yield* taken(state)
    assert.deepStrictEqual(
      Option.map(yield* holder(state), ({ pid }) => pid),
      Option.some(process.pid)
    )
    assert.isNull(yield* attempt(state))
    yield* Scope.close(scope, Exit.void)
    assert.isNumber(yield* attempt(state))
  }).pipe(Effect.scoped, Effect.provide(Libc.layer))
)

it.effect("what an earlier one has said of itself names nobody", () =>
  Effect.gen(function* () {
    const state = yield* temporaryFolder
    const bootId = yield* Proc.bootId
    const [{ startTime }] = [Option.getOrThrow(yield* Proc.stat(process.pid))]
    const texts = ["", "words", `${process.pid}`, `${process.pid} 1 ${bootId}`, `${process.pid} ${startTime} other`]
    for (const text of texts) {
      writeFileSync(lockOf(state), text)
      assert.deepStrictEqual([text, yield* holder(state)], [text, Option.none()])
    }
    yield* taken(state)
    assert.strictEqual(readFileSync(lockOf(state), "utf8"), `${process.pid} ${startTime} ${bootId}\n`)
  }).pipe(Effect.scoped, Effect.provide(Libc.layer))
)

it.live("children do not keep it: neither Node's, nor those by posix_spawn", () =>
  Effect.gen(function* () {
    const state = yield* temporaryFolder
    const children = yield* Children
    const scope = yield* taken(state)
    const ours = yield* children.spawn({
      path: "/bin/sleep",
      args: ["20"],
      env: {},
      stdin: null,
      stdout: null,
      stderr: null
    })
    const nodes = spawn("/bin/sleep", ["20"], { stdio: "ignore" })
    yield* Effect.promise(() => once(nodes, "spawn"))
    yield* Scope.close(scope, Exit.void)
    assert.isNumber(yield* attempt(state))
    for (const pid of [ours.pid, nodes.pid ?? 0]) process.kill(pid, "SIGKILL")
    yield* ours.exit
  }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(Children.layer, Libc.layer)))
)

it.live("one that comes while another ends waits for it, and then has it", () =>
  Effect.gen(function* () {
    const state = yield* temporaryFolder
    yield* roused
    const scope = yield* taken(state)
    const next = yield* Effect.forkChild(hold(state), { startImmediately: true })
    yield* Effect.sleep("60 millis")
    assert.isUndefined(next.pollUnsafe())
    yield* Scope.close(scope, Exit.void)
    yield* Fiber.join(next)
    assert.isNull(yield* attempt(state))
  }).pipe(Effect.scoped, Effect.provide(Libc.layer))
)

it.effect("where another has it and answers there is no wait", () =>
  Effect.gen(function* () {
    const state = yield* temporaryFolder
    yield* taken(state)
    const server = createServer().listen(socketOf(state))
    yield* Effect.promise(() => once(server, "listening"))
    const error = yield* Effect.flip(hold(state))
    assert.strictEqual(error.message, `another shim (pid ${process.pid}) serves this folder`)
    server.close()
  }).pipe(Effect.scoped, Effect.provide(Libc.layer))
)

it.effect("one that does not answer is told to listen, and after five seconds left alone", () =>
  Effect.gen(function* () {
    const state = yield* temporaryFolder
    yield* taken(state)
    const told = yield* roused
    const refused = yield* Effect.forkChild(Effect.flip(hold(state)), { startImmediately: true })
    // Each look takes true time too.
    while (refused.pollUnsafe() === undefined) {
      yield* TestClock.withLive(Effect.sleep("2 millis"))
      yield* TestClock.adjust("20 millis")
    }
    const error = yield* Fiber.join(refused)
    assert.strictEqual(
      error.message,
      `another shim (pid ${process.pid}) has this folder, and does not listen on its socket`
    )
    assert.isAbove(told(), 3)
  }).pipe(Effect.scoped, Effect.provide(Libc.layer))
)
