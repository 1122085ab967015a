import { assert, describe, it } from "@effect/vitest"
import { DateTime, Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { createHash } from "node:crypto"
import { existsSync, linkSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import * as FileOutputLog from "../../../src/layers/io/FileOutputLog.ts"
import { structured } from "../../../src/layers/io/LogFormat.ts"
import * as LogReader from "../../../src/layers/io/LogReader.ts"
import * as LogWriter from "../../../src/layers/io/LogWriter.ts"
import { ContainerId, ExecId, Namespace } from "../../../src/schema/Ids.ts"
import type { OutputChunk } from "../../../src/schema/Process.ts"
import { OutputLog } from "../../../src/services/OutputLog.ts"
import type { ReadOptions } from "../../../src/services/OutputLog.ts"
import { temporaryFolder } from "../../support/folder.ts"

const layer = Layer.unwrap(Effect.map(temporaryFolder, (root) => FileOutputLog.layer({ root })))
const ref = { namespace: Namespace.make("test"), containerId: ContainerId.make("a"), execId: null }
const kib = 1024

const openWriter = Effect.fnUntraced(function* (maxSize: number, maxFiles: number) {
  const path = yield* (yield* OutputLog).prepare(ref)
  return { path, writer: yield* LogWriter.open(path, structured, { maxSize, maxFiles }) }
})
/** Adds as a pump does. */
const add = (log: LogWriter.LogWriter, text: string, stream: "stdout" | "stderr" = "stdout") =>
  Effect.suspend(() =>
    log.add(stream, Buffer.from(text))
      ? Effect.void
      : Effect.callback<void>((resume) => log.onRoom(() => resume(Effect.void)))
  )
const textOf = (chunks: ReadonlyArray<OutputChunk>) => Buffer.concat(chunks.map(({ bytes }) => bytes)).toString()
const read = (options: Partial<ReadOptions> = {}) =>
  Effect.flatMap(OutputLog, (log) => Effect.map(Stream.runCollect(log.read(ref, { ended: null, ...options })), textOf))
const names = (path: string) => readdirSync(dirname(path)).toSorted()
const line = (n: number) => `${String(n).padStart(7, "0")} ${"x".repeat(n % 300)}\n`
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")
/** Bytes that this process has read so far. */
const readSoFar = () => Number(/rchar: (\d+)/.exec(readFileSync("/proc/self/io", "utf8"))?.[1])

describe("a log with limits", () => {
  it.live("keeps that many files of that size, the newest output in them", () =>
    Effect.gen(function* () {
      const { path, writer } = yield* openWriter(8 * kib, 3)
      for (let n = 0; n < 1000; n++) yield* add(writer, line(n))
      yield* writer.flush
      const files = names(path)
      assert.strictEqual(files.length, 3)
      for (const name of files) assert.isAtMost(statSync(join(dirname(path), name)).size, 8 * kib)
      const kept = yield* read()
      const first = Number(kept.slice(0, 7))
      assert.isAbove(first, 500)
      assert.strictEqual(kept, Array.from({ length: 1000 - first }, (_, n) => line(first + n)).join(""))
    }).pipe(Effect.provide(layer))
  )

  it.live("is one log for who follows it, whatever is rotated meanwhile", () =>
    Effect.gen(function* () {
      const log = yield* OutputLog
      const { path, writer } = yield* openWriter(16 * kib, 1000)
      const ended = yield* Deferred.make<void>()
      const follow = Effect.forkChild(Stream.runCollect(log.read(ref, { ended: Deferred.await(ended) })), {
        startImmediately: true
      })
      const early = yield* follow
      let all = ""
      for (let n = 0; n < 20_000; n++) {
        all += line(n)
        yield* add(writer, line(n))
        if (n % 50 === 0) yield* Effect.sleep("1 millis")
      }
      const late = yield* follow
      yield* writer.flush
      yield* Deferred.succeed(ended, undefined)
      for (const fiber of [early, late]) assert.strictEqual(sha256(textOf(yield* Fiber.join(fiber))), sha256(all))
      assert.strictEqual(sha256(yield* read()), sha256(all))
      assert.isAbove(names(path).length, 100)
    }).pipe(Effect.provide(layer))
  )

  it.live("tells a reader that was too slow", () =>
    Effect.gen(function* () {
      const log = yield* OutputLog
      const { writer } = yield* openWriter(4 * kib, 2)
      yield* add(writer, line(0))
      yield* writer.flush
      const [ended, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const seen: Array<OutputChunk> = []
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(log.read(ref, { ended: Deferred.await(ended) }), (chunk) => {
          seen.push(chunk)
          return Deferred.await(go)
        })
      )
      while (seen.length === 0) yield* Effect.sleep("1 millis")
      for (let n = 1; n < 500; n++) yield* add(writer, line(n))
      yield* writer.flush
      yield* Deferred.succeed(go, undefined)
      yield* Deferred.succeed(ended, undefined)
      yield* Fiber.join(fiber)
      const notes = seen.filter(({ stream }) => stream === "stderr")
      assert.strictEqual(textOf(notes), "[berth: output was removed by the rotation of the log before it was read]\n")
      assert.isTrue(textOf(seen).endsWith(line(499)))
    }).pipe(Effect.provide(layer))
  )

  it.live("has a file for a record that is larger than a file may be, and none is torn", () =>
    Effect.gen(function* () {
      const { writer } = yield* openWriter(4 * kib, 1000)
      const pieces = [1, 20_000, 3, 5_000, 60_000, 2].map((size, n) => `${n}${"y".repeat(size)}\n`)
      for (const piece of pieces) yield* add(writer, piece)
      yield* writer.flush
      assert.strictEqual(yield* read(), pieces.join(""))
    }).pipe(Effect.provide(layer))
  )

  it.live("goes on where a writer died between two files", () =>
    Effect.gen(function* () {
      const path = yield* (yield* OutputLog).prepare(ref)
      let all = ""
      for (let n = 0; n < 3; n++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { writer } = yield* openWriter(4 * kib, 100)
            for (let i = 0; i < 40; i++) {
              all += line(i)
              yield* add(writer, line(i))
            }
          })
        )
        const number = Number(/^\{"file":(\d+)\}/.exec(readFileSync(path, "utf8"))?.[1] ?? 0)
        linkSync(path, `${path}.${number}`)
        writeFileSync(`${path}.next`, "torn")
      }
      assert.strictEqual(yield* read(), all)
      assert.strictEqual(yield* read({ tail: 120 }), all)
    }).pipe(Effect.provide(layer))
  )

  it.live("stays in its file where there can be no next, and loses nothing", () =>
    Effect.gen(function* () {
      const { path, writer } = yield* openWriter(4 * kib, 3)
      yield* (yield* OutputLog).remove(ref)
      const bytes = () =>
        readdirSync("/proc/self/fd").flatMap((fd) => {
          const found = statSync(`/proc/self/fd/${fd}`, { throwIfNoEntry: false })
          return found?.isFile() === true && found.nlink === 0 ? [readFileSync(`/proc/self/fd/${fd}`, "utf8")] : []
        })
      for (let n = 0; n < 200; n++) yield* add(writer, line(n))
      yield* writer.flush
      assert.isFalse(existsSync(path))
      assert.strictEqual(bytes().filter((text) => text.split("\n").length === 201).length, 1)
    }).pipe(Effect.provide(layer))
  )

  it.live("goes with its exec, all of it", () =>
    Effect.gen(function* () {
      const log = yield* OutputLog
      const exec = { ...ref, execId: ExecId.make("one") }
      const path = yield* log.prepare(exec)
      const writer = yield* LogWriter.open(path, structured, { maxSize: 4096, maxFiles: 9 })
      for (let n = 0; n < 100; n++) yield* add(writer, line(n))
      yield* writer.flush
      assert.isAbove(names(path).length, 2)
      yield* log.remove(exec)
      assert.deepStrictEqual(names(path), [])
    }).pipe(Effect.provide(layer))
  )
})

