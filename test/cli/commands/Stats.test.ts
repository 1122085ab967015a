import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { Duration } from "effect"
import { TestClock } from "effect/testing"
import { frame } from "../../../src/cli/output/Screen.ts"
import { FakeDaemon } from "../support/FakeDaemon.ts"
import { berth, FakeTty } from "../support/Harness.ts"
import type { Options } from "../support/Harness.ts"
import { arrayIn, objectIn, objectsIn } from "../support/Read.ts"

/** `web` and `db` run, `old` has ended, `idle` has no task. */
const several = Effect.gen(function* () {
  const daemon = new FakeDaemon()
  for (const id of ["web", "db"]) {
    yield* berth(["run", "-d", "--id", id, "--rootfs", "/", "sleep", "100"], { daemon })
  }
  yield* berth(["run", "-d", "--id", "old", "--rootfs", "/", "exit", "3"], { daemon })
  yield* berth(["create", "--id", "idle", "--rootfs", "/", "sleep"], { daemon })
  daemon.entries.get("idle")!.task = null
  return daemon
})

/** What a command has printed when so much time has passed; by then it must have ended. */
const after = Effect.fnUntraced(function* (time: Duration.Input, args: ReadonlyArray<string>, options: Options) {
  const fiber = yield* Effect.forkChild(berth(args, options), { startImmediately: true })
  yield* TestClock.adjust(time)
  return yield* Fiber.join(fiber)
})

const cells = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/))

describe("berth stats", () => {
  it.effect("prints once a table of what runs, with rates from two samples", () =>
    Effect.gen(function* () {
      const daemon = yield* several
      const { code, stdout } = yield* after("1 second", ["stats", "--no-stream"], { daemon })
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(cells(stdout), [
        ["ID", "CPU", "MEMORY / LIMIT", "MEMORY", "PIDS", "NET IN / OUT", "BLOCK IN / OUT"],
        ["web", "25.0 %", "8.00 MiB / 32.0 MiB", "25.0 %", "3", "-", "2.00 KiB / 512 B"],
        ["db", "25.0 %", "8.00 MiB / 32.0 MiB", "25.0 %", "3", "-", "2.00 KiB / 512 B"]
      ])
      assert.deepStrictEqual(daemon.requests("tasks.listStats"), [{}, {}])
    })
  )

  it.effect("prints with --json one document a line, once at once, or again and again", () =>
    Effect.gen(function* () {
      const daemon = yield* several
      const { stdout } = yield* berth(["stats", "--json", "--no-stream", "db"], { daemon })
      const found = objectIn(stdout)
      assert.deepInclude(found, { containerId: "db", readAt: "2026-01-01T00:00:01.000Z", network: null })
      assert.deepInclude(found["memory"], { usage: 10_485_760, limit: 33_554_432 })
      const closing = yield* after("3 seconds", ["stats", "--json", "--interval", "1s"], { daemon, closeAfter: 3 })
      assert.deepStrictEqual(
        objectsIn(closing.stdout).map(({ containerId }) => containerId),
        ["web", "db", "web", "db", "web", "db"]
      )
    })
  )

  it.effect("says why there is nothing of a container, and shows the others", () =>
    Effect.gen(function* () {
      const daemon = yield* several
      const alone = yield* berth(["stats", "--no-stream", "old"], { daemon })
      assert.strictEqual(alone.code, 1)
      assert.strictEqual(alone.stdout, "")
      assert.include(alone.stderr, "it is stopped")
      const mixed = yield* after("1 second", ["stats", "--no-stream", "old", "web", "nobody"], { daemon })
      assert.strictEqual(mixed.code, 1)
      assert.deepStrictEqual(
        cells(mixed.stdout).map(([id]) => id),
        ["ID", "web"]
      )
      assert.strictEqual(mixed.stderr.trim().split("\n").length, 2)
      const wrong = yield* berth(["stats", "--no-stream", "../x"], { daemon })
      assert.strictEqual(wrong.code, 2)
    })
  )

  it.effect("ends when all that were named have ended", () =>
    Effect.gen(function* () {
      const daemon = yield* several
      const fiber = yield* Effect.forkChild(berth(["stats", "web"], { daemon }), { startImmediately: true })
      yield* TestClock.adjust("1500 millis")
      assert.isUndefined(fiber.pollUnsafe())
      daemon.entries.get("web")!.task!.end("web", 0)
      yield* TestClock.adjust("1 second")
      const { code, stdout } = yield* Fiber.join(fiber)
      assert.strictEqual(code, 0)
      // The first table cannot know a rate, and two below each other are told apart by their headings.
      assert.deepStrictEqual(
        cells(stdout).map(([id, cpu]) => [id, cpu]),
        [
          ["ID", "CPU"],
          ["web", "-"],
          ["ID", "CPU"],
          ["web", "25.0 %"]
        ]
      )
    })
  )

  it.effect("draws in the same place of a terminal, cut to its size", () =>
    Effect.gen(function* () {
      const daemon = yield* several
      const tty = new FakeTty()
      tty.size = { width: 20, height: 3 }
      const { stdout } = yield* after("3 seconds", ["stats"], { daemon, tty, closeAfter: 2 })
      const [first = "", second = ""] = stdout.split("\u001b[H").slice(1)
      assert.isTrue(stdout.startsWith("\u001b[2J\u001b[H"))
      assert.strictEqual(stdout.split("\u001b[2J").length, 2)
      assert.strictEqual(first.split("\n").length, 3)
      assert.include(second, "web")
      assert.notInclude(second, "db")
      assert.strictEqual(frame("abc\nde\n", { width: 2, height: 9 }), "\u001b[Hab\u001b[K\nde\u001b[K\n\u001b[J")
    })
  )
})

