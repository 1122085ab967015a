import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { FakeDaemon } from "../support/FakeDaemon.ts"
import { berth } from "../support/Harness.ts"
import { errorIn, objectIn, objectsIn } from "../support/Read.ts"

/** Containers that run until they are killed. */
const running = Effect.fnUntraced(function* (...ids: ReadonlyArray<string>) {
  const daemon = new FakeDaemon()
  for (const id of ids) yield* berth(["run", "-d", "--id", id, "--rootfs", "/", "sleep"], { daemon })
  return daemon
})

describe("berth kill", () => {
  it.effect("sends TERM, or what is asked for, to one or to all processes", () =>
    Effect.gen(function* () {
      const daemon = yield* running("a", "b", "c")
      assert.strictEqual((yield* berth(["kill", "a"], { daemon })).stdout, "a\n")
      yield* berth(["kill", "--all", "-s", "sigkill", "b"], { daemon })
      const json = yield* berth(["kill", "-s9", "c", "--json"], { daemon })
      assert.deepStrictEqual(objectIn(json.stdout), { id: "c", signal: 9 })
      assert.deepStrictEqual(daemon.requests("tasks.signal"), [
        { id: "a", execId: null, signal: 15, all: false },
        { id: "b", execId: null, signal: 9, all: true },
        { id: "c", execId: null, signal: 9, all: false }
      ])
    })
  )

  it.effect("can name an exec, or any pid", () =>
    Effect.gen(function* () {
      const daemon = yield* running("web")
      yield* berth(["exec", "-d", "--id", "worker", "web", "sleep"], { daemon })
      assert.strictEqual((yield* berth(["kill", "--exec", "worker", "web"], { daemon })).code, 0)
      assert.deepInclude(daemon.requests("tasks.signal")[0], { execId: "worker" })
      assert.strictEqual((yield* berth(["kill", "--pid", "7", "-s", "0x", "web"], { daemon })).code, 2)
      yield* berth(["kill", "--pid", "7", "-s", "sigrtmin+1", "web"], { daemon })
      assert.deepInclude(daemon.requests("tasks.signal")[1], { execId: null, pid: 7, signal: 35 })
    })
  )

  it.effect("tries every container, tells every failure and keeps the first code", () =>
    Effect.gen(function* () {
      const daemon = yield* running("a", "c")
      const { code, stderr, stdout } = yield* berth(["kill", "a", "nope", "c", "nor-me"], { daemon })
      assert.deepStrictEqual([code, stdout], [1, "a\nc\n"])
      assert.deepStrictEqual(
        stderr.split("\n").map((line) => line.split(":")[1]),
        [` task "nope"`, ` task "nor-me"`, undefined]
      )
    })
  )
})

describe("berth stop", () => {
  it.effect("uses what the options say, else what the container asks for, else what the daemon thinks", () =>
    Effect.gen(function* () {
      const daemon = yield* running("plain")
      const wish = ["--stop-signal", "QUIT", "--stop-timeout", "90s"]
      for (const id of ["wishing", "overruled"]) {
        yield* berth(["run", "-d", "--id", id, ...wish, "--rootfs", "/", "sleep"], { daemon })
      }
      const first = yield* berth(["stop", "plain", "wishing"], { daemon })
      assert.strictEqual(first.stdout, "plain\nwishing\n")
      const json = yield* berth(["stop", "-t", "500ms", "-s", "HUP", "overruled", "--json"], { daemon })
      assert.deepInclude(objectIn(json.stdout), { id: "overruled", stage: "signal" })
      assert.deepInclude(daemon.entries.get("wishing")?.container.labels, {
        "berth.stop-signal": "SIGQUIT",
        "berth.stop-timeout": "90s"
      })
      assert.deepStrictEqual(daemon.requests("tasks.stop"), [
        { id: "plain" },
        { id: "wishing" },
        { id: "overruled", signal: 1, timeoutMillis: 500 }
      ])
    })
  )
})

