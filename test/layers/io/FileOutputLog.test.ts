import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, Queue, Scope, Stream } from "effect"
import { appendFileSync, existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs"
import { dirname } from "node:path"
import * as FileOutputLog from "../../../src/layers/io/FileOutputLog.ts"
import * as LogWriter from "../../../src/layers/io/LogWriter.ts"
import { ContainerId, ExecId, Namespace } from "../../../src/schema/Ids.ts"
import { OutputLog } from "../../../src/services/OutputLog.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { Output, outputLogSuite } from "../../suites/outputLog.ts"

const output = Layer.effect(
  Output,
  Effect.map(OutputLog, (log) =>
    Output.of({
      append: (ref, stream, text) =>
        Effect.scoped(
          Effect.gen(function* () {
            const writer = yield* LogWriter.open(yield* log.prepare(ref))
            writer.add(stream, Buffer.from(text))
          })
        ).pipe(Effect.orDie)
    })
  )
)
const layer = Layer.unwrap(Effect.map(temporaryFolder, (root) => FileOutputLog.layer({ root })))

const ref = { namespace: Namespace.make("test"), containerId: ContainerId.make("a"), execId: null }
const record = (text: string) => `${JSON.stringify({ t: "2026-03-04T05:06:07.008Z", s: "stdout", d: text })}\n`
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

/** The texts that a reader gets, one by one, and its end. */
const follow = Effect.fnUntraced(function* (log: OutputLog["Service"]) {
  const ended = yield* Deferred.make<void>()
  const texts = yield* Queue.unbounded<string>()
  const reading = Stream.runForEach(log.read(ref, { ended: Deferred.await(ended) }), ({ bytes }) =>
    Queue.offer(texts, text(bytes))
  )
  const fiber = yield* Effect.forkChild(reading, { startImmediately: true })
  return {
    next: Queue.take(texts),
    finish: Effect.andThen(Deferred.succeed(ended, undefined), Fiber.join(fiber)),
    texts
  }
})

/** Watches that this process holds. */
const watches = () =>
  readdirSync("/proc/self/fd")
    .filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === "anon_inode:inotify"
      } catch {
        return false
      }
    })
    .flatMap((fd) => readFileSync(`/proc/self/fdinfo/${fd}`, "utf8").match(/^inotify /gm) ?? []).length

