/** The command line on real containers: what a user types, with a daemon and its shim as processes of their own. */
import { assert, it, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schedule, Schema } from "effect"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { finish, run, start } from "../cli/support/Command.ts"
import { DriverInfo } from "../../src/schema/Runtime.ts"
import { errorIn } from "../cli/support/Read.ts"
import { daemon, folders } from "../support/daemon.ts"
import type { Daemon } from "../support/daemon.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"

class Place extends Context.Service<Place, Daemon>()("test/Place") {}

const rootfs = canRunContainers ? ["--rootfs", rootfsOfFile()] : []

const berth = (...args: ReadonlyArray<string>) => Effect.flatMap(Place, ({ address }) => run(args, { address }))

const Task = Schema.Struct({
  id: Schema.String,
  status: Schema.String,
  pid: Schema.Int,
  exitStatus: Schema.NullOr(Schema.Int)
})

const Inspected = Schema.Struct({
  container: Schema.JsonObject,
  task: Task,
  processes: Schema.Array(Schema.JsonObject)
})

const Report = Schema.Struct({
  fit: Schema.Boolean,
  checks: Schema.Array(Schema.Struct({ name: Schema.String, found: Schema.Boolean }))
})

const Exit = Schema.Struct({ exitStatus: Schema.Int })

const Logged = Schema.Struct({ seq: Schema.Int, topic: Schema.String, event: Schema.JsonObject })

const read = <A>(schema: Schema.Decoder<A>) => Schema.decodeSync(Schema.fromJsonString(schema))

/** What a command prints as JSON. */
const json = <A>(schema: Schema.Decoder<A>, ...args: ReadonlyArray<string>) =>
  Effect.map(berth(...args, "--json"), ({ code, stderr, stdout }) => {
    assert.deepStrictEqual([code, stderr], [0, ""])
    return read(schema)(stdout)
  })

/** A container that runs until it is killed. */
const running = Effect.fnUntraced(function* (id: string, ...command: ReadonlyArray<string>) {
  yield* Effect.acquireRelease(
    berth("run", "-d", "--id", id, ...rootfs, ...(command.length === 0 ? ["sleep", "1000"] : command)),
    () => berth("rm", "-f", id).pipe(Effect.ignore)
  )
  return id
})

