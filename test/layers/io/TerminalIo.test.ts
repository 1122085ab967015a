import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import * as LocalIo from "../../../src/layers/io/LocalIo.ts"
import { decode } from "../../../src/layers/io/LogFormat.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import { ContainerId, Namespace } from "../../../src/schema/Ids.ts"
import type { ProcessRef } from "../../../src/schema/Ids.ts"
import type { Stdio, TerminalSize } from "../../../src/schema/Process.ts"
import { ProcessIo } from "../../../src/services/ProcessIo.ts"
import type { OpenIo } from "../../../src/services/ProcessIo.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { runOnTerminal, sendDescriptor } from "../../support/terminal.ts"

const ref: ProcessRef = { namespace: Namespace.make("test"), containerId: ContainerId.make("a"), execId: null }
const layer = LocalIo.layer.pipe(Layer.provide(Libc.layer))
const interactive: Stdio = { stdin: true, log: { _tag: "json" } }
const ctrlC = "\u0003"
const ctrlD = "\u0004"

const open = Effect.fnUntraced(function* (
  directory: string,
  options: { readonly stdio?: Stdio; readonly size?: TerminalSize } = {}
) {
  const { size = null, stdio = interactive } = options
  const logFile = stdio.log._tag === "json" ? join(directory, "init.log") : null
  return yield* (yield* ProcessIo).open({ ref, stdio, directory, logFile, terminal: true, size })
})

const socketOf = (io: OpenIo) => io.console ?? assert.fail("no console socket")

/** Runs a script on the terminal of `io`, from which nothing was taken before. */
const start = Effect.fnUntraced(function* (io: OpenIo, script: string) {
  const session = yield* runOnTerminal(socketOf(io), script)
  yield* io.handOver
  return session
})

/** The same up to the end of the script and of its output. */
const run = Effect.fnUntraced(function* (directory: string, script: string, options: Parameters<typeof open>[1] = {}) {
  const io = yield* open(directory, options)
  const session = yield* start(io, script)
  const exit = yield* session.ended
  yield* io.drained
  return exit
})

const type = (io: OpenIo, text: string) => io.write(Buffer.from(text))

const shown = (directory: string): string => {
  const lines = readFileSync(join(directory, "init.log"), "utf8").split("\n").slice(0, -1)
  const chunks = lines.map((line) => decode(line) ?? assert.fail(`not a record: ${line}`))
  assert.isTrue(chunks.every(({ stream }) => stream === "stdout"))
  return Buffer.concat(chunks.map(({ bytes }) => bytes)).toString()
}
/** Completes when the terminal shows it; tests time out otherwise. */
const untilShown = (directory: string, text: string): Effect.Effect<void> =>
  Effect.suspend(() =>
    shown(directory).includes(text)
      ? Effect.void
      : Effect.andThen(Effect.sleep("5 millis"), untilShown(directory, text))
  )

const openDescriptors = () => readdirSync("/proc/self/fd").length

const live = (name: string, test: (directory: string) => Effect.Effect<void, unknown, ProcessIo | Scope.Scope>) =>
  it.live(name, () => Effect.flatMap(temporaryFolder, test).pipe(Effect.provide(layer)))

