import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { Stdio } from "../../../src/schema/Process.ts"
import { defaultStdio } from "../../../src/schema/Process.ts"
import { ProcessIo } from "../../../src/services/ProcessIo.ts"
import { layer } from "../../../src/layers/mock/MockLayers.ts"
import { settled } from "../../support/atOnce.ts"
import { MockWorld } from "../../../src/layers/mock/MockWorld.ts"
import { bundle, driver, exec, printed, refOf, running, sh, signal, SIGKILL, text } from "./support.ts"

const bytes = (line: string) => new TextEncoder().encode(line)
const withInput: Stdio = { ...defaultStdio, stdin: true }

const open = Effect.fnUntraced(function* (id: string, stdio: Stdio, execId: string | null = null) {
  const directory = `/memory/tasks/default/${id}${execId === null ? "" : `/exec/${execId}`}`
  return yield* (yield* ProcessIo).open({ ref: refOf(id, execId), stdio, directory, logFile: null })
})

describe("standard input", () => {
  it.effect("is echoed by cat until it is closed", () =>
    Effect.gen(function* () {
      const { exit, io } = yield* running("c", sh("cat; exit 5"), withInput)
      assert.isTrue(yield* io.write(bytes("one ")))
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* io.write(bytes("two")))
      yield* io.closeStdin
      yield* io.closeStdin
      assert.strictEqual((yield* exit).exitStatus, 5)
      yield* io.drained
      assert.deepStrictEqual(yield* printed("c"), [
        [0, "stdout", "one "],
        [1000, "stdout", "two"]
      ])
      assert.isFalse(yield* io.write(bytes("late")))
    }).pipe(Effect.provide(layer()))
  )

  it.effect("ends at once where there is none, and cannot be written to", () =>
    Effect.gen(function* () {
      const { exit, io } = yield* running("c", ["cat"])
      assert.strictEqual((yield* exit).exitStatus, 0)
      assert.isFalse(yield* io.write(bytes("x")))
    }).pipe(Effect.provide(layer()))
  )

  it.effect("holds 64 KiB, then makes the writer wait, until the reader is gone", () =>
    Effect.gen(function* () {
      const { exit, identity, io } = yield* running("c", ["sleep", "inf"], withInput)
      assert.isTrue(yield* io.write(new Uint8Array(65_536)))
      const writing = yield* Effect.forkChild(io.write(bytes("more")))
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(writing.pollUnsafe())
      yield* signal(identity, SIGKILL)
      yield* exit
      assert.isFalse(yield* Fiber.join(writing))
    }).pipe(Effect.provide(layer()))
  )

  it.effect("is not read by the frozen", () =>
    Effect.gen(function* () {
      const { identity, io } = yield* running("c", ["cat"], withInput)
      yield* TestClock.adjust("1 second")
      yield* signal(identity, 19)
      assert.isTrue(yield* io.write(bytes("x")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* text("c"), "")
      yield* signal(identity, 18)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* printed("c"), [[2000, "stdout", "x"]])
    }).pipe(Effect.provide(layer()))
  )
})