describe("berth top and berth pids", () => {
  it.effect("show the processes in a container with what each uses", () =>
    Effect.gen(function* () {
      const daemon = yield* several
      const { code, stdout } = yield* after("1 second", ["top", "web"], { daemon })
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(cells(stdout), [
        ["PID", "USER", "EXEC", "STATE", "CPU", "MEMORY", "TIME", "COMMAND"],
        ["101", "1000", "-", "R", "25.0 %", "3.00 MiB", "0:00.5", "sleep 100"]
      ])
      const json = arrayIn((yield* berth(["top", "--json", "--no-stream", "web"], { daemon })).stdout)
      assert.deepInclude(json[0], { pid: 101, user: 1000, command: "sleep", execId: null })
      const stopped = yield* berth(["top", "old"], { daemon })
      assert.strictEqual(stopped.code, 1)
      assert.include(stopped.stderr, "it is stopped")
    })
  )

  it.effect("go on in a terminal until the container ends", () =>
    Effect.gen(function* () {
      const daemon = yield* several
      const fiber = yield* Effect.forkChild(berth(["top", "web"], { daemon, tty: new FakeTty() }), {
        startImmediately: true
      })
      yield* TestClock.adjust("2500 millis")
      assert.isUndefined(fiber.pollUnsafe())
      daemon.entries.get("web")!.task!.end("web", 0)
      yield* TestClock.adjust("1 second")
      const { code, stdout } = yield* Fiber.join(fiber)
      assert.strictEqual(code, 0)
      assert.strictEqual(stdout.split("\u001b[H").length, 4)
    })
  )

  it.effect("list as a table, as bare ids, and as the JSON list of numbers that scripts know", () =>
    Effect.gen(function* () {
      const daemon = yield* several
      const { stdout } = yield* berth(["pids", "web"], { daemon })
      assert.deepStrictEqual(cells(stdout), [
        ["PID", "USER", "EXEC", "STARTED", "COMMAND"],
        ["101", "1000", "-", "just now", "sleep 100"]
      ])
      assert.strictEqual((yield* berth(["pids", "-q", "web"], { daemon })).stdout, "101\n102\n")
      assert.strictEqual((yield* berth(["pids", "web", "--json"], { daemon })).stdout, "[101,102]\n")
      assert.strictEqual((yield* berth(["pids", "nobody"], { daemon })).code, 1)
    })
  )
})

describe("a lack of memory", () => {
  it.effect("shows in ps, where something was killed for it", () =>
    Effect.gen(function* () {
      const daemon = yield* several
      const { old, web } = { old: daemon.entries.get("old")!.task!, web: daemon.entries.get("web")!.task! }
      old.exit = { ...old.exit!, exitStatus: 137, oomKilled: true, oomCount: 1 }
      web.oomCount = 2
      const { stdout } = yield* berth(["ps", "-a"], { daemon })
      const statuses = Object.fromEntries(cells(stdout).map(([id, status]) => [id, status]))
      assert.deepInclude(statuses, {
        old: "stopped (137, out of memory)",
        web: "running (2 out of memory)",
        db: "running"
      })
      const found = objectIn((yield* berth(["inspect", "web", "--json"], { daemon })).stdout)
      assert.deepInclude(found["task"], { oomKilled: false, oomCount: 2 })
    })
  )
})