describe("berth pause and resume", () => {
  it.effect("steer, and say what is wrong where they cannot", () =>
    Effect.gen(function* () {
      const daemon = yield* running("web")
      assert.strictEqual((yield* berth(["pause", "web"], { daemon })).stdout, "web\n")
      const again = yield* berth(["pause", "web", "--json"], { daemon })
      assert.strictEqual(again.code, 1)
      assert.match(again.stderr, /^berth: cannot pause: it is paused, must be running\n/)
      assert.deepStrictEqual(errorIn(again.stderr), {
        _tag: "FailedPrecondition",
        operation: "pause",
        found: "paused",
        allowed: ["running"]
      })
      const resumed = yield* berth(["resume", "web", "--json"], { daemon })
      assert.deepInclude(objectIn(resumed.stdout), { id: "web", status: "running" })
    })
  )
})

describe("berth wait", () => {
  it.effect("prints the exit status and itself ends well", () =>
    Effect.gen(function* () {
      const daemon = yield* running("web")
      const fiber = yield* Effect.forkChild(berth(["wait", "web"], { daemon }))
      yield* Effect.yieldNow
      yield* berth(["kill", "-s", "9", "web"], { daemon })
      const { code, stdout } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([code, stdout], [0, "137\n"])
      const json = yield* berth(["wait", "web", "--json"], { daemon })
      assert.deepInclude(objectIn(json.stdout), { id: "web", exitStatus: 137, oomKilled: false, source: "reaped" })
    })
  )

  it.effect("gives up with 124", () =>
    Effect.gen(function* () {
      const daemon = yield* running("web")
      const fiber = yield* Effect.forkChild(berth(["wait", "--timeout", "1m", "web", "--json"], { daemon }))
      yield* TestClock.adjust("1 minute")
      const { code, stderr, stdout } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([code, stdout], [124, ""])
      assert.deepStrictEqual(errorIn(stderr), { _tag: "WaitTimeout", id: "web", milliseconds: 60_000 })
    })
  )
})

describe("berth delete", () => {
  it.effect("removes task and container, and refuses what runs unless forced", () =>
    Effect.gen(function* () {
      const daemon = yield* running("a", "b")
      const refused = yield* berth(["delete", "a"], { daemon })
      assert.deepStrictEqual(
        [refused.code, refused.stderr],
        [1, "berth: cannot delete: it is running, must be created or stopped\n"]
      )
      assert.strictEqual((yield* berth(["rm", "-f", "a", "b"], { daemon })).stdout, "a\nb\n")
      assert.strictEqual(daemon.entries.size, 0)
      const absent = yield* berth(["rm", "-f", "a"], { daemon })
      assert.deepStrictEqual([absent.code, absent.stdout, absent.stderr], [0, "a\n", ""])
      assert.strictEqual((yield* berth(["rm", "a"], { daemon })).code, 1)
    })
  )

  it.effect("gives the exit of each, one document a line", () =>
    Effect.gen(function* () {
      const daemon = yield* running("a")
      yield* berth(["create", "--id", "b", "--rootfs", "/", "sleep"], { daemon })
      const { stdout } = yield* berth(["rm", "-f", "--json", "a", "b"], { daemon })
      const [a, b] = objectsIn(stdout)
      assert.deepInclude(a?.exit, { id: "a", exitStatus: 137 })
      assert.deepStrictEqual(b, { id: "b", exit: null })
    })
  )

  it.effect("removes a container without task, and fails for nothing at all", () =>
    Effect.gen(function* () {
      const daemon = yield* running("a")
      daemon.entries.get("a")!.task = null
      assert.strictEqual((yield* berth(["rm", "a"], { daemon })).code, 0)
      const { code, stderr } = yield* berth(["rm", "a"], { daemon })
      assert.deepStrictEqual([code, stderr], [1, `berth: container "a": not found ("berth ps -a" lists what exists)\n`])
    })
  )
})