describe("standard output", () => {
  it.effect("is all in the log when drained, however much", () =>
    Effect.gen(function* () {
      const { exit, io } = yield* running("c", sh("head -c 300000 /dev/zero; echo end >&2"))
      yield* exit
      yield* io.drained
      assert.strictEqual((yield* text("c")).replaceAll("\0", "").length, 4)
      assert.strictEqual((yield* text("c")).length, 300_004)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("drained gives up on a grandchild that holds the pipe", () =>
    Effect.gen(function* () {
      yield* running("c", ["sleep", "inf"])
      const io = yield* open("c", defaultStdio, "e")
      const { exit } = yield* exec("c", "e", sh("sleep 100 & echo x"), io.descriptors)
      yield* io.handOver
      yield* exit
      const draining = yield* Effect.forkChild(io.drained)
      yield* TestClock.adjust("1 second")
      assert.isUndefined(draining.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(draining), "complete")
      assert.strictEqual(yield* text("c", "e"), "x\n")
    }).pipe(Effect.provide(layer({ drainDeadline: "2 seconds" })))
  )

  it.effect("goes to the host that opened it last", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { exit } = yield* running("c", sh("echo a; sleep 1; head -c 100000 /dev/zero")).pipe(Scope.provide(scope))
      const ended = yield* Effect.forkChild(exit)
      yield* TestClock.adjust("500 millis")
      // The host before is gone without a word: its scope is still open.
      const io = yield* open("c", { stdin: false, log: { _tag: "file", path: "/logs/c" } })
      yield* io.handOver
      yield* TestClock.adjust("500 millis")
      assert.strictEqual((yield* Fiber.join(ended)).exitStatus, 0)
      yield* io.drained
      assert.strictEqual(yield* text("c"), "a\n")
      assert.strictEqual((yield* (yield* MockWorld).readFile("/logs/c")).length, 100_000)
      yield* Scope.close(scope, Exit.void)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("blocks after 64 KiB when the reader has closed", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { exit } = yield* running("c", sh("sleep 1; head -c 65536 /dev/zero; echo full; exit 8")).pipe(
        Scope.provide(scope)
      )
      yield* Scope.close(scope, Exit.void)
      const ended = yield* Effect.forkChild(exit)
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(ended.pollUnsafe())
      assert.strictEqual(yield* text("c"), "")
    }).pipe(Effect.provide(layer()))
  )

  it.effect("is one for both streams of a terminal, whose input has no end", () =>
    Effect.gen(function* () {
      const directory = "/memory/tasks/default/c"
      const at = yield* bundle("c", sh("echo out; echo err >&2; cat"))
      const io = yield* (yield* ProcessIo).open({
        ref: refOf("c"),
        stdio: withInput,
        directory,
        logFile: null,
        terminal: true,
        size: { width: 80, height: 24 }
      })
      assert.isNull(io.console)
      yield* (yield* driver).create(at, io.descriptors)
      yield* io.handOver
      yield* (yield* driver).start(at)
      yield* io.closeStdin
      assert.isTrue(yield* io.write(bytes("typed")))
      yield* settled
      assert.deepStrictEqual(yield* printed("c"), [
        [0, "stdout", "out\n"],
        [0, "stdout", "err\n"],
        [0, "stdout", "typed"]
      ])
      const { terminalSize } = yield* MockWorld
      assert.deepStrictEqual(yield* terminalSize(refOf("c")), { width: 80, height: 24 })
      assert.isTrue(yield* io.resize({ width: 100, height: 30 }))
      assert.deepStrictEqual(yield* terminalSize(refOf("c")), { width: 100, height: 30 })
      const plain = yield* open("plain", defaultStdio)
      assert.isFalse(yield* plain.resize({ width: 100, height: 30 }))
      assert.isNull(yield* terminalSize(refOf("plain")))
    }).pipe(Effect.provide(layer()))
  )

  it.effect("goes to a file, or nowhere", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      const file: Stdio = { stdin: false, log: { _tag: "file", path: "/logs/c" } }
      for (let i = 0; i < 2; i++) {
        const { at, exit, io } = yield* running(`c${i}`, sh("echo out; echo err >&2"), file)
        yield* exit
        yield* io.drained
        assert.strictEqual(yield* text(at.containerId), "")
      }
      assert.strictEqual(yield* world.readFile("/logs/c"), "out\nerr\nout\nerr\n")
      const silent = yield* running("silent", sh("head -c 300000 /dev/zero"), { stdin: false, log: { _tag: "none" } })
      assert.deepStrictEqual(silent.io.descriptors, { stdin: null, stdout: null, stderr: null })
      yield* silent.exit
      yield* silent.io.drained
    }).pipe(Effect.provide(layer()))
  )
})
