/** Standard streams on every berth with real processes: where output can go, what input does, and that nothing of either is lost. */
import { assert, layer as suiteLayer } from "@effect/vitest"
import { Duration, Effect, Fiber, Schedule, Stream } from "effect"
import type { Scope } from "effect"
import { createHash } from "node:crypto"
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { Containers, ExecId, ProcessSpec, Tasks } from "../../src/index.ts"
import type { BerthError, ContainerId, CreateTask } from "../../src/index.ts"
import type { Place } from "./berth.ts"
import { container, created, running } from "../support/container.ts"
import { temporaryFolder } from "../support/folder.ts"

type Log = NonNullable<CreateTask["stdio"]>["log"]

const sh = (script: string) => ["/bin/sh", "-c", script]
const stdio = (log: Log, stdin = false) => ({ stdio: { stdin, log } })
const tagOf = <A, R>(effect: Effect.Effect<A, BerthError, R>) => Effect.map(Effect.flip(effect), ({ _tag }) => _tag)
const output = (id: ContainerId, options: { readonly follow?: boolean; readonly tail?: number } = {}) =>
  Effect.flatMap(Tasks, (tasks) =>
    Effect.map(Stream.runCollect(tasks.output({ id, ...options })), (chunks) =>
      Buffer.concat(chunks.map(({ bytes }) => bytes)).toString()
    )
  )
const until = (condition: () => boolean) =>
  Effect.sync(condition).pipe(
    Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: (met) => met }),
    Effect.timeout("10 seconds")
  )
const lines = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => `${from + n}\n`).join("")

/** What a FIFO holds now. */
const drain = (path: string): string => {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const block = Buffer.alloc(128 * 1024)
  try {
    const count = readSync(fd, block)
    return block.toString("utf8", 0, count)
  } catch {
    // Empty.
    return ""
  } finally {
    closeSync(fd)
  }
}

/** A logging program; `first` is what it does before it copies. */
const program = (folder: string, first: string, copy = "cat <&3 >>out & cat <&4 >>err & wait") => {
  const path = join(folder, "logger")
  writeFileSync(
    path,
    `#!/bin/sh\ncd ${folder}\necho "$CONTAINER_ID $CONTAINER_NAMESPACE $*" >>started\n${first}\nexec 5>&-\n${copy}\n`
  )
  chmodSync(path, 0o755)
  return path
}

