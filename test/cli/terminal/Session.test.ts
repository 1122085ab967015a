import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { FakeDaemon } from "../support/FakeDaemon.ts"
import { berth, FakeTty } from "../support/Harness.ts"

const rootfs = ["--rootfs", "/"]
const detach = "\u0010\u0011"
const sizesOf = (daemon: FakeDaemon) => daemon.requests("tasks.resize")

/** Completes when the condition holds; tests time out otherwise. */
const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (condition() ? Effect.void : Effect.andThen(Effect.yieldNow, until(condition))))

/** The command, and what it was given. */
const begin = Effect.fnUntraced(function* (args: ReadonlyArray<string>, daemon: FakeDaemon = new FakeDaemon()) {
  const tty = new FakeTty()
  const command = yield* Effect.forkChild(berth(args, { daemon, tty }), { startImmediately: true })
  return { command, daemon, tty }
})

const shell = ["run", "-it", "--id", "web", ...rootfs, "shell"]
const inputOf = (daemon: FakeDaemon) => daemon.entries.get("web")?.task?.input

describe("a terminal", () => {
  it.effect("takes every key to the process, and is restored at its end", () =>
    Effect.gen(function* () {
      const { command, daemon, tty } = yield* begin(shell)
      yield* until(() => daemon.entries.get("web")?.task?.status === "running")
      assert.deepStrictEqual(tty.modes, ["raw"])
      assert.deepInclude(daemon.requests("tasks.create")[0], {
        stdio: { stdin: true, log: { _tag: "json" } },
        size: { width: 80, height: 24 }
      })
      yield* tty.type("ls\u0003\r")
      yield* tty.type("\u0004")
      const { code, stderr, stdout } = yield* Fiber.join(command)
      assert.deepStrictEqual([code, stdout, stderr], [0, "$ ls\u0003\r\u0004", ""])
      assert.deepStrictEqual(tty.modes, ["raw", "restored"])
      assert.deepStrictEqual(daemon.requests("tasks.closeStdin"), [])
    })
  )

  it.effect("is raw before the process can print, and restored before an error is told", () =>
    Effect.gen(function* () {
      const { command, tty } = yield* begin(["run", "-it", ...rootfs, "nowhere"])
      const { code, stderr } = yield* Fiber.join(command)
      assert.deepStrictEqual([code, tty.modes], [127, ["raw", "restored"]])
      assert.match(stderr, /^berth: /)
    })
  )

  it.effect("has its size followed, from before the start on", () =>
    Effect.gen(function* () {
      const { command, daemon, tty } = yield* begin(shell)
      yield* until(() => sizesOf(daemon).length === 2)
      const at = { id: "web", execId: null }
      assert.deepStrictEqual(sizesOf(daemon)[0], { ...at, width: 80, height: 24 })
      const calls = daemon.calls.map((one) => one.call)
      assert.isBelow(calls.indexOf("tasks.resize"), calls.indexOf("tasks.start"))
      yield* tty.resize({ width: 132, height: 50 })
      yield* until(() => sizesOf(daemon).length === 3)
      assert.deepStrictEqual(sizesOf(daemon)[2], { ...at, width: 132, height: 50 })
      yield* tty.type("\u0004")
      yield* Fiber.join(command)
    })
  )

  it.effect("without a size gives none", () =>
    Effect.gen(function* () {
      const tty = new FakeTty()
      tty.size = null
      const daemon = new FakeDaemon()
      yield* tty.type("\u0004")
      yield* berth(shell, { daemon, tty })
      assert.notProperty(daemon.requests("tasks.create")[0], "size")
      assert.deepStrictEqual(sizesOf(daemon), [])
    })
  )

  it.effect("is left by its keys, and the process goes on", () =>
    Effect.gen(function* () {
      const { command, daemon, tty } = yield* begin(shell)
      yield* tty.type(`echo${detach}lost`)
      const { code, stderr } = yield* Fiber.join(command)
      assert.deepStrictEqual([code, tty.modes], [0, ["raw", "restored"]])
      assert.strictEqual(stderr, '\nberth: detached, "berth attach web" comes back\n')
      assert.strictEqual(daemon.entries.get("web")?.task?.status, "running")
      assert.strictEqual(inputOf(daemon), "echo")
    })
  )

  it.effect("may have other keys, or none", () =>
    Effect.gen(function* () {
      const other = yield* begin([...shell.slice(0, 2), "--detach-keys", "ctrl-],x", ...shell.slice(2)])
      yield* other.tty.type(`${detach}\u001dx`)
      yield* Fiber.join(other.command)
      assert.strictEqual(inputOf(other.daemon), detach)
      const none = yield* begin([...shell.slice(0, 2), "--detach-keys", "", ...shell.slice(2)])
      yield* none.tty.type(`${detach}\u0004`)
      assert.strictEqual((yield* Fiber.join(none.command)).stderr, "")
    })
  )

  it.effect("that is attached to again shows only what is new, after it was made to draw itself", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      yield* berth(["run", "-dit", "--id", "web", ...rootfs, "shell"], { daemon, tty: new FakeTty() })
      const { command, tty } = yield* begin(["attach", "web"], daemon)
      yield* until(() => sizesOf(daemon).length === 3)
      const at = { id: "web", execId: null, width: 80 }
      assert.deepInclude(sizesOf(daemon), { ...at, height: 25 })
      assert.deepStrictEqual(sizesOf(daemon).at(-1), { ...at, height: 24 })
      yield* tty.type("new\u0004")
      const { code, stdout } = yield* Fiber.join(command)
      assert.deepStrictEqual([code, stdout, tty.modes], [0, "new\u0004", ["raw", "restored"]])
    })
  )

  it.effect("of a process that has ended shows what it showed", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      yield* berth(["run", "-dt", "--id", "web", ...rootfs, "echo", "bye"], { daemon })
      const tty = new FakeTty()
      const { code, stdout } = yield* berth(["attach", "web"], { daemon, tty })
      assert.deepStrictEqual([code, stdout, tty.modes], [0, "bye\n", []])
    })
  )

  it.effect("of an exec is left and come back to by its name", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      yield* berth(["run", "-d", "--id", "web", ...rootfs, "sleep"], { daemon })
      const first = yield* begin(["exec", "-it", "--id", "job", "web", "shell"], daemon)
      yield* first.tty.type(detach)
      const { code, stderr } = yield* Fiber.join(first.command)
      assert.deepStrictEqual([code, stderr], [0, '\nberth: detached, "berth attach --exec job web" comes back\n'])
      assert.deepInclude(daemon.requests("tasks.exec")[0], { size: { width: 80, height: 24 } })
      const again = yield* begin(["attach", "--exec", "job", "web"], daemon)
      yield* again.tty.type("\u0004")
      assert.strictEqual((yield* Fiber.join(again.command)).code, 0)
      assert.strictEqual((yield* berth(["attach", "--exec", "nope", "web"], { daemon })).code, 1)
    })
  )

  it.effect("that is not typed on stays as it is, and signals go to the process", () =>
    Effect.gen(function* () {
      const { command, daemon, tty } = yield* begin(["run", "-t", "--id", "web", ...rootfs, "shell"])
      yield* until(() => daemon.entries.get("web")?.task?.status === "running")
      yield* tty.type("x")
      yield* berth(["kill", "web"], { daemon })
      assert.strictEqual((yield* Fiber.join(command)).code, 143)
      assert.deepStrictEqual([tty.modes, daemon.requests("tasks.writeStdin")], [[], []])
    })
  )

  it.effect("takes the size of who starts it", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      yield* berth(["create", "-it", "--id", "web", ...rootfs, "shell"], { daemon })
      const { command, tty } = yield* begin(["start", "-ai", "web"], daemon)
      yield* tty.type("\u0004")
      assert.strictEqual((yield* Fiber.join(command)).code, 0)
      assert.deepInclude(sizesOf(daemon)[0], { width: 80, height: 24 })
      assert.deepStrictEqual(tty.modes, ["raw", "restored"])
    })
  )

  it.effect("needs one to be typed on", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      yield* berth(["run", "-dit", "--id", "web", ...rootfs, "shell"], { daemon })
      yield* berth(["create", "-it", "--id", "db", ...rootfs, "shell"], { daemon })
      for (const words of [
        ["attach", "web"],
        ["start", "-ai", "db"],
        ["exec", "-it", "web", "sh"]
      ]) {
        const { code, stderr } = yield* berth(words, { daemon })
        assert.strictEqual(code, 2)
        assert.match(stderr, /: the input device is not a TTY \(see berth .*--help\)\n$/)
      }
      assert.strictEqual(daemon.entries.get("db")?.task?.status, "created")
    })
  )
})

