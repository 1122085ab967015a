import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { maxLineBytes } from "../../../src/cli/output/Lines.ts"
import { FakeDaemon } from "../support/FakeDaemon.ts"
import { berth } from "../support/Harness.ts"
import { objectsIn } from "../support/Read.ts"

const web = Effect.gen(function* () {
  const daemon = new FakeDaemon()
  yield* berth(["run", "-d", "--id", "web", "--rootfs", "/", "sleep"], { daemon })
  const { task } = daemon.entries.get("web")!
  task?.print("stdout", "one\ntwo\nth")
  task?.print("stderr", "oops\n")
  task?.print("stdout", "ree\nfour")
  return daemon
})

describe("berth logs", () => {
  it.effect("prints what was written, each stream to its own", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* berth(["logs", "web"], { daemon: yield* web })
      assert.deepStrictEqual([code, stdout, stderr], [0, "one\ntwo\nthree\nfour", "oops\n"])
    })
  )

  it.effect("prints one of the streams", () =>
    Effect.gen(function* () {
      const { stderr, stdout } = yield* berth(["logs", "--stream", "stderr", "web"], { daemon: yield* web })
      assert.deepStrictEqual([stdout, stderr], ["", "oops\n"])
    })
  )

  it.effect("prints the newest lines", () =>
    Effect.gen(function* () {
      const daemon = yield* web
      assert.strictEqual((yield* berth(["logs", "--tail", "2", "web"], { daemon })).stdout, "three\nfour")
      assert.strictEqual((yield* berth(["logs", "--tail", "0", "web"], { daemon })).stdout, "")
      const all = yield* berth(["logs", "--tail", "99", "web"], { daemon })
      assert.deepStrictEqual([all.stdout, all.stderr], ["one\ntwo\nthree\nfour", "oops\n"])
    })
  )

  it.effect("goes on after the newest lines without gap or repeat", () =>
    Effect.gen(function* () {
      const daemon = yield* web
      const fiber = yield* Effect.forkChild(berth(["logs", "-f", "--tail", "1", "web"], { daemon }))
      yield* Effect.yieldNow
      const task = daemon.entries.get("web")!.task!
      task.print("stdout", " and a half\nfive\n")
      yield* Effect.yieldNow
      task.end("web", 0)
      assert.strictEqual((yield* Fiber.join(fiber)).stdout, "four and a half\nfive\n")
    })
  )

  it.effect("does not lose count over a line that is too long to keep", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      yield* berth(["run", "-d", "--id", "web", "--rootfs", "/", "sleep"], { daemon })
      const task = daemon.entries.get("web")!.task!
      task.print("stdout", "x".repeat(maxLineBytes))
      task.print("stdout", "end\nnext\n")
      const fiber = yield* Effect.forkChild(berth(["logs", "-f", "--tail", "1", "web"], { daemon }))
      yield* Effect.yieldNow
      task.end("web", 0)
      assert.strictEqual((yield* Fiber.join(fiber)).stdout, "next\n")
    })
  )

  it.effect("follows to the end", () =>
    Effect.gen(function* () {
      const daemon = yield* web
      const fiber = yield* Effect.forkChild(berth(["logs", "-f", "web"], { daemon }))
      yield* Effect.yieldNow
      const task = daemon.entries.get("web")!.task!
      task.print("stdout", "!\n")
      task.end("web", 0)
      assert.strictEqual((yield* Fiber.join(fiber)).stdout, "one\ntwo\nthree\nfour!\n")
    })
  )

  it.effect("begins lines with their time", () =>
    Effect.gen(function* () {
      const { stderr, stdout } = yield* berth(["logs", "-t", "--tail", "3", "web"], { daemon: yield* web })
      const time = "2026-01-01T00:00:00.000Z"
      assert.deepStrictEqual([stdout, stderr], [`${time} three\n${time} four`, `${time} oops\n`])
    })
  )

  it.effect("leaves out what is older than asked for", () =>
    Effect.gen(function* () {
      const daemon = yield* web
      assert.strictEqual((yield* berth(["logs", "--since", "2026-01-01T00:00:01Z", "web"], { daemon })).stdout, "")
      assert.include((yield* berth(["logs", "--since", "2026-01-01", "web"], { daemon })).stdout, "one\n")
      assert.strictEqual((yield* berth(["logs", "--since", "7", "web"], { daemon })).code, 2)
    })
  )

  it.effect("prints a document a line", () =>
    Effect.gen(function* () {
      const { stdout } = yield* berth(["logs", "--json", "--tail", "2", "web"], { daemon: yield* web })
      assert.deepStrictEqual(objectsIn(stdout), [
        { time: "2026-01-01T00:00:00.000Z", stream: "stdout", partial: false, text: "three" },
        { time: "2026-01-01T00:00:00.000Z", stream: "stdout", partial: true, text: "four" }
      ])
    })
  )

  it.effect("ends quietly when nobody reads", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* berth(["logs", "-f", "web"], { daemon: yield* web, closeAfter: 1 })
      assert.deepStrictEqual([code, stderr], [0, "oops\n"])
    })
  )
})

describe("berth attach", () => {
  it.effect("leaves the process alone when nobody reads", () =>
    Effect.gen(function* () {
      const daemon = yield* web
      const { code } = yield* berth(["attach", "web"], { daemon, closeAfter: 0 })
      assert.deepStrictEqual([code, daemon.requests("tasks.signal")], [0, []])
    })
  )

  it.effect("watches to the end without passing anything on that the process does not read", () =>
    Effect.gen(function* () {
      const daemon = yield* web
      const fiber = yield* Effect.forkChild(berth(["attach", "web"], { daemon, stdin: ["typed"] }))
      yield* Effect.yieldNow
      daemon.entries.get("web")!.task!.end("web", 5)
      const { code, stdout } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([code, stdout], [0, "one\ntwo\nthree\nfour"])
      assert.deepStrictEqual(daemon.requests("tasks.writeStdin"), [])
    })
  )

  it.effect("types into a process that reads", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      yield* berth(["run", "-d", "-i", "--id", "cat", "--rootfs", "/", "cat"], { daemon })
      const { stdout } = yield* berth(["attach", "--close-stdin", "cat"], { daemon, stdin: ["typed"] })
      assert.strictEqual(stdout, "typed")
      assert.strictEqual((yield* berth(["attach", "nope"])).code, 1)
    })
  )

  it.effect("leaves the input of the process open for others, unless it is asked to end it", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      yield* berth(["run", "-d", "-i", "--id", "tee", "--rootfs", "/", "sleep"], { daemon })
      const fiber = yield* Effect.forkChild(berth(["attach", "tee"], { daemon, stdin: ["typed"] }))
      while (daemon.requests("tasks.writeStdin").length === 0) yield* Effect.yieldNow
      daemon.entries.get("tee")!.task!.end("tee", 0)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(daemon.requests("tasks.closeStdin"), [])
    })
  )
})
