import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import { appendFileSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { decode, plain } from "../../../src/layers/io/LogFormat.ts"
import * as LogWriter from "../../../src/layers/io/LogWriter.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { canMount, tmpfs } from "../../support/tmpfs.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const lines = (path: string) => readFileSync(path, "utf8").split("\n").slice(0, -1)
const textOf = (line: string) => Buffer.from((decode(line) ?? assert.fail(`not a record: ${line}`)).bytes).toString()

/** Adds as a pump does: waits for room where it is told to. */
const add = (log: LogWriter.LogWriter, stream: "stdout" | "stderr", piece: Uint8Array) =>
  Effect.suspend(() =>
    log.add(stream, piece)
      ? Effect.void
      : Effect.callback<void>((resume) => {
          log.onRoom(() => resume(Effect.void))
        })
  )

describe("LogWriter", () => {
  it.effect("stamps records with the clock, and makes a file that only its owner and group read", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "a.log")
      yield* TestClock.setTime(Date.UTC(2026, 0, 2, 3, 4, 5, 6))
      const log = yield* LogWriter.open(path)
      log.add("stdout", bytes("one\n"))
      yield* log.flush
      yield* TestClock.adjust("1 minute")
      log.add("stderr", bytes("two\n"))
      yield* log.flush
      assert.deepStrictEqual(lines(path), [
        '{"t":"2026-01-02T03:04:05.006Z","s":"stdout","d":"one\\n"}',
        '{"t":"2026-01-02T03:05:05.006Z","s":"stderr","d":"two\\n"}'
      ])
      assert.strictEqual(statSync(path).mode & 0o777, 0o640)
    })
  )

  it.effect("writes plain files too: the output itself, behind what is there", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "a.txt")
      writeFileSync(path, "no newline")
      const log = yield* LogWriter.open(path, plain)
      log.add("stdout", Uint8Array.of(0, 255, 0xe6))
      log.add("stderr", bytes("err"))
      log.add("stdout", Buffer.alloc(100_000, "x"))
      log.end("stdout")
      yield* log.flush
      const expected = Buffer.concat([Buffer.from("no newline\0\xff\xe6err", "latin1"), Buffer.alloc(100_000, "x")])
      assert.isTrue(readFileSync(path).equals(expected))
    })
  )

  it.effect("writes what is left, and what it held back, when it closes", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "a.log")
      const scope = yield* Scope.make()
      const log = yield* LogWriter.open(path).pipe(Scope.provide(scope))
      log.add("stdout", Buffer.from([97, 0xe6]))
      log.add("stderr", bytes("b"))
      yield* Scope.close(scope, Exit.void)
      const written = lines(path).map((line) => decode(line)?.bytes)
      assert.deepStrictEqual(written, [Uint8Array.of(97), Uint8Array.of(98), Uint8Array.of(0xe6)])
    })
  )

  it.effect("begins a new line behind a record that was cut short", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "a.log")
      writeFileSync(path, '{"t":"2026-01-02T03:04:05.006Z","s":"stdo')
      const log = yield* LogWriter.open(path)
      log.add("stdout", bytes("next\n"))
      yield* log.flush
      const [torn = "", next = "", ...rest] = lines(path)
      assert.isNull(decode(torn))
      assert.strictEqual(textOf(next), "next\n")
      assert.deepStrictEqual(rest, [])
      // It appends, wherever the end is.
      appendFileSync(path, "somebody else\n")
      log.add("stdout", bytes("last\n"))
      yield* log.flush
      assert.strictEqual(textOf(lines(path)[3] ?? ""), "last\n")
    })
  )

  it.live("asks to stop while too much waits, and calls when there is room", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "a.log")
      const log = yield* LogWriter.open(path)
      const piece = Buffer.alloc(64 * 1024, "x")
      let added = 1
      while (log.add("stdout", piece)) added++
      assert.isTrue(added > 8 && added <= 16, String(added))
      yield* add(log, "stdout", piece)
      assert.isTrue(log.add("stderr", bytes("room\n")))
      yield* log.flush
      assert.strictEqual(lines(path).length, added + 2)
    })
  )

  it.live.runIf(canMount)(
    "tells where a wait for it was cut off by the disk, and whether anything was lost before",
    () =>
      Effect.gen(function* () {
        const folder = yield* tmpfs("256k")
        const log = yield* LogWriter.open(join(folder, "a.log"))
        assert.strictEqual(yield* log.patiently(log.flush), "complete")
        writeFileSync(join(folder, "filler"), Buffer.alloc(256 * 1024 - 8192))
        log.add("stdout", Buffer.alloc(64 * 1024, "x"))
        assert.strictEqual(yield* log.patiently(log.flush), "truncated")
        // What was only late is no longer missing; what is lost stays so.
        rmSync(join(folder, "filler"))
        assert.strictEqual(yield* log.patiently(log.flush), "complete")
        log.lose("stderr", 5)
        assert.strictEqual(yield* log.patiently(log.flush), "truncated")
      })
  )

  it.live.runIf(canMount)("keeps going while the disk is full, and tells how much was lost", () =>
    Effect.gen(function* () {
      const folder = yield* tmpfs("8m")
      const path = join(folder, "a.log")
      const log = yield* LogWriter.open(path)
      yield* add(log, "stdout", bytes("begin\n"))
      yield* log.flush
      writeFileSync(join(folder, "filler"), Buffer.alloc(8 * 1024 * 1024 - 64 * 1024))
      const piece = (i: number) => `${String(i).padStart(9)}${"x".repeat(64 * 1024 - 10)}\n`
      for (let i = 0; i < 100; i++) yield* add(log, "stdout", bytes(piece(i)))
      // A little space lets some of what waits through, but nothing that comes may overtake what was lost.
      truncateSync(join(folder, "filler"), 8 * 1024 * 1024 - 512 * 1024)
      const size = statSync(path).size
      while (statSync(path).size === size) yield* Effect.sleep("20 millis")
      for (let i = 100; i < 110; i++) yield* add(log, "stdout", bytes(piece(i)))
      rmSync(join(folder, "filler"))
      yield* log.flush
      yield* add(log, "stderr", bytes("after\n"))
      yield* log.flush

      const [first = "", ...found] = lines(path).map(textOf)
      assert.strictEqual(first, "begin\n")
      const notice = found.findIndex((text) => text.startsWith("[berth"))
      assert.isAbove(notice, 10)
      assert.isTrue(found.slice(0, notice).every((text, i) => text === piece(i)))
      const [, lost = "0"] = /(\d+) bytes/.exec(found[notice] ?? "") ?? []
      assert.strictEqual(Number(lost), (110 - notice) * 64 * 1024)
      assert.deepStrictEqual(found.slice(notice + 1), ["after\n"])
    })
  )

  it.live.runIf(canMount)("gives up after a while when it closes and the disk is still full, and says so", () => {
    const messages: Array<string> = []
    const logger = Logger.make(({ message }) => void messages.push(String(message)))
    return Effect.gen(function* () {
      const path = join(yield* tmpfs("64k"), "a.log")
      const scope = yield* Scope.make()
      const log = yield* LogWriter.open(path).pipe(Scope.provide(scope))
      yield* add(log, "stdout", Buffer.alloc(200 * 1024, "x"))
      const [duration] = yield* Effect.timed(Scope.close(scope, Exit.void))
      assert.isBelow(Duration.toSeconds(duration), 8)
      assert.match(messages.join("\n"), /cannot be written \(ENOSPC\)(.|\n)*bytes of output could not be written/)
    }).pipe(Effect.provide(Logger.layer([logger])))
  })
})