const until = (told: () => boolean) =>
  Effect.sync(told).pipe(
    Effect.repeat({ until: (done) => done, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("20 seconds")
  )

const place = Layer.effect(Place, daemon())

if (canRunContainers) {
  layer(place, { excludeTestServices: true, timeout: "60 seconds" })("berth", (it) => {
    it.effect("runs a program: its output, its exit code, and nothing left of it", () =>
      Effect.gen(function* () {
        const hi = yield* berth("run", "--id", "once", ...rootfs, "sh", "-c", "echo hi; echo careful >&2; exit 7")
        assert.deepStrictEqual(hi, { code: 7, stdout: "hi\n", stderr: "careful\n" })
        assert.strictEqual((yield* berth("inspect", "once")).code, 1)
      })
    )

    it.effect("leads a container through its life", () =>
      Effect.gen(function* () {
        yield* Effect.addFinalizer(() => berth("rm", "-f", "life").pipe(Effect.ignore))
        const started = yield* berth("run", "-d", "--id", "life", "--label", "app=shop", ...rootfs, "sleep", "1000")
        assert.deepStrictEqual(started, { code: 0, stdout: "life\n", stderr: "" })
        const [task] = yield* json(Schema.Array(Task), "ps", "--filter", "id==life")
        assert.deepInclude(task, { id: "life", status: "running", exitStatus: null })
        assert.isAbove(task?.pid ?? 0, 1)
        const inside = yield* berth("exec", "life", "sh", "-c", "echo in; exit 3")
        assert.deepStrictEqual(inside, { code: 3, stdout: "in\n", stderr: "" })
        assert.deepInclude(yield* json(Task, "pause", "life"), { status: "paused" })
        assert.match((yield* berth("ps")).stdout, /\nlife {3}paused {3}/)
        assert.deepInclude(yield* json(Task, "resume", "life"), { status: "running" })
        const { address } = yield* Place
        const waiting = yield* start(["wait", "life"], { address })
        assert.strictEqual((yield* berth("kill", "-s", "9", "life")).code, 0)
        assert.deepStrictEqual(yield* finish(waiting), { code: 0, stdout: "137\n", stderr: "" })
        const inspected = yield* json(Inspected, "inspect", "life")
        assert.deepInclude(inspected.task, { status: "stopped", exitStatus: 137 })
        assert.deepInclude(inspected.container, { labels: { app: "shop" } })
        assert.deepStrictEqual(inspected.processes, [])
        const deleted = yield* json(Schema.Struct({ exit: Exit }), "delete", "life")
        assert.strictEqual(deleted.exit.exitStatus, 137)
        const log = yield* berth("events", "--no-follow", "--json")
        const events = log.stdout
          .trim()
          .split("\n")
          .map((line) => read(Logged)(line))
        assert.deepStrictEqual(
          events.filter(({ event }) => (event["containerId"] ?? event["id"]) === "life").map(({ topic }) => topic),
          [
            "/containers/create",
            "/tasks/create",
            "/tasks/start",
            "/tasks/exec-added",
            "/tasks/exec-started",
            "/tasks/exit",
            "/tasks/paused",
            "/tasks/resumed",
            "/tasks/exit",
            "/tasks/delete",
            "/containers/delete"
          ]
        )
        assert.deepStrictEqual(
          events.map(({ seq }) => seq),
          events.map(({ seq }) => seq).toSorted((a, b) => a - b)
        )
      })
    )

    it.effect("has the halves of run, and starts no container twice", () =>
      Effect.gen(function* () {
        yield* Effect.addFinalizer(() => berth("rm", "-f", "half").pipe(Effect.ignore))
        assert.strictEqual(
          (yield* berth("create", "--id", "half", ...rootfs, "sh", "-c", "echo started; exit 4")).stdout,
          "half\n"
        )
        assert.deepInclude((yield* json(Inspected, "inspect", "half")).task, { status: "created" })
        assert.deepStrictEqual(yield* berth("start", "-a", "half"), { code: 4, stdout: "started\n", stderr: "" })
        const again = yield* berth("start", "half", "--json")
        assert.strictEqual(again.code, 1)
        const error = errorIn(again.stderr)
        assert.deepInclude(error, { _tag: "FailedPrecondition", found: "stopped", allowed: ["created"] })
        assert.strictEqual((yield* berth("logs", "half")).stdout, "started\n")
      })
    )

    it.effect("copies input through a container, byte for byte", () =>
      Effect.gen(function* () {
        const { address } = yield* Place
        const input = Array.from({ length: 40_000 }, (_, n) => `line ${n} ☃\n`).join("")
        const copied = yield* run(["run", "-i", ...rootfs, "cat"], { address, stdin: input })
        assert.deepStrictEqual([copied.code, copied.stderr, copied.stdout === input], [0, "", true])
        yield* running("reader")
        const counted = yield* run(["exec", "-i", "reader", "wc", "-c"], { address, stdin: "12345" })
        assert.deepStrictEqual([counted.code, counted.stdout.trim()], [0, "5"])
      })
    )

    it.effect("passes signals on to the program", () =>
      Effect.gen(function* () {
        const { address } = yield* Place
        const script = "trap 'echo stopping; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
        const command = yield* start(["run", ...rootfs, "sh", "-c", script], { address })
        yield* until(() => command.text.stdout.includes("ready"))
        command.child.kill("SIGTERM")
        assert.deepStrictEqual(yield* finish(command), { code: 9, stdout: "ready\nstopping\n", stderr: "" })
      })
    )

    it.effect("kills for good what ignores the third attempt", () =>
      Effect.gen(function* () {
        const { address } = yield* Place
        const script = "trap 'echo no' INT; echo ready; while :; do sleep 0.05; done"
        const command = yield* start(["run", ...rootfs, "sh", "-c", script], { address })
        yield* until(() => command.text.stdout.includes("ready"))
        for (const attempt of [1, 2]) {
          command.child.kill("SIGINT")
          yield* until(() => command.text.stdout.split("no").length > attempt)
        }
        command.child.kill("SIGINT")
        assert.strictEqual((yield* finish(command)).code, 137)
      })
    )

    it.effect("prints and follows logs, and leaves quietly with its reader", () =>
      Effect.gen(function* () {
        const { address } = yield* Place
        yield* running("talker", "sh", "-c", "seq 1 5000; while :; do sleep 0.05; echo more; done")
        yield* berth("logs", "talker").pipe(
          Effect.repeat({ until: ({ stdout }) => stdout.includes("\n5000\n"), schedule: Schedule.spaced("50 millis") })
        )
        const tail = yield* berth("logs", "--tail", "3", "talker")
        assert.strictEqual(tail.stdout.trimEnd().split("\n").length, 3)
        const command = yield* start(["logs", "-f", "talker"], { address })
        yield* until(() => command.text.stdout.includes("more"))
        command.child.stdout.destroy()
        const { code, stderr } = yield* finish(command)
        assert.deepStrictEqual([code, stderr], [0, ""])
      })
    )

    it.effect("stops as the container asked for when it was made", () =>
      Effect.gen(function* () {
        const script = "trap 'exit 21' QUIT; echo ready; while :; do sleep 0.05; done"
        yield* Effect.addFinalizer(() => berth("rm", "-f", "polite").pipe(Effect.ignore))
        yield* berth("run", "-d", "--id", "polite", "--stop-signal", "QUIT", ...rootfs, "sh", "-c", script)
        yield* berth("logs", "polite").pipe(
          Effect.repeat({ until: ({ stdout }) => stdout === "ready\n", schedule: Schedule.spaced("50 millis") })
        )
        const stopped = yield* json(Schema.Struct({ stage: Schema.String, exit: Exit }), "stop", "polite")
        assert.deepStrictEqual([stopped.stage, stopped.exit.exitStatus], ["signal", 21])
      })
    )

    it.effect("keeps namespaces apart", () =>
      Effect.gen(function* () {
        yield* running("here")
        const elsewhere = yield* berth("ps", "-a", "-n", "elsewhere", "--json")
        assert.strictEqual(elsewhere.stdout, "[]\n")
        assert.strictEqual((yield* berth("inspect", "here", "-n", "elsewhere")).code, 1)
      })
    )

    it.effect("writes output to a file and the pid to another", () =>
      Effect.gen(function* () {
        const { folder } = yield* Place
        const [log, pid] = [join(folder, "out.log"), join(folder, "pid")]
        yield* Effect.addFinalizer(() => berth("rm", "-f", "filed").pipe(Effect.ignore))
        yield* berth(
          "run",
          "-d",
          "--id",
          "filed",
          "--log",
          `file:${log}`,
          "--pid-file",
          pid,
          ...rootfs,
          "sh",
          "-c",
          "echo filed; sleep 1000"
        )
        const { task } = yield* json(Inspected, "inspect", "filed")
        assert.strictEqual(readFileSync(pid, "utf8"), `${task.pid}\n`)
        yield* until(() => readFileSync(log, "utf8") === "filed\n")
      })
    )

    it.effect("tells runtimes, the daemon and what the machine lacks", () =>
      Effect.gen(function* () {
        const runtimes = yield* json(Schema.Array(DriverInfo), "runtimes")
        assert.strictEqual(runtimes.filter((one) => one.default).length, 1)
        const { pid, root } = yield* Place
        assert.deepInclude(yield* json(Schema.JsonObject, "info"), { pid, root })
        const { checks, fit } = yield* json(Report, "doctor")
        assert.isTrue(fit)
        assert.deepInclude(
          checks.find(({ name }) => name === "daemon"),
          { found: true }
        )
      })
    )

    /** What goes wrong, its exit code, its tag, and what its line says. */
    const bad: ReadonlyArray<readonly [words: ReadonlyArray<string>, code: number, tag: string, line: RegExp]> = [
      [["inspect", "nobody"], 1, "NotFound", /container "nobody": not found/],
      [["kill", "nobody"], 1, "NotFound", /not found/],
      [["exec", "nobody", "ls"], 127, "NotFound", /container "nobody": not found/],
      [["start", "-a", "nobody"], 127, "NotFound", /not found/],
      [["wait", "--timeout", "50ms", "bad"], 124, "WaitTimeout", /still running after 50 ms/],
      [["resume", "bad"], 1, "FailedPrecondition", /it is running, must be paused/],
      [["delete", "bad"], 1, "FailedPrecondition", /it is running/],
      [["run", "--id", "bad", ...rootfs, "true"], 1, "AlreadyExists", /container "bad": already exists/],
      [["run", "--id", "a..b", ...rootfs, "true"], 2, "InvalidArgument", /run: --id: a container id/],
      [["run", "--label", "=x", ...rootfs, "true"], 2, "InvalidArgument", /run: --label: expected KEY=VALUE/],
      [["run", "--log", "nonsense", ...rootfs, "true"], 2, "InvalidArgument", /run: --log: /],
      [["run", "--log", "file:/dev", ...rootfs, "true"], 1, "InvalidArgument", /log file: /],
      [["run", "--log", "fifo:/dev/null/x", ...rootfs, "true"], 1, "InvalidArgument", /folder of FIFOs: /],
      [["run", "--log", "binary:/nowhere", ...rootfs, "true"], 1, "InvalidArgument", /logging program: /],
      [["run", "--log-opt", "max-file=2", ...rootfs, "true"], 2, "InvalidArgument", /run: --log-opt: /],
      [["run", "--rootfs", "/nowhere", "true"], 1, "InvalidArgument", /--rootfs: "\/nowhere" does not exist/],
      [["run", ...rootfs, "nowhere"], 127, "RuntimeFailed", /nowhere/],
      [["run", ...rootfs, "/etc/passwd"], 126, "RuntimeFailed", /./],
      [["exec", "bad", "nowhere"], 127, "RuntimeFailed", /nowhere/],
      [["exec", "bad", "/etc/passwd"], 126, "RuntimeFailed", /./],
      [["run", "--runtime", "nope", ...rootfs, "true"], 125, "Unavailable", /runtime "nope": .*not installed/],
      [["ps", "--filter", "nonsense=~("], 1, "InvalidArgument", /./],
      [["run", "-it", ...rootfs, "sh"], 2, "InvalidArgument", /run: --tty: the input device is not a TTY/],
      [["run", "--restart", "always", ...rootfs, "sh"], 1, "Unsupported", /--restart always: not supported/]
    ]
    it.effect(
      "says in one line what is wrong, with a code and a document for programs",
      () =>
        Effect.gen(function* () {
          yield* running("bad")
          for (const [words, code, tag, line] of bad) {
            const outcome = yield* berth("--json", ...words)
            const name = words.join(" ")
            const [first = ""] = outcome.stderr.split("\n")
            assert.deepStrictEqual([outcome.code, outcome.stdout], [code, ""], `${name}: ${outcome.stderr}`)
            assert.match(first, /^berth: \S.*: \S/, name)
            assert.match(first, line, name)
            const error = errorIn(outcome.stderr)
            assert.strictEqual(error["_tag"], tag, name)
            assert.strictEqual(outcome.stderr.split("\n").length, 3, name)
          }
          const left = yield* json(Schema.Array(Task), "ps", "-a")
          assert.deepStrictEqual(
            left.map(({ id }) => id),
            ["bad"]
          )
        }),
      60_000
    )

    it.effect("refuses a socket in use, a file that is no socket, and a socket of others", () =>
      Effect.gen(function* () {
        const { address, folder } = yield* Place
        const other = (...listen: ReadonlyArray<string>) =>
          berth("daemon", "--root", join(folder, "root2"), "--state", join(folder, "state2"), "--listen", ...listen)
        const inUse = yield* other(address)
        assert.deepStrictEqual([inUse.code, inUse.stdout], [125, ""])
        assert.match(inUse.stderr, /^berth: socket .*: another daemon answers on it \(.*\)\n$/)
        const file = join(folder, "file")
        writeFileSync(file, "precious")
        assert.strictEqual((yield* other(`unix://${file}`)).code, 125)
        assert.strictEqual(readFileSync(file, "utf8"), "precious")
        const stranger = yield* run(["ps", "--json"], { address, uid: 65_534 })
        assert.deepStrictEqual([stranger.code, stranger.stdout], [1, ""])
        assert.deepInclude(errorIn(stranger.stderr), {
          _tag: "PermissionDenied"
        })
      })
    )
  })
}

it.live("a command without a daemon says so, quickly", () =>
  Effect.gen(function* () {
    const { folder } = yield* folders
    const outcome = yield* run(["ps"], { address: `unix://${join(folder, "none.sock")}` })
    assert.deepStrictEqual([outcome.code, outcome.stdout], [125, ""])
    assert.match(outcome.stderr, /^berth: daemon at unix:\/\/.*: nobody answers \(start one with "berth daemon"\)\n$/)
  })
)
