/** A process that copies output, killed at any instant, over and over: its log has every byte once. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Random, Result, Schedule } from "effect"
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { closeSync, constants, openSync, readdirSync, readFileSync, readlinkSync, writeSync } from "node:fs"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { decode } from "../../../src/layers/io/LogFormat.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import { temporaryFolder } from "../../support/folder.ts"

const copier = fileURLToPath(new URL("copier.ts", import.meta.url))

const kill = (child: ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })
const running = (command: string, args: ReadonlyArray<string>, stdout: number | "pipe") =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(command, args, { stdio: ["ignore", stdout, "inherit"] })),
    kill
  )
/** One that has begun to copy. */
const copying = (args: ReadonlyArray<string>) =>
  Effect.tap(running(process.execPath, [copier, ...args], "pipe"), (child) =>
    Effect.callback<void>((resume) => void child.stdout?.once("data", () => resume(Effect.void)))
  )

const number = (name: string) => (name === "init.log" ? Infinity : Number(name.slice("init.log.".length)))
/** The output in the log, of all its files. */
const logged = (folder: string): string =>
  readdirSync(folder)
    .filter((name) => /^init\.log(\.\d+)?$/.test(name))
    .toSorted((a, b) => number(a) - number(b))
    .flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"))
    .flatMap((line) => decode(line) ?? [])
    .map(({ bytes }) => new TextDecoder().decode(bytes))
    .join("")

const numbered = (text: string) => {
  const lines = text.split("\n").slice(0, -1)
  const wrong = lines.findIndex((line, index) => line !== String(index + 1))
  assert.strictEqual(
    wrong,
    -1,
    `line ${wrong + 1} of ${lines.length} is ${lines.slice(Math.max(0, wrong - 2), wrong + 3).join(" ")}`
  )
  return lines.length
}

/** Prints numbered lines through copiers that are killed, and gives the number of lines and of kills. */
const underFire = Effect.fnUntraced(function* (program: string, last: number, limits: ReadonlyArray<string> = []) {
  const folder = yield* temporaryFolder
  const path = join(folder, "stdout")
  yield* Effect.provide(
    Effect.flatMap(Libc, (libc) => libc.mkfifo(path, 0o600)),
    Libc.layer
  )
  // As the keeper does, and the container: nobody's death empties the pipe.
  const writer = yield* Effect.acquireRelease(
    Effect.sync(() => openSync(path, constants.O_RDWR)),
    (fd) => Effect.sync(() => closeSync(fd))
  )
  const printer = yield* running("/bin/sh", ["-c", program], writer)
  const isDone = () => printer.exitCode !== null
  let kills = 0
  while (!isDone() && kills < 10) {
    const child = yield* copying([folder, ...limits])
    const time = yield* Random.nextIntBetween(1, 60)
    yield* Effect.sleep(time)
    yield* kill(child)
    kills += 1
  }
  yield* copying([folder, ...limits])
  const whole = Effect.sync(() => logged(folder).endsWith(`${last}\n`))
  yield* Effect.repeat(whole, { until: (done) => done, schedule: Schedule.spaced("50 millis"), times: 100 })
  assert.strictEqual(numbered(logged(folder)), last)
  return kills
})

describe.concurrent("SpoolPump", () => {
  it.live(
    "logs lines that come one by one, each once, though it is killed all the time",
    () =>
      Effect.gen(function* () {
        const program = "i=0; while [ $i -lt 8000 ]; do i=$((i+1)); echo $i; [ $((i % 20)) -eq 0 ] && sleep 0.001; done"
        assert.isAbove(yield* underFire(program, 8_000), 1)
      }),
    60_000
  )
  it.live(
    "logs a lot of output, every byte once, though it is killed all the time",
    () => Effect.asVoid(underFire("seq 1 1000000", 1_000_000)),
    60_000
  )
  it.live(
    "does so over the files of a log that is rotated",
    () => Effect.asVoid(underFire("seq 1 500000", 500_000, ["200000", "1000"])),
    60_000
  )

  it.live("holds no pipe and no spool when nobody has the pipe open any more, only the log", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "stdout")
      const { mkfifo } = yield* Libc
      yield* mkfifo(path, 0o600)
      const writer = openSync(path, constants.O_RDWR)
      const { pid } = yield* copying([folder])
      const held = () =>
        readdirSync(`/proc/${pid}/fd`)
          .flatMap((fd) => Option.toArray(Result.getSuccess(Result.try(() => readlinkSync(`/proc/${pid}/fd/${fd}`)))))
          .map((path) => basename(path))
          .filter((name) => /^(?:init\.log|stdout)/.test(name))
          .toSorted()
      const becomes = (...names: ReadonlyArray<string>) =>
        Effect.repeat(Effect.sync(held), {
          until: (now) => now.join() === names.join(),
          schedule: Schedule.spaced("10 millis")
        })
      writeSync(writer, "1\n")
      yield* becomes("init.log", "stdout", "stdout.spool")
      closeSync(writer)
      yield* becomes("init.log")
      assert.strictEqual(logged(folder), "1\n")
    }).pipe(Effect.provide(Libc.layer))
  )
})