describe("the end of a log", () => {
  it.live("is the newest lines, whichever files they are in, streams told apart", () =>
    Effect.gen(function* () {
      const { path, writer } = yield* openWriter(4 * kib, 100)
      for (let n = 0; n < 300; n++) yield* add(writer, line(n), n % 2 === 0 ? "stdout" : "stderr")
      yield* add(writer, "no end")
      yield* writer.flush
      assert.isAbove(names(path).length, 5)
      const from = (n: number) => Array.from({ length: 300 - n }, (_, i) => line(n + i)).join("")
      for (const tail of [1, 2, 50, 299, 300, 301, 5000]) {
        assert.strictEqual(yield* read({ tail }), `${from(Math.max(0, 301 - tail))}no end`)
      }
      assert.strictEqual(yield* read({ tail: 0 }), "")
      assert.strictEqual(yield* read({ tail: 2, stream: "stderr" }), `${line(297)}${line(299)}`)
    }).pipe(Effect.provide(layer))
  )

  it.live("is that of the moment at which the lines are counted, whatever is printed before they are read", () =>
    Effect.gen(function* () {
      const { path, writer } = yield* openWriter(4 * kib, 100)
      const from = (n: number, count: number) => Array.from({ length: count }, (_, i) => line(n + i)).join("")
      for (const [round, tail] of [0, 3, 20].entries()) {
        yield* add(writer, from(round * 60, 40))
        yield* writer.flush
        const pull = yield* LogReader.make(path, { ended: null, tail })
        yield* add(writer, from(round * 60 + 40, 20))
        yield* writer.flush
        const found = yield* Stream.runCollect(Stream.fromPull(Effect.succeed(pull)))
        assert.strictEqual(textOf(found), from(round * 60 + 40 - tail, tail))
      }
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("is found without reading the rest", () =>
    Effect.gen(function* () {
      const path = yield* (yield* OutputLog).prepare(ref)
      const writer = yield* LogWriter.open(path)
      const block = line(299).repeat(200)
      while (statSync(path).size < 64 * kib * kib) {
        yield* add(writer, block)
        yield* writer.flush
      }
      yield* add(writer, "last\n")
      yield* writer.flush
      const before = readSoFar()
      assert.strictEqual(yield* read({ tail: 3 }), `${line(299)}${line(299)}last\n`)
      assert.isBelow(readSoFar() - before, kib * kib)
      assert.strictEqual(yield* read({ since: DateTime.addDuration(yield* DateTime.now, "1 hour") }), "")
      assert.isBelow(readSoFar() - before, 3 * kib * kib)
    }).pipe(Effect.provide(layer))
  )

  it.live("goes on without gap or repeat for who follows", () =>
    Effect.gen(function* () {
      const log = yield* OutputLog
      const { writer } = yield* openWriter(4 * kib, 100)
      for (let n = 0; n < 100; n++) yield* add(writer, line(n))
      yield* add(writer, "half")
      yield* writer.flush
      const ended = yield* Deferred.make<void>()
      const chunks: Array<OutputChunk> = []
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(log.read(ref, { ended: Deferred.await(ended), tail: 2 }), (chunk) =>
          Effect.sync(() => chunks.push(chunk))
        )
      )
      while (chunks.length < 2) yield* Effect.sleep("1 millis")
      yield* add(writer, " line\n")
      for (let n = 100; n < 200; n++) yield* add(writer, line(n))
      yield* writer.flush
      yield* Deferred.succeed(ended, undefined)
      yield* Fiber.join(fiber)
      const rest = Array.from({ length: 100 }, (_, n) => line(100 + n)).join("")
      assert.strictEqual(textOf(chunks), `${line(99)}half line\n${rest}`)
    }).pipe(Effect.provide(layer))
  )

  it.live("begins at a time, in the file that has it", () =>
    Effect.gen(function* () {
      const path = yield* (yield* OutputLog).prepare(ref)
      const start = Date.UTC(2026, 0, 1)
      const record = (n: number) =>
        `${JSON.stringify({ t: new Date(start + n * 1000).toISOString(), s: "stdout", d: line(n) })}\n`
      const records = (from: number, to: number) =>
        Array.from({ length: to - from }, (_, n) => record(from + n)).join("")
      writeFileSync(`${path}.0`, records(0, 5000))
      writeFileSync(`${path}.1`, `{"file":1}\n${records(5000, 10_000)}`)
      writeFileSync(path, `{"file":2}\n${records(10_000, 12_000)}`)
      utimesSync(`${path}.0`, (start + 4_999_000) / 1000, (start + 4_999_000) / 1000)
      utimesSync(`${path}.1`, (start + 9_999_000) / 1000, (start + 9_999_000) / 1000)
      for (const n of [0, 1, 4998, 5000, 7777, 11_999, 12_000]) {
        const found = yield* read({ since: DateTime.makeUnsafe(start + n * 1000) })
        assert.strictEqual(found, Array.from({ length: 12_000 - n }, (_, i) => line(n + i)).join(""))
      }
    }).pipe(Effect.provide(layer))
  )
})