describe("what is pasted", () => {
  it.effect("goes in pieces that the daemon takes", () =>
    Effect.gen(function* () {
      const { command, daemon, tty } = yield* begin(shell)
      // The first key is held back, so that it is one more than a piece.
      yield* tty.type("\u0010")
      yield* tty.type("y".repeat(65_536))
      yield* tty.type("\u0004")
      yield* Fiber.join(command)
      assert.deepStrictEqual(daemon.requests("tasks.writeStdin"), [65_536, 1, 1])
    })
  )
})

describe("berth resize", () => {
  it.effect("sizes a terminal", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      yield* berth(["run", "-dit", "--id", "web", ...rootfs, "shell"], { daemon })
      const { code, stdout } = yield* berth(["resize", "web", "120", "40"], { daemon })
      assert.deepStrictEqual([code, stdout], [0, "web\n"])
      const json = yield* berth(["resize", "--exec", "job", "--json", "web", "1", "65535"], { daemon })
      assert.strictEqual(json.stdout, '{"id":"web","width":1,"height":65535}\n')
      assert.deepStrictEqual(sizesOf(daemon), [
        { id: "web", execId: null, width: 120, height: 40 },
        { id: "web", execId: "job", width: 1, height: 65_535 }
      ])
      for (const size of [["0", "40"], ["120", "65536"], ["120"], ["wide", "40"]]) {
        assert.strictEqual((yield* berth(["resize", "web", ...size], { daemon })).code, 2)
      }
    })
  )
})
