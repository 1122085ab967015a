import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Children } from "../../../src/layers/posix/Children.ts"
import { Libc, PosixError } from "../../../src/layers/posix/Libc.ts"
import * as Proc from "../../../src/layers/posix/Proc.ts"
import * as Spawn from "../../../src/layers/runtime/Spawn.ts"

const layer = Layer.provide(Children.layer, Libc.layer)

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
    }).pipe(Effect.provide(layer))
  )

  it.live("bounds what it captures", () =>
    Effect.gen(function* () {
      const done = yield* Spawn.run({ ...command("/usr/bin/head", "-c", "3000000", "/dev/zero"), capture: true })
      assert.strictEqual(done.stdout.length, Spawn.maxCapture)
    }).pipe(Effect.provide(layer))
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
    }).pipe(Effect.provide(layer))
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
      chmodSync(file, 0o755)
      const empty = yield* Effect.flip(Spawn.run(command(file)))
      assert.strictEqual(empty.message, `${file}: it is no program for this machine`)
    }).pipe(Effect.provide(layer))
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
    }).pipe(Effect.provide(layer))
  )

  it.live("interrupted, it kills at once and waits until the program has ended", () =>
    Effect.gen(function* () {
      const children = yield* Children
      const before = new Set(yield* Proc.children)
      // On a clock that stands still no patience ends.
      const run = Effect.provide(Spawn.run(command("/bin/sleep", "100")), TestClock.layer())
      const fiber = yield* Effect.forkChild(run, { startImmediately: true })
      const [pid = 0] = (yield* Proc.children).filter((pid) => !before.has(pid))
      assert.isTrue(children.has(pid))
      yield* Fiber.interrupt(fiber)
      assert.isFalse(existsSync(`/proc/${pid}`))
      assert.isFalse(children.has(pid))
    }).pipe(Effect.provide(layer))
  )

  it.live("interrupted with grace, it lets the program end", () =>
    Effect.gen(function* () {
      const file = join(yield* folder, "done")
      const call = { ...command("/bin/sh", "-c", `sleep 0.2; echo 1 > ${file}`), grace: "5 seconds" as const }
      const fiber = yield* Effect.forkChild(Spawn.run(call), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.isTrue(existsSync(file))
    }).pipe(Effect.provide(layer))
  )

  it.live("completes hundreds at once, each with its own exit and output", () =>
    Effect.gen(function* () {
      const indices = Array.from({ length: 200 }, (_, index) => index)
      const done = yield* Effect.forEach(
        indices,
        (index) => Spawn.run({ ...command("/bin/sh", "-c", `echo ${index}; exit ${index}`), capture: index % 2 === 0 }),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        done.map(({ exitCode, stdout }) => [exitCode, stdout]),
        indices.map((index) => [index, index % 2 === 0 ? `${index}\n` : ""])
      )
    }).pipe(Effect.provide(layer))
  )

  it.live("what it captures ends at the deadline even where another holds the pipe", () =>
    Effect.gen(function* () {
      const file = join(yield* folder, "pid")
      const call = command("/bin/sh", "-c", `setsid sleep 100 & echo $! > ${file}`)
      const [took, error] = yield* Effect.timed(
        Effect.flip(Spawn.run({ ...call, capture: true, deadline: "200 millis" }))
      )
      process.kill(yield* pidIn(file), "SIGKILL")
      assert.strictEqual(error._tag, "Overdue")
      // Not when the pipe is let go of, after 100 seconds.
      assert.isBelow(Duration.toSeconds(took), 20)
    }).pipe(Effect.provide(layer))
  )

  it.live("says what to do about each refusal of the system", () =>
    Effect.gen(function* () {
      const unused = () => Effect.die("unused")
      const refused = (code: string) =>
        Effect.flip(Spawn.run(command("/bin/true"))).pipe(
          Effect.provideService(
            Children,
            Children.of({
              spawn: () => Effect.fail(new PosixError({ call: "posix_spawn", code })),
              stranger: Effect.never,
              adopt: unused,
              has: () => false
            })
          ),
          Effect.map((error) => [error.message, error._tag === "Unavailable" ? error.mend : undefined])
        )
      assert.deepStrictEqual(yield* refused("EAGAIN"), [
        "/bin/true: the limit of processes is reached",
        "raise the limit of processes (TasksMax, ulimit -u)"
      ])
      assert.deepStrictEqual(yield* refused("ENOMEM"), ["/bin/true: out of memory", null])
      assert.deepStrictEqual(yield* refused("ENOSYS"), ["/bin/true: posix_spawn: ENOSYS", "npm install koffi"])
      assert.deepStrictEqual(yield* refused("EBADF"), ["/bin/true: cannot be started (EBADF)", null])
    })
  )
})
