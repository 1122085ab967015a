import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option } from "effect"
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Proc from "../../../src/layers/posix/Proc.ts"
import { OwnChildren } from "../../../src/layers/runtime/OwnChildren.ts"
import * as Spawn from "../../../src/layers/runtime/Spawn.ts"

const stdio = { stdin: null, stdout: null, stderr: null }
const command = (binary: string, ...args: ReadonlyArray<string>): Spawn.Command => ({
  binary,
  args,
  stdio,
  env: { PATH: "/usr/bin:/bin" },
  deadline: "10 seconds"
})

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "berth-spawn-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

/** Waits until a program has written its pid there, and gives it. */
const pidIn = Effect.fnUntraced(function* (file: string) {
  while (!existsSync(file) || readFileSync(file, "utf8") === "") yield* Effect.sleep("5 millis")
  return Number(readFileSync(file, "utf8"))
})

describe("Spawn", () => {
  it.live("gives exit codes, 128 + signal, and what it was asked to capture", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Spawn.run(command("/bin/sh", "-c", "exit 7"))).exitCode, 7)
      assert.strictEqual((yield* Spawn.run(command("/bin/sh", "-c", "kill -9 $$"))).exitCode, 137)
      const done = yield* Spawn.run({
        ...command("/bin/sh", "-c", `printf %s "$1" "$HOME"`, "sh", "a $(b) 'c'"),
        capture: true
      })
      assert.deepStrictEqual([done.exitCode, done.stdout], [0, "a $(b) 'c'"])
      assert.isAbove(done.milliseconds, 0)
    }).pipe(Effect.provide(OwnChildren.layer))
  )

  it.live("bounds what it captures", () =>
    Effect.gen(function* () {
      const done = yield* Spawn.run({ ...command("/usr/bin/head", "-c", "3000000", "/dev/zero"), capture: true })
      assert.strictEqual(done.stdout.length, Spawn.maxCapture)
    }).pipe(Effect.provide(OwnChildren.layer))
  )

  it.live("hands over descriptors by number", () =>
    Effect.gen(function* () {
      const file = join(yield* folder, "out")
      const fd = openSync(file, "w")
      yield* Spawn.run({
        ...command("/bin/sh", "-c", "echo out; echo err >&2"),
        stdio: { stdin: null, stdout: fd, stderr: fd }
      })
      closeSync(fd)
      assert.strictEqual(readFileSync(file, "utf8"), "out\nerr\n")
    }).pipe(Effect.provide(OwnChildren.layer))
  )

  it.live("says what is missing", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(Spawn.run(command("/nowhere/runtime")))
      assert.strictEqual(missing._tag, "Unavailable")
      assert.strictEqual(missing.message, "/nowhere/runtime: no such program")
      const file = join(yield* folder, "plain")
      writeFileSync(file, "")
      const plain = yield* Effect.flip(Spawn.run(command(file)))
      assert.strictEqual(plain.message, `${file}: the program may not be executed`)
    }).pipe(Effect.provide(OwnChildren.layer))
  )

  it.live("kills at its deadline, with what it had started", () =>
    Effect.gen(function* () {
      const file = join(yield* folder, "pid")
      const error = yield* Effect.flip(
        Spawn.run({ ...command("/bin/sh", "-c", `sleep 100 & echo $! > ${file}; wait`), deadline: "300 millis" })
      )
      assert.strictEqual(error.message, "no answer within 300 ms")
      const pid = yield* pidIn(file)
      // What was killed may take a moment to die.
      while (Option.exists(yield* Proc.stat(pid), (found) => !Proc.isDead(found))) yield* Effect.sleep("5 millis")
    }).pipe(Effect.provide(OwnChildren.layer))
  )

  it.live("interrupted, it kills at once and waits until the program has ended", () =>
    Effect.gen(function* () {
      const own = yield* OwnChildren
      const fiber = yield* Effect.forkChild(Spawn.run(command("/bin/sleep", "100")), { startImmediately: true })
      const [pid = 0] = own
      assert.isAbove(pid, 0)
      const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.isBelow(Duration.toMillis(took), 1000)
      assert.isFalse(existsSync(`/proc/${pid}`))
      assert.strictEqual(own.size, 0)
    }).pipe(Effect.provide(OwnChildren.layer))
  )

  it.live("interrupted with grace, it lets the program end", () =>
    Effect.gen(function* () {
      const file = join(yield* folder, "done")
      const call = { ...command("/bin/sh", "-c", `sleep 0.2; echo 1 > ${file}`), grace: "5 seconds" as const }
      const fiber = yield* Effect.forkChild(Spawn.run(call), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.isTrue(existsSync(file))
    }).pipe(Effect.provide(OwnChildren.layer))
  )
})
