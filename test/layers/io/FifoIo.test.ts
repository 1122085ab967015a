import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Option, Result, Scope } from "effect"
import { execFileSync, spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { createHash, randomFillSync } from "node:crypto"
import {
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import * as LocalIo from "../../../src/layers/io/LocalIo.ts"
import { decode } from "../../../src/layers/io/LogFormat.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import { ContainerId, Namespace } from "../../../src/schema/Ids.ts"
import type { ProcessRef } from "../../../src/schema/Ids.ts"
import type { Stdio } from "../../../src/schema/Process.ts"
import { ProcessIo } from "../../../src/services/ProcessIo.ts"
import type { OpenIo } from "../../../src/services/ProcessIo.ts"
import { temporaryFolder } from "../../support/folder.ts"

const ref: ProcessRef = { namespace: Namespace.make("test"), containerId: ContainerId.make("a"), execId: null }
const layer = LocalIo.layer.pipe(Layer.provide(Libc.layer))
const json: Stdio = { stdin: false, log: { _tag: "json" } }

const open = Effect.fnUntraced(function* (directory: string, stdio: Stdio = json) {
  const logFile = stdio.log._tag === "json" ? join(directory, "init.log") : null
  return yield* (yield* ProcessIo).open({ ref, stdio, directory, logFile })
})

/** Starts a script on these streams, hands them over, and kills what is left of it with the scope. */
const start = (io: OpenIo, script: string) =>
  Effect.acquireRelease(
    Effect.gen(function* () {
      const { stderr, stdin, stdout } = io.descriptors
      const fd = (descriptor: number | null) => descriptor ?? "ignore"
      const child = spawn("/bin/sh", ["-c", script], { stdio: [fd(stdin), fd(stdout), fd(stderr)], detached: true })
      yield* io.handOver
      return child
    }),
    (child) =>
      Effect.ignore(
        Effect.try(() => {
          process.kill(-(child.pid ?? assert.fail("not started")), "SIGKILL")
        })
      )
  )

/** Exit code, or the name of the signal. */
const ended = (child: ChildProcess) =>
  Effect.callback<number | string>((resume) => {
    const tell = () => resume(Effect.succeed(child.exitCode ?? child.signalCode ?? "?"))
    if (child.exitCode !== null || child.signalCode !== null) tell()
    else child.once("exit", tell)
  })

const logged = (directory: string, stream: "stdout" | "stderr"): Buffer => {
  const lines = readFileSync(join(directory, "init.log"), "utf8").split("\n").slice(0, -1)
  const chunks = lines.map((line) => decode(line) ?? assert.fail(`not a record: ${line}`))
  return Buffer.concat(chunks.filter((chunk) => chunk.stream === stream).map((chunk) => chunk.bytes))
}
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")
const milliseconds = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.timed(effect), ([duration]) => Duration.toMillis(duration))
/** Completes when the condition holds; tests time out otherwise. */
const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (condition() ? Effect.void : Effect.andThen(Effect.sleep("5 millis"), until(condition))))

/** Runs a script to its end and waits for its output. */
const run = Effect.fnUntraced(function* (directory: string, script: string) {
  const io = yield* open(directory)
  const child = yield* start(io, script)
  const exit = yield* ended(child)
  assert.strictEqual(yield* io.drained, "complete")
  return exit
})