describe("FileOutputLog", () => {
  outputLogSuite(Layer.provideMerge(output, layer))

  it.live("keeps logs where only their owner can look", () =>
    Effect.gen(function* () {
      const log = yield* OutputLog
      const path = yield* log.prepare(ref)
      assert.match(path, /\/logs\/test\/a\/init\.log$/)
      assert.match(yield* log.prepare({ ...ref, execId: ExecId.make("b") }), /\/logs\/test\/a\/exec-b\.log$/)
      assert.strictEqual(statSync(dirname(path)).mode & 0o777, 0o700)
      yield* log.remove(ref)
      assert.isFalse(existsSync(dirname(dirname(path))))
    }).pipe(Effect.provide(layer))
  )

  it.live("hears of output at once", () =>
    Effect.gen(function* () {
      const log = yield* OutputLog
      const writer = yield* LogWriter.open(yield* log.prepare(ref))
      const reader = yield* follow(log)
      const [duration] = yield* Effect.timed(
        Effect.forEach(Array.from({ length: 20 }, String), (line) => {
          writer.add("stdout", Buffer.from(line))
          return Effect.map(reader.next, (found) => assert.strictEqual(found, line))
        })
      )
      assert.isBelow(Duration.toMillis(duration), 1000)
      yield* reader.finish
    }).pipe(Effect.provide(layer))
  )

  it.live("begins behind the last whole record for who wants only what comes, however it is written", () =>
    Effect.gen(function* () {
      const log = yield* OutputLog
      const path = yield* log.prepare(ref)
      const [half, rest] = [record("torn").slice(0, 10), record("torn").slice(10)]
      appendFileSync(path, `${record("old")}${half}`)
      const ended = yield* Deferred.make<void>()
      const texts = yield* Queue.unbounded<string>()
      const reading = yield* Effect.forkChild(
        Stream.runForEach(log.read(ref, { ended: Deferred.await(ended), live: true }), ({ bytes }) =>
          Queue.offer(texts, text(bytes))
        )
      )
      assert.strictEqual(yield* Queue.take(texts), "")
      appendFileSync(path, `${rest}${record("new")}`)
      assert.strictEqual(yield* Queue.take(texts), "torn")
      assert.strictEqual(yield* Queue.take(texts), "new")
      yield* Deferred.succeed(ended, undefined)
      yield* Fiber.join(reading)
      assert.strictEqual(yield* Queue.size(texts), 0)
    }).pipe(Effect.provide(layer))
  )

  it.live("keeps a record that is being written until it is complete, and skips what is none", () =>
    Effect.gen(function* () {
      const log = yield* OutputLog
      const path = yield* log.prepare(ref)
      const reader = yield* follow(log)
      const second = record("second\n")
      appendFileSync(path, `${record("first\n")}nonsense\n{"t":1}\n\n${second.slice(0, 30)}`)
      assert.strictEqual(yield* reader.next, "first\n")
      const soon = yield* Effect.forkChild(reader.next)
      yield* Effect.sleep("50 millis")
      assert.isUndefined(soon.pollUnsafe())
      appendFileSync(path, second.slice(30))
      assert.strictEqual(yield* Fiber.join(soon), "second\n")
      appendFileSync(path, record("cut short\n").slice(0, 40))
      yield* reader.finish
      assert.strictEqual(yield* Queue.size(reader.texts), 0)
    }).pipe(Effect.provide(layer))
  )

  it.live("goes on reading a log that has lost its name", () =>
    Effect.gen(function* () {
      const log = yield* OutputLog
      const writer = yield* LogWriter.open(yield* log.prepare(ref))
      const reader = yield* follow(log)
      writer.add("stdout", Buffer.from("one\n"))
      assert.strictEqual(yield* reader.next, "one\n")
      yield* log.remove(ref)
      writer.add("stdout", Buffer.from("two\n"))
      assert.strictEqual(yield* reader.next, "two\n")
      yield* reader.finish
    }).pipe(Effect.provide(layer))
  )

  it.live("reads large output exactly, in step with its writer", () =>
    Effect.gen(function* () {
      const log = yield* OutputLog
      const scope = yield* Scope.make()
      const writer = yield* LogWriter.open(yield* log.prepare(ref)).pipe(Scope.provide(scope))
      const ended = yield* Deferred.make<void>()
      let read = 0
      const reading = Stream.runForEach(log.read(ref, { ended: Deferred.await(ended) }), ({ bytes }) =>
        Effect.sync(() => {
          for (const byte of bytes) if (byte !== read++ % 251) assert.fail(`wrong byte at ${read - 1}`)
        })
      )
      const fiber = yield* Effect.forkChild(reading, { startImmediately: true })
      const total = 8 * 1024 * 1024
      const whole = Buffer.from(Array.from({ length: 251 * 300 }, (_, i) => i % 251))
      for (let at = 0; at < total;) {
        const piece = whole.subarray(at % 251, (at % 251) + Math.min(60_000, total - at))
        if (!writer.add("stdout", piece)) yield* writer.flush
        at += piece.length
      }
      yield* Scope.close(scope, Exit.void)
      yield* Deferred.succeed(ended, undefined)
      yield* Fiber.join(fiber)
      assert.strictEqual(read, total)
    }).pipe(Effect.provide(layer))
  )

  it.live("ends at what the log held, though somebody prints on for ever", () =>
    Effect.gen(function* () {
      const log = yield* OutputLog
      const path = yield* log.prepare(ref)
      appendFileSync(path, record("before\n"))
      const texts: Array<string> = []
      yield* Stream.runForEach(log.read(ref, { ended: null }), ({ bytes }) =>
        Effect.sync(() => {
          texts.push(text(bytes))
          appendFileSync(path, record("on and on\n"))
        })
      )
      assert.deepStrictEqual(texts, ["before\n"])
    }).pipe(Effect.provide(layer))
  )

  it.live("gives its watch back", () =>
    Effect.gen(function* () {
      const log = yield* OutputLog
      const path = yield* log.prepare(ref)
      appendFileSync(path, record("one\n"))
      const before = watches()
      const reader = yield* follow(log)
      yield* reader.next
      assert.strictEqual(watches(), before + 1)
      yield* reader.finish
      assert.strictEqual(watches(), before)
    }).pipe(Effect.provide(layer))
  )
})
