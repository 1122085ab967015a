import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { spawn } from "node:child_process"
import { closeSync, constants, fstatSync, mkdirSync, openSync, readSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as LocalIo from "../../../src/layers/io/LocalIo.ts"
import * as LogWriter from "../../../src/layers/io/LogWriter.ts"
import * as UserPaths from "../../../src/layers/io/UserPaths.ts"
import * as Overlay from "../../../src/layers/Overlay.ts"
import { codeOf, Libc } from "../../../src/layers/posix/Libc.ts"
import { ContainerId, Namespace } from "../../../src/schema/Ids.ts"
import type { Stdio } from "../../../src/schema/Process.ts"
import { ProcessIo } from "../../../src/services/ProcessIo.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { canHang, hungMount } from "../../support/hungMount.ts"
import { leftOut } from "../../support/leftOut.ts"
import { eventually } from "../../support/served.ts"

const ref = { namespace: Namespace.make("default"), containerId: ContainerId.make("web"), execId: null }
type Done = (error: Error | null, value: string) => void

/** Of a test's own, as what hangs keeps its place. */
const ownLanes = Effect.provideServiceEffect(UserPaths.Lanes, Effect.sync(UserPaths.makeLanes))

it.effect("no more than two are under way: the third waits, and all are given up in time", () =>
  Effect.gen(function* () {
    const begun: Array<Done> = []
    const late: Array<string> = []
    const operation = UserPaths.call<string>(
      (done) => void begun.push(done),
      (value) => void late.push(value)
    )
    const fibers = yield* Effect.forEach([1, 2, 3], () =>
      Effect.forkChild(Effect.result(operation), { startImmediately: true })
    )
    assert.lengthOf(begun, 2)
    begun[0]?.(null, "first")
    assert.lengthOf(begun, 3)
    yield* TestClock.adjust("10 seconds")
    const results = yield* Effect.forEach(fibers, Fiber.join)
    assert.deepStrictEqual(
      results.map((result) => (result._tag === "Success" ? result.success : codeOf(result.failure))),
      ["first", "ETIMEDOUT", "ETIMEDOUT"]
    )
    // What hangs keeps its place: two threads are lost, and no more.
    const next = yield* Effect.forkChild(Effect.result(operation), { startImmediately: true })
    assert.lengthOf(begun, 3)
    begun[1]?.(null, "second")
    begun[2]?.(null, "third")
    assert.deepStrictEqual(late, ["second", "third"])
    begun[3]?.(null, "fourth")
    assert.deepStrictEqual(yield* Fiber.join(next), yield* Effect.result(Effect.succeed("fourth")))
  }).pipe(ownLanes)
)

it.effect("an interruption reaches it wherever it is, and lets go of what comes afterwards", () =>
  Effect.gen(function* () {
    const begun: Array<Done> = []
    const late: Array<string> = []
    const operation = UserPaths.call<string>(
      (done) => void begun.push(done),
      (value) => void late.push(value)
    )
    const fiber = yield* Effect.forkChild(Effect.uninterruptible(operation), { startImmediately: true })
    yield* Fiber.interrupt(fiber)
    assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
    begun[0]?.(null, "late")
    assert.deepStrictEqual(late, ["late"])
  }).pipe(ownLanes)
)

/** A pipe that is full: who writes to it waits until somebody reads. */
const fullPipe = Effect.gen(function* () {
  const path = join(yield* temporaryFolder, "pipe")
  yield* (yield* Libc).mkfifo(path, 0o600)
  const reader = yield* Effect.acquireRelease(
    Effect.sync(() => openSync(path, constants.O_RDWR | constants.O_NONBLOCK)),
    (fd) => Effect.sync(() => closeSync(fd))
  )
  const writer = openSync(path, constants.O_WRONLY)
  const block = Buffer.alloc(4096, "x")
  const filler = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  yield* Effect.ignore(
    Effect.try(() => {
      for (;;) writeFileSync(filler, block)
    })
  )
  closeSync(filler)
  const drain = () => {
    const bytes = Buffer.alloc(1024 * 1024)
    try {
      return bytes.toString("utf8", 0, readSync(reader, bytes)).replaceAll("x", "")
    } catch {
      return ""
    }
  }
  return { path, writer, drain }
})

const isOpen = (fd: number) => {
  try {
    fstatSync(fd)
    return true
  } catch {
    return false
  }
}

it.effect("a log that takes nothing holds up nobody, and is closed when the write has come back", () =>
  Effect.gen(function* () {
    const { drain, path, writer } = yield* fullPipe
    // In the event loop it would be for ever: somebody else has to read, then.
    yield* Effect.acquireRelease(
      Effect.sync(() => spawn("/bin/sh", ["-c", 'sleep 5; exec cat "$0"', path], { detached: true, stdio: "ignore" })),
      ({ pid = 0 }) => Effect.sync(() => process.kill(-pid, "SIGKILL"))
    )
    const before = performance.now()
    const logging = yield* Effect.forkChild(
      Effect.scoped(
        Effect.gen(function* () {
          const file = yield* Effect.acquireRelease(UserPaths.userFile(writer), ({ close }) => close)
          const log = yield* LogWriter.onto(file)
          log.add("stdout", Buffer.from("a little"))
        })
      ),
      { startImmediately: true }
    )
    yield* TestClock.withLive(Effect.sleep("100 millis"))
    assert.isBelow(performance.now() - before, 4000)
    assert.isUndefined(logging.pollUnsafe())
    // Its end waits no longer than any log's.
    yield* TestClock.adjust("10 seconds")
    yield* Fiber.join(logging)
    assert.isTrue(isOpen(writer))
    let told = ""
    yield* TestClock.withLive(eventually("it is written", () => (told += drain()) === "a little"))
    yield* TestClock.withLive(eventually("it is closed", () => !isOpen(writer)))
  }).pipe(Effect.scoped, Effect.provide(Libc.layer))
)

if (!canHang) leftOut("a mount that does not answer", "it needs root and /dev/fuse")

describe.skipIf(!canHang)("on a mount that does not answer", () => {
  const logs: ReadonlyArray<readonly [string, Stdio["log"]["_tag"], boolean, string]> = [
    ["a log file", "file", false, "log file: cannot open it: ETIMEDOUT"],
    ["a log file of a terminal", "file", true, "log file: cannot open it: ETIMEDOUT"],
    ["a folder of FIFOs", "fifo", false, "folder of FIFOs: cannot look at it: ETIMEDOUT"],
    ["a logging program", "binary", false, "logging program: cannot run it: ETIMEDOUT"]
  ]
  const logOf = (tag: string, path: string): Stdio["log"] =>
    tag === "fifo"
      ? { _tag: "fifo", directory: path }
      : tag === "file"
        ? { _tag: "file", path }
        : { _tag: "binary", path }

  /** What comes of it, with how long nothing else could be done, in milliseconds. */
  const watched = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
    const before = performance.now()
    const fiber = yield* Effect.forkChild(Effect.flip(effect), { startImmediately: true })
    const blocked = performance.now() - before
    yield* TestClock.withLive(Effect.sleep("20 millis"))
    yield* TestClock.adjust("10 seconds")
    return { error: yield* Fiber.join(fiber), blocked }
  })

  for (const [name, tag, terminal, problem] of logs) {
    it.effect(`${name} is refused, and nothing else waits for it`, () =>
      Effect.gen(function* () {
        const hung = yield* hungMount
        const directory = yield* temporaryFolder
        const io = yield* ProcessIo
        const stdio: Stdio = { stdin: false, log: logOf(tag, join(hung, "x")) }
        const opening = Effect.scoped(io.open({ ref, stdio, directory, logFile: null, terminal }))
        const { blocked, error } = yield* watched(opening)
        assert.include(error.message, problem)
        assert.isBelow(blocked, 5000)
      }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(LocalIo.layer, Libc.layer)), ownLanes)
    )
  }

  it.effect("a root filesystem to copy on write is refused, and nothing else waits for it", () =>
    Effect.gen(function* () {
      const hung = yield* hungMount
      const bundle = join(yield* temporaryFolder, "bundle")
      mkdirSync(bundle)
      const { blocked, error } = yield* watched(Overlay.mount(yield* Libc, bundle, join(hung, "rootfs")))
      assert.include(error.message, "cannot look at the root filesystem: ETIMEDOUT")
      assert.isBelow(blocked, 5000)
    }).pipe(Effect.scoped, Effect.provide(Libc.layer), ownLanes)
  )
})