describe("FifoIo", () => {
  it.live("keeps the order within each stream and tells the streams apart", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const exit = yield* run(directory, "for i in 1 2 3; do echo out $i; echo err $i >&2; done; exit 3")
      assert.strictEqual(exit, 3)
      assert.strictEqual(logged(directory, "stdout").toString(), "out 1\nout 2\nout 3\n")
      assert.strictEqual(logged(directory, "stderr").toString(), "err 1\nerr 2\nerr 3\n")
    }).pipe(Effect.provide(layer))
  )

  it.live("is complete to the last byte as soon as it says so", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const binary = randomFillSync(Buffer.alloc(50_000_000))
      const text = Buffer.from("a line with a 漢字 and an 😀 in it\n".repeat(250_000))
      writeFileSync(join(directory, "binary"), binary)
      writeFileSync(join(directory, "text"), text)
      yield* run(directory, `cat '${directory}/binary' & cat '${directory}/text' >&2; wait`)
      assert.strictEqual(sha256(logged(directory, "stdout")), sha256(binary))
      assert.strictEqual(sha256(logged(directory, "stderr")), sha256(text))
    }).pipe(Effect.provide(layer))
  )

  it.live("reads what is left in the pipes, even where the event loop had no time to", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const io = yield* open(directory)
      yield* start(io, "seq 1 10000; echo err >&2; sleep 60 &")
      execFileSync("sleep", ["0.5"])
      assert.strictEqual(yield* io.drained, "complete")
      assert.strictEqual(logged(directory, "stdout").length, 48_894)
      assert.strictEqual(logged(directory, "stderr").toString(), "err\n")
    }).pipe(Effect.provide(layer))
  )

  it.live("lets a process open its own streams again", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const exit = yield* run(directory, "echo a > /dev/stdout; echo b >> /proc/self/fd/1; echo c > /dev/stderr")
      assert.strictEqual(exit, 0)
      assert.strictEqual(logged(directory, "stdout").toString(), "a\nb\n")
      assert.strictEqual(logged(directory, "stderr").toString(), "c\n")
    }).pipe(Effect.provide(layer))
  )

  it.live("gives the container descriptors that block", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const { descriptors } = yield* open(directory, { ...json, stdin: true })
      for (const fd of Object.values(descriptors)) {
        const [, flags = "?"] = /flags:\s*([0-7]+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")) ?? []
        assert.strictEqual(Number.parseInt(flags, 8) & constants.O_NONBLOCK, 0, flags)
      }
    }).pipe(Effect.provide(layer))
  )

  it.live("does not wait for a grandchild that holds the pipe, silent or not", () =>
    Effect.gen(function* () {
      for (const script of [
        "sleep 60 & echo done",
        "cat /dev/zero & sleep 0.1; echo done >&2",
        "(sleep 0.3; echo late) & echo done"
      ]) {
        const directory = yield* temporaryFolder
        const io = yield* open(directory)
        const child = yield* start(io, script)
        yield* ended(child)
        assert.isBelow(yield* milliseconds(io.drained), 1000, script)
        assert.include(logged(directory, script.includes("zero") ? "stderr" : "stdout").toString(), "done\n", script)
        if (!script.includes("late")) continue
        yield* until(() => logged(directory, "stdout").includes("late\n"))
      }
    }).pipe(Effect.provide(layer))
  )

  it.live("writes what a process left of a character that it tore", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      yield* run(directory, "sleep 60 & printf 'a\\346\\274'")
      assert.deepStrictEqual(logged(directory, "stdout"), Buffer.from([97, 0xe6, 0xbc]))
    }).pipe(Effect.provide(layer))
  )

  it.live("carries input to the process until it is closed", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const io = yield* open(directory, { ...json, stdin: true })
      const child = yield* start(io, "cat; echo end")
      const input = randomFillSync(Buffer.alloc(3_000_000))
      assert.isTrue(yield* io.write(Buffer.from("first\n")))
      yield* until(() => logged(directory, "stdout").toString() === "first\n")
      assert.isTrue(yield* io.write(input))
      yield* io.closeStdin
      yield* io.closeStdin
      assert.isFalse(yield* io.write(Buffer.from("late")))
      assert.strictEqual(yield* ended(child), 0)
      yield* io.drained
      assert.strictEqual(
        sha256(logged(directory, "stdout")),
        sha256(Buffer.concat([Buffer.from("first\n"), input, Buffer.from("end\n")]))
      )
    }).pipe(Effect.provide(layer))
  )

  it.live("waits with input for a process that does not read, and tells when nobody is left to", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const io = yield* open(directory, { ...json, stdin: true })
      const child = yield* start(io, "exec sleep 60")
      const waiting = yield* Effect.forkChild(io.write(Buffer.alloc(2_000_000)), { startImmediately: true })
      const impatient = yield* io.write(Buffer.alloc(10)).pipe(Effect.timeoutOption("100 millis"))
      assert.isTrue(Option.isNone(impatient))
      child.kill("SIGKILL")
      assert.isFalse(yield* Fiber.join(waiting))
      assert.isFalse(yield* io.write(Buffer.from("a")))
      yield* io.closeStdin
    }).pipe(Effect.provide(layer))
  )

  it.live("has no input and refuses it where none was asked for", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const io = yield* open(directory, { stdin: false, log: { _tag: "none" } })
      assert.deepStrictEqual(io.descriptors, { stdin: null, stdout: null, stderr: null })
      assert.isFalse(yield* io.write(Buffer.from("a")))
      yield* io.closeStdin
      yield* io.handOver
      yield* io.drained
      assert.deepStrictEqual(readdirSync(directory), [])
    }).pipe(Effect.provide(layer))
  )

  it.live("holds a process back when its reader is gone, and the next reader goes on where it stopped", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const first = yield* Scope.make()
      const io = yield* open(directory).pipe(Scope.provide(first))
      const child = yield* start(io, "trap 'echo pipe >&2' PIPE; for i in $(seq 1 100000); do echo $i; done")
      yield* until(() => logged(directory, "stdout").length > 10_000)
      yield* Scope.close(first, Exit.void)
      const size = logged(directory, "stdout").length
      yield* Effect.sleep("200 millis")
      assert.isNull(child.exitCode ?? child.signalCode)
      assert.strictEqual(logged(directory, "stdout").length, size)

      const next = yield* open(directory)
      yield* next.handOver
      assert.strictEqual(yield* ended(child), 0)
      yield* next.drained
      assert.strictEqual(logged(directory, "stderr").toString(), "")
      const all = Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join("")
      assert.isTrue(logged(directory, "stdout").toString() === all)
    }).pipe(Effect.provide(layer))
  )

  it.live("leaves no descriptor behind, whether they were handed over or not, and its FIFOs to the next", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const descriptors = () => readdirSync("/proc/self/fd").length
      const once = (handOver: boolean) =>
        Effect.gen(function* () {
          const io = yield* open(directory, { ...json, stdin: true })
          assert.includeMembers(readdirSync(directory), ["stdin", "stdout", "stderr"])
          if (!handOver) return
          const before = logged(directory, "stdout").length
          yield* start(io, "echo a; cat; echo b >&2")
          yield* until(() => logged(directory, "stdout").length > before)
        }).pipe(Effect.scoped)
      yield* once(true)
      const before = descriptors()
      for (const handOver of [true, false, true, false]) yield* once(handOver)
      assert.deepStrictEqual(readdirSync(directory).sort(), ["init.log", "stderr", "stdin", "stdout"])
      yield* until(() => descriptors() === before)
    }).pipe(Effect.provide(layer))
  )

  it.live("holds a process back while its log is stuck, and loses nothing", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      // A FIFO that nobody reads is a disk that takes nothing and does not say why.
      const logFile = join(directory, "init.log")
      yield* Effect.flatMap(Libc, (libc) => libc.mkfifo(logFile, 0o600))
      const scope = yield* Scope.make()
      const io = yield* open(directory).pipe(Scope.provide(scope))
      const child = yield* start(io, "yes 0123456 | head -c 5000000")
      yield* Effect.sleep("300 millis")
      assert.isNull(child.exitCode)
      const copy = join(directory, "copy")
      const reader = spawn("cat", [logFile], { stdio: ["ignore", openSync(copy, "w"), "ignore"] })
      assert.strictEqual(yield* ended(child), 0)
      yield* io.drained
      yield* Scope.close(scope, Exit.void)
      yield* ended(reader)
      renameSync(copy, logFile)
      assert.isTrue(logged(directory, "stdout").toString() === "0123456\n".repeat(625_000))
    }).pipe(Effect.provide(Layer.mergeAll(layer, Libc.layer)))
  )

  it.live("lets go of the streams when the last process has closed them", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const held = () =>
        readdirSync("/proc/self/fd").filter((fd) => {
          const link = Result.try(() => readlinkSync(`/proc/self/fd/${fd}`))
          return Result.isSuccess(link) && /\/std(out|err)$/.test(link.success) && link.success.startsWith(directory)
        }).length
      const io = yield* open(directory)
      assert.strictEqual(held(), 4)
      yield* start(io, "echo a; sleep 0.1; exec >&- 2>&-; sleep 60")
      assert.strictEqual(held(), 2)
      yield* until(() => held() === 0)
      yield* io.drained
      assert.strictEqual(logged(directory, "stdout").toString(), "a\n")
    }).pipe(Effect.provide(layer))
  )

  it.live("appends both streams to a file of the user", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const path = join(directory, "output.txt")
      writeFileSync(path, "before\n")
      const io = yield* open(directory, { stdin: false, log: { _tag: "file", path } })
      yield* ended(yield* start(io, "echo out; echo err >&2; echo out again"))
      yield* io.drained
      assert.strictEqual(readFileSync(path, "utf8"), "before\nout\nerr\nout again\n")
      assert.deepStrictEqual(readdirSync(directory), ["output.txt"])
    }).pipe(Effect.provide(layer))
  )

  it.live("refuses as log file what is not one", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      yield* Effect.flatMap(Libc, (libc) => libc.mkfifo(join(directory, "fifo"), 0o600))
      const problem = (path: string) =>
        Effect.map(
          Effect.flip(open(directory, { stdin: false, log: { _tag: "file", path } })),
          (error) => error.message
        )
      assert.match(yield* problem("output.txt"), /absolute/)
      assert.match(yield* problem("/dev/null"), /regular file/)
      assert.match(yield* problem(join(directory, "fifo")), /ENXIO|regular file/)
      assert.match(yield* problem(join(directory, "missing/output.txt")), /ENOENT/)
      assert.isFalse(existsSync("output.txt"))
    }).pipe(Effect.provide(Layer.mergeAll(layer, Libc.layer)))
  )

  it.live("says what is wrong where it cannot make its FIFOs", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      writeFileSync(join(directory, "stderr"), "")
      const error = yield* Effect.flip(Effect.scoped(open(directory)))
      assert.strictEqual(error._tag, "Unavailable")
      assert.match(error.message, /FIFO: EEXIST/)
      assert.deepStrictEqual(readdirSync(directory).sort(), ["init.log", "stderr", "stdout"])
    }).pipe(Effect.provide(layer))
  )
})