export const stdioSuite = (place: Place) => {
  suiteLayer(place.layer, { excludeTestServices: true, timeout: "60 seconds" })(place.name, (it) => {
    const test = (name: string, body: () => Effect.Effect<void, unknown, Containers | Tasks | Scope.Scope>) =>
      it.effect(name, body)

    test("rotates the log, and follows it over that without a gap", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const log = { _tag: "json", maxSize: 262_144, maxFiles: 1000 } as const
        const id = yield* created(place.rootfs, sh("seq 1 200000"), stdio(log))
        const reader = yield* Effect.forkChild(output(id, { follow: true }), { startImmediately: true })
        yield* tasks.start(id)
        yield* tasks.wait({ id })
        const all = lines(1, 200_000)
        assert.isTrue((yield* Fiber.join(reader)) === all)
        assert.isTrue((yield* output(id)) === all)
        assert.strictEqual(yield* output(id, { tail: 3 }), "199998\n199999\n200000\n")
        const path = (yield* tasks.get(id)).stdout ?? assert.fail("no log")
        assert.isAtMost(statSync(path).size, 262_144)
        assert.isTrue(existsSync(`${path}.0`))
      }))

    test("keeps only the newest files of a log", () =>
      Effect.gen(function* () {
        const id = yield* running(
          place.rootfs,
          sh("seq 1 200000"),
          stdio({ _tag: "json", maxSize: 262_144, maxFiles: 2 })
        )
        yield* (yield* Tasks).wait({ id })
        const kept = yield* output(id)
        assert.isTrue(lines(1, 200_000).endsWith(kept))
        assert.isTrue(kept.length > 20_000 && kept.length < 524_288, `${kept.length} bytes`)
      }))

    test("gives a process FIFOs of the user's, who may come late, go, and never come", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const directory = yield* temporaryFolder
        const script = "echo one; read line; echo got $line; echo oops > /dev/stderr; read line; seq 1 30000; echo end"
        const id = yield* running(place.rootfs, sh(script), stdio({ _tag: "fifo", directory }, true))
        const [stdout, stdin] = [join(directory, "stdout"), join(directory, "stdin")]
        assert.strictEqual((yield* tasks.get(id)).stdin, stdin)
        let text = ""
        const take = (wanted: string) =>
          until(() => {
            text += drain(stdout)
            return text === wanted
          })
        yield* take("one\n")
        writeFileSync(stdin, "typed\n")
        yield* take("one\ngot typed\n")
        yield* until(() => drain(join(directory, "stderr")) === "oops\n")
        // More than a pipe holds: it waits, and nothing else does.
        yield* tasks.writeStdin({ id, bytes: new TextEncoder().encode("go\n") })
        assert.strictEqual(yield* tagOf(tasks.wait({ id, timeoutMillis: 300 })), "WaitTimeout")
        yield* take(`one\ngot typed\n${lines(1, 30_000)}end\n`)
        assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 0)
        yield* tasks.delete({ id })
        assert.deepStrictEqual(readdirSync(directory), [])
      }))

    test("removes the FIFOs that it has made, and nothing that was there before", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const directory = yield* temporaryFolder
        execFileSync("mkfifo", [join(directory, "stdout")])
        const fifo = stdio({ _tag: "fifo", directory }, true)
        const id = yield* running(place.rootfs, ["/bin/sleep", "1000"], fifo)
        assert.deepStrictEqual(readdirSync(directory).toSorted(), ["stderr", "stdin", "stdout"])
        // Of a name that has been taken over meanwhile berth knows nothing.
        rmSync(join(directory, "stderr"))
        writeFileSync(join(directory, "stderr"), "mine")
        yield* tasks.delete({ id, force: true })
        assert.deepStrictEqual(readdirSync(directory).toSorted(), ["stderr", "stdout"])
      }))

    test("gives output to a logging program, complete before the exit is told", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const folder = yield* temporaryFolder
        const log = { _tag: "binary", path: program(folder, "sleep 0.2"), args: ["tag", "a b"] } as const
        const id = yield* running(place.rootfs, sh("seq 1 30000; echo oops >&2; exit 3"), stdio(log))
        const exit = yield* tasks.wait({ id })
        assert.deepStrictEqual([exit.exitStatus, exit.truncated], [3, undefined])
        assert.strictEqual(readFileSync(join(folder, "started"), "utf8"), `${id} default tag a b\n`)
        assert.isTrue(readFileSync(join(folder, "out"), "utf8") === lines(1, 30_000))
        assert.strictEqual(readFileSync(join(folder, "err"), "utf8"), "oops\n")
      }))

    test("tells that output is truncated where a logging program has not read it in time", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const folder = yield* temporaryFolder
        const log = { _tag: "binary", path: program(folder, "", "exec sleep 1000") } as const
        const id = yield* running(place.rootfs, sh("echo one; exit 3"), stdio(log))
        const [took, exit] = yield* Effect.timed(tasks.wait({ id }))
        assert.deepStrictEqual([exit.exitStatus, exit.truncated], [3, true])
        assert.isBelow(Duration.toSeconds(took), 10)
        assert.isTrue((yield* tasks.get(id)).truncated)
        assert.isTrue((yield* tasks.delete({ id }))?.truncated)
      }))

    test("tells the end of an exec though its child holds the output, which nothing is missing from", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const folder = yield* temporaryFolder
        const id = yield* running(place.rootfs, ["/bin/sleep", "1000"])
        const { spec } = yield* (yield* Containers).get(id)
        const logs: ReadonlyArray<Log> = [{ _tag: "json" }, { _tag: "binary", path: program(folder, "") }]
        for (const [index, log] of logs.entries()) {
          const execId = ExecId.make(`parent-${index}`)
          const args = sh("(sleep 5; echo late) & seq 1 3000")
          const process = yield* Effect.fromResult(ProcessSpec.makeProcess(spec, { args }))
          yield* tasks.exec({ id, execId, process, ...stdio(log) })
          yield* tasks.startExec({ id, execId })
          const [took, exit] = yield* Effect.timed(tasks.wait({ id, execId }))
          assert.deepStrictEqual([exit.exitStatus, exit.truncated], [0, undefined])
          assert.isBelow(Duration.toSeconds(took), 4.5)
        }
        assert.isTrue(readFileSync(join(folder, "out"), "utf8") === lines(1, 3000))
      }))

    test("starts a logging program again that has died, and the process does not notice", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const folder = yield* temporaryFolder
        const path = program(
          folder,
          "",
          "read a <&3; echo $a >>out; [ $(wc -l <started) = 1 ] && exit 1; cat <&3 >>out"
        )
        const id = yield* running(
          place.rootfs,
          sh("echo a; read b; echo $b; read c"),
          stdio({ _tag: "binary", path }, true)
        )
        const started = () => readFileSync(join(folder, "started"), "utf8").split("\n").length - 1
        yield* until(() => started() === 2)
        yield* tasks.writeStdin({ id, bytes: new TextEncoder().encode("b\nc\n") })
        assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 0)
        assert.strictEqual(readFileSync(join(folder, "out"), "utf8"), "a\nb\n")
      }))

    test("refuses targets that no output can go to, and leaves nothing", () =>
      Effect.gen(function* () {
        const containers = yield* Containers
        const tasks = yield* Tasks
        const folder = yield* temporaryFolder
        const file = join(folder, "file")
        writeFileSync(file, "")
        const id = yield* container(place.rootfs, "/bin/true")
        const never = program(folder, "exit 7")
        const refused: ReadonlyArray<readonly [Log, BerthError["_tag"]]> = [
          [{ _tag: "fifo", directory: "relative" }, "InvalidArgument"],
          [{ _tag: "fifo", directory: "/tmp/../tmp" }, "InvalidArgument"],
          [{ _tag: "fifo", directory: file }, "InvalidArgument"],
          [{ _tag: "fifo", directory: join(folder, "no") }, "InvalidArgument"],
          [{ _tag: "fifo", directory: join(folder, "no", "such") }, "InvalidArgument"],
          [{ _tag: "binary", path: "logger" }, "InvalidArgument"],
          [{ _tag: "binary", path: "/no/such" }, "InvalidArgument"],
          [{ _tag: "binary", path: folder }, "InvalidArgument"],
          [{ _tag: "binary", path: file }, "InvalidArgument"],
          [{ _tag: "binary", path: never }, "Unavailable"],
          [{ _tag: "file", path: "relative" }, "InvalidArgument"],
          [{ _tag: "file", path: folder }, "InvalidArgument"],
          [{ _tag: "file", path: join(folder, "no", "such") }, "InvalidArgument"],
          [{ _tag: "json", maxSize: 10 }, "InvalidArgument"],
          [{ _tag: "json", maxSize: 4096, maxFiles: 0 }, "InvalidArgument"]
        ]
        for (const [log, tag] of refused) {
          const found = yield* tagOf(tasks.create({ id, ...stdio(log) }))
          assert.strictEqual(found, tag, JSON.stringify(log))
          assert.strictEqual(yield* tagOf(tasks.get(id)), "NotFound")
        }
        assert.isFalse(existsSync(join(folder, "no")))
        yield* tasks.create({ id })
        const { spec } = yield* containers.get(id)
        const process = {
          ...(yield* Effect.fromResult(ProcessSpec.makeProcess(spec, { args: ["/bin/true"] }))),
          terminal: true
        }
        const exec = { id, execId: ExecId.make("tty"), process, ...stdio({ _tag: "fifo", directory: folder }) }
        assert.strictEqual(yield* tagOf(tasks.exec(exec)), "InvalidArgument")
        assert.deepStrictEqual(yield* tasks.processes(id), [])
      }))

    test("lets a process open its own output again, whoever it runs as", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        // Another user has to get at the shell.
        chmodSync(place.rootfs, 0o755)
        const id = yield* running(place.rootfs, ["/bin/sleep", "1000"])
        const { spec } = yield* (yield* Containers).get(id)
        for (const uid of [0, 1000]) {
          const execId = ExecId.make(`as-${uid}`)
          const args = sh("echo x >/dev/stdout; echo y >/dev/stderr")
          const process = yield* Effect.fromResult(ProcessSpec.makeProcess(spec, { args, user: `${uid}:${uid}` }))
          yield* tasks.exec({ id, execId, process })
          yield* tasks.startExec({ id, execId })
          const { exitStatus } = yield* tasks.wait({ id, execId })
          const chunks = yield* Stream.runCollect(tasks.output({ id, execId }))
          assert.strictEqual(exitStatus, 0, Buffer.concat(chunks.map(({ bytes }) => bytes)).toString())
          assert.deepStrictEqual(
            chunks.map(({ bytes, stream }) => `${stream} ${Buffer.from(bytes).toString()}`).toSorted(),
            ["stderr y\n", "stdout x\n"]
          )
        }
      }))

    test("tells an exit though something else holds the pipe, with all that the process wrote", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, ["/bin/sleep", "1000"])
        const { spec } = yield* (yield* Containers).get(id)
        const execId = ExecId.make("parent")
        const process = yield* Effect.fromResult(
          ProcessSpec.makeProcess(spec, { args: sh("sleep 1000 & seq 1 20000") })
        )
        yield* tasks.exec({ id, execId, process })
        yield* tasks.startExec({ id, execId })
        yield* tasks.wait({ id, execId, timeoutMillis: 10_000 })
        const chunks = yield* Stream.runCollect(tasks.output({ id, execId }))
        assert.isTrue(Buffer.concat(chunks.map(({ bytes }) => bytes)).toString() === lines(1, 20_000))
      }))

    test("gives each of many readers everything", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* created(place.rootfs, sh("seq 1 400000"))
        const readers = yield* Effect.forEach([1, 2, 3], () =>
          Effect.forkChild(output(id, { follow: true }), { startImmediately: true })
        )
        yield* tasks.start(id)
        yield* tasks.wait({ id, timeoutMillis: 30_000 })
        const hash = (text: string) => createHash("sha256").update(text).digest("hex")
        for (const reader of readers) assert.strictEqual(hash(yield* Fiber.join(reader)), hash(lines(1, 400_000)))
      }))
  })
}