describe("TerminalIo", () => {
  live("logs what both streams show as one, with the kernel's line ends", (directory) =>
    Effect.gen(function* () {
      const exit = yield* run(directory, "tty | cut -c1-8; echo out; echo err >&2; echo out; exit 3")
      assert.strictEqual(exit, 3)
      assert.strictEqual(shown(directory), "/dev/pts\r\nout\r\nerr\r\nout\r\n")
    })
  )

  live("is complete to the last byte as soon as it says so", (directory) =>
    Effect.gen(function* () {
      yield* run(directory, "seq 1 300000; printf 漢字")
      const lines = Array.from({ length: 300_000 }, (_, n) => `${n + 1}\r\n`)
      assert.isTrue(shown(directory) === `${lines.join("")}漢字`)
    })
  )

  live("shows a prompt, which ends no line, at once", (directory) =>
    Effect.gen(function* () {
      const io = yield* open(directory)
      const session = yield* start(io, "printf '> '; read answer; echo got $answer")
      yield* untilShown(directory, "> ")
      assert.isTrue(yield* type(io, "yes\n"))
      assert.strictEqual(yield* session.ended, 0)
      yield* io.drained
      assert.strictEqual(shown(directory), "> yes\r\ngot yes\r\n")
    })
  )

  live("lets the kernel edit lines and see to ctrl-C and ctrl-D", (directory) =>
    Effect.gen(function* () {
      const io = yield* open(directory)
      const asleep = "while [ -z $woken ]; do sleep 0.02; done"
      const script = `cat; trap 'woken=yes; echo interrupted' INT; echo between; ${asleep}; echo after; cat; exit 5`
      const session = yield* start(io, script)
      yield* type(io, "cta\u007f\u007f\u007fcat\n")
      yield* untilShown(directory, "cat\r\ncat\r\n")
      yield* type(io, ctrlD)
      yield* untilShown(directory, "between")
      yield* type(io, ctrlC)
      yield* untilShown(directory, "after")
      yield* type(io, ctrlD)
      assert.strictEqual(yield* session.ended, 5)
      assert.include(shown(directory), "^Cinterrupted\r\nafter\r\n")
    })
  )

  live("begins with the size it is given, or the last one before it came", (directory) =>
    Effect.gen(function* () {
      yield* run(directory, "sleep 0.2; stty size", { size: { width: 91, height: 31 } })
      const io = yield* open(directory, { size: { width: 1, height: 1 } })
      assert.isTrue(yield* io.resize({ width: 2, height: 2 }))
      assert.isTrue(yield* io.resize({ width: 120, height: 40 }))
      const session = yield* start(io, "sleep 0.2; stty size")
      yield* session.ended
      yield* io.drained
      assert.strictEqual(shown(directory), "31 91\r\n40 120\r\n")
    })
  )

  live("changes its size and tells the process", (directory) =>
    Effect.gen(function* () {
      const io = yield* open(directory)
      const session = yield* start(io, "trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.05; done")
      yield* untilShown(directory, "ready")
      assert.isTrue(yield* io.resize({ width: 132, height: 43 }))
      assert.strictEqual(yield* session.ended, 4)
      yield* io.drained
      assert.strictEqual(shown(directory), "ready\r\n43 132\r\n")
      assert.isFalse(yield* io.resize({ width: 1, height: 1 }))
      assert.isFalse(yield* type(io, "x"))
    })
  )

  live("goes on when nobody had it open for a while", (directory) =>
    Effect.gen(function* () {
      const io = yield* open(directory)
      const script = `
        terminal=$(tty); echo one
        exec </dev/null >/dev/null 2>&1; sleep 0.3
        exec <$terminal >$terminal 2>&1; echo two; read answer; echo got $answer`
      const session = yield* start(io, script)
      yield* untilShown(directory, "two")
      yield* type(io, "it\n")
      assert.strictEqual(yield* session.ended, 0)
      yield* io.drained
      assert.strictEqual(shown(directory), "one\r\ntwo\r\nit\r\ngot it\r\n")
    })
  )

  live("waits with input that the process does not read, and loses none of it", (directory) =>
    Effect.gen(function* () {
      const io = yield* open(directory)
      const script = "stty raw -echo; echo ready; read go < go; head -c 1000000 | cksum"
      const session = yield* start(io, `mkfifo '${directory}/go'; cd '${directory}'; ${script}`)
      yield* untilShown(directory, "ready")
      const input = Buffer.from(Array.from({ length: 1_000_000 }, (_, n) => 97 + (n % 26)))
      const expected = execFileSync("cksum", { input }).toString().trim()
      const typed = yield* Effect.forkChild(io.write(input))
      yield* Effect.sleep("200 millis")
      assert.isUndefined(typed.pollUnsafe())
      writeFileSync(join(directory, "go"), "\n")
      assert.isTrue(yield* Fiber.join(typed))
      assert.strictEqual(yield* session.ended, 0)
      yield* io.drained
      assert.include(shown(directory), expected)
    })
  )

  live("keeps apart what two write at once", (directory) =>
    Effect.gen(function* () {
      const io = yield* open(directory)
      const session = yield* start(io, "stty raw -echo; echo ready; sleep 0.2; head -c 400000 | tr -s ab; echo .")
      yield* untilShown(directory, "ready")
      const pieces = ["a", "b"].map((letter) => Buffer.from(letter.repeat(200_000)))
      yield* Effect.forEach(pieces, io.write, { concurrency: "unbounded" })
      yield* session.ended
      yield* io.drained
      assert.match(shown(directory), /^ready\n(ab|ba)\.\n$/)
    })
  )

  live("takes no input where none was asked for", (directory) =>
    Effect.gen(function* () {
      const io = yield* open(directory, { stdio: { stdin: false, log: { _tag: "json" } } })
      yield* start(io, "sleep 60")
      assert.isFalse(yield* type(io, "x"))
    })
  )

  live("does not mind that input is closed", (directory) =>
    Effect.gen(function* () {
      const io = yield* open(directory)
      const session = yield* start(io, "read answer; echo got $answer")
      yield* io.closeStdin
      assert.isTrue(yield* type(io, "it\n"))
      assert.strictEqual(yield* session.ended, 0)
    })
  )

  live("drained does not wait for others on the terminal", (directory) =>
    Effect.gen(function* () {
      const exit = yield* run(directory, "(trap '' HUP; sleep 60) & echo mine; sleep 0.1; exit 2")
      assert.strictEqual(exit, 2)
      assert.strictEqual(shown(directory), "mine\r\n")
    })
  )

  live("reads output that nobody wants, and writes plain files", (directory) =>
    Effect.gen(function* () {
      const path = join(directory, "plain")
      assert.strictEqual(yield* run(directory, "seq 1 20000", { stdio: { stdin: false, log: { _tag: "none" } } }), 0)
      for (const word of ["one", "two"]) {
        yield* run(directory, `printf ${word}`, { stdio: { stdin: false, log: { _tag: "file", path } } })
      }
      assert.strictEqual(readFileSync(path, "utf8"), "onetwo")
      const refused = yield* Effect.flip(
        open(directory, { stdio: { stdin: false, log: { _tag: "file", path: "plain" } } })
      )
      assert.strictEqual(refused.message, "stdio.log.path: log file: the path must be absolute")
    })
  )

  live("hangs up when it is closed", (directory) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const io = yield* open(directory).pipe(Scope.provide(scope))
      const session = yield* start(io, "echo ready; sleep 60")
      yield* untilShown(directory, "ready")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* session.ended, "SIGHUP")
    })
  )

  live("has no terminal where none came, or no terminal came", (directory) =>
    Effect.gen(function* () {
      const file = openSync("/dev/null", "r+")
      for (const send of [() => {}, (path: string) => sendDescriptor(path, file)]) {
        const io = yield* open(directory)
        send(socketOf(io))
        yield* io.handOver
        assert.isFalse(yield* type(io, "x"))
        assert.isFalse(yield* io.resize({ width: 80, height: 24 }))
        yield* io.drained
      }
    })
  )

  live("listens in a private folder, elsewhere where the path would be too long, and only for a while", (directory) =>
    Effect.gen(function* () {
      const deep = join(directory, "x".repeat(100))
      mkdirSync(deep)
      for (const folder of [directory, deep]) {
        const io = yield* open(folder)
        const path = socketOf(io)
        assert.strictEqual(dirname(path) === folder, folder === directory)
        assert.isTrue(existsSync(path))
        yield* io.handOver
        assert.isFalse(existsSync(path))
        if (folder === deep) assert.isFalse(existsSync(dirname(path)))
      }
    })
  )

  live("takes the place of a socket that a dead host left", (directory) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const io = yield* open(directory).pipe(Scope.provide(scope))
      const again = yield* open(directory)
      assert.strictEqual(again.console, io.console)
      const session = yield* start(again, "echo here")
      yield* session.ended
      yield* again.drained
      assert.include(shown(directory), "here")
      yield* Scope.close(scope, Exit.void)
    })
  )

  live("leaves no descriptor behind", (directory) =>
    Effect.gen(function* () {
      const once = Effect.scoped(
        Effect.gen(function* () {
          const io = yield* open(directory)
          const session = yield* start(io, "echo out")
          yield* session.ended
          yield* io.drained
        })
      )
      yield* once
      const before = openDescriptors()
      yield* once
      yield* Effect.scoped(open(directory))
      assert.strictEqual(openDescriptors(), before)
    })
  )

  live("may be closed while somebody types", (directory) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const io = yield* open(directory).pipe(Scope.provide(scope))
      yield* start(io, "stty raw -echo; echo ready; sleep 60")
      yield* untilShown(directory, "ready")
      const typing = yield* Deferred.make<boolean>()
      yield* Effect.forkChild(
        Effect.flatMap(io.write(Buffer.alloc(300_000, 97)), (written) => Deferred.succeed(typing, written))
      )
      yield* Effect.sleep("50 millis")
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(yield* Deferred.await(typing))
    })
  )
})
