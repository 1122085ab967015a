import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Queue, Schema } from "effect"
import { TestClock } from "effect/testing"
import { FakeDaemon, nobody } from "../support/FakeDaemon.ts"
import { OciProcess } from "../../../src/schema/OciSpec.ts"
import { berth } from "../support/Harness.ts"
import { errorIn, objectIn } from "../support/Read.ts"

const rootfs = ["--rootfs", "/"]

const signalOf = (request: unknown) => Schema.decodeUnknownSync(Schema.Struct({ signal: Schema.Int }))(request).signal

const signalsOf = (daemon: FakeDaemon) =>
  daemon.calls.flatMap(({ call, request }) => (call === "tasks.signal" ? [signalOf(request)] : []))

/** Completes when there is something; tests time out otherwise. */
const until = <A>(find: () => A | null | undefined): Effect.Effect<A> =>
  Effect.suspend(() => {
    const found = find()
    return found == null ? Effect.andThen(Effect.yieldNow, until(find)) : Effect.succeed(found)
  })

/** The process that a command begins meanwhile. */
const begun = (daemon: FakeDaemon, id: string) =>
  until(() => [daemon.entries.get(id)?.task].find((task) => task?.status === "running"))

describe("berth run", () => {
  it.effect("prints what the program prints and ends with its code", () =>
    Effect.gen(function* () {
      const { code, daemon, stderr, stdout } = yield* berth(["run", ...rootfs, "echo", "hi", "-n"])
      assert.deepStrictEqual([code, stdout, stderr], [0, "hi -n\n", ""])
      assert.strictEqual(daemon.entries.size, 0)
      const failed = yield* berth(["run", ...rootfs, "exit", "7"])
      assert.deepStrictEqual([failed.code, failed.stdout, failed.stderr], [7, "", ""])
    })
  )

  it.effect("keeps standard error apart", () =>
    Effect.gen(function* () {
      const { stderr, stdout } = yield* berth(["run", ...rootfs, "warn", "careful"])
      assert.deepStrictEqual([stdout, stderr], ["", "careful\n"])
    })
  )

  it.effect("asks for output and exit before it starts", () =>
    Effect.gen(function* () {
      const { daemon } = yield* berth(["run", ...rootfs, "echo", "hi"])
      const order = daemon.calls.map(({ call }) => call)
      assert.deepStrictEqual(order, ["containers.create", "tasks.create", "tasks.wait", "tasks.output", "tasks.start"])
    })
  )

  it.effect("copies standard input in pieces that the daemon takes, then closes it", () =>
    Effect.gen(function* () {
      const long = "y".repeat(150_000)
      const { code, daemon, stdout } = yield* berth(["run", "-i", ...rootfs, "cat"], { stdin: ["a\n", long] })
      assert.strictEqual(code, 0)
      assert.strictEqual(stdout, `a\n${long}`)
      assert.deepStrictEqual(daemon.requests("tasks.writeStdin"), [2, 65_536, 65_536, 18_928])
      assert.strictEqual(daemon.requests("tasks.closeStdin").length, 1)
    })
  )

  it.effect("leaves standard input alone without -i", () =>
    Effect.gen(function* () {
      const { daemon } = yield* berth(["run", ...rootfs, "echo"], { stdin: ["a"] })
      assert.deepStrictEqual(daemon.requests("tasks.writeStdin"), [])
      assert.deepInclude(daemon.requests("tasks.create")[0], { stdio: { stdin: false, log: { _tag: "json" } } })
    })
  )

  it.effect("detaches with -d and prints the id", () =>
    Effect.gen(function* () {
      const { code, daemon, stdout } = yield* berth(["run", "-d", "--id", "web", ...rootfs, "sleep"])
      assert.deepStrictEqual([code, stdout], [0, "web\n"])
      assert.strictEqual(daemon.entries.get("web")?.task?.status, "running")
      assert.deepInclude(daemon.requests("tasks.create")[0], { id: "web", autoRemove: false })
      const json = yield* berth(["run", "-d", "--json", "--rm", ...rootfs, "sleep"])
      assert.deepInclude(objectIn(json.stdout), { status: "running", containerId: [...json.daemon.entries.keys()][0] })
      assert.deepInclude(json.daemon.requests("tasks.create")[0], { autoRemove: true })
    })
  )

  it.effect("chooses a readable id", () =>
    Effect.gen(function* () {
      const { stdout } = yield* berth(["run", "-d", ...rootfs, "sleep"])
      assert.match(stdout, /^[0-9a-f]{12}\n$/)
    })
  )

  it.effect("passes signals on", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      const signals = yield* Queue.unbounded<number>()
      const fiber = yield* Effect.forkChild(berth(["run", "--id", "web", ...rootfs, "sleep"], { daemon, signals }))
      yield* Effect.yieldNow
      yield* Queue.offer(signals, 15)
      const { code } = yield* Fiber.join(fiber)
      assert.strictEqual(code, 143)
      assert.deepStrictEqual(daemon.requests("tasks.signal"), [{ id: "web", execId: null, signal: 15 }])
    })
  )

  it.effect("kills for good what has ignored two attempts to end it", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      const signals = yield* Queue.unbounded<number>()
      const fiber = yield* Effect.forkChild(berth(["run", ...rootfs, "stubborn"], { daemon, signals }))
      yield* Effect.yieldNow
      yield* Queue.offerAll(signals, [10, 2, 15, 2])
      assert.strictEqual((yield* Fiber.join(fiber)).code, 137)
      assert.deepStrictEqual(signalsOf(daemon), [10, 2, 15, 9])
    })
  )

  it.effect("maps a missing and a forbidden program to 127 and 126, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const missing = yield* berth(["run", ...rootfs, "nowhere"])
      assert.deepStrictEqual([missing.code, missing.daemon.entries.size], [127, 0])
      assert.match(missing.stderr, /^berth: fake start failed: .*\n$/)
      assert.strictEqual((yield* berth(["run", ...rootfs, "/etc/passwd"])).code, 126)
      const uncreatable = yield* berth(["run", "-d", ...rootfs, "uncreatable"])
      assert.deepStrictEqual([uncreatable.code, uncreatable.daemon.entries.size], [125, 0])
    })
  )

  it.effect("never takes away what was there before", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      yield* berth(["run", "-d", "--id", "web", ...rootfs, "sleep"], { daemon })
      const again = yield* berth(["run", "--id", "web", "--json", ...rootfs, "sleep"], { daemon })
      assert.strictEqual(again.code, 1)
      assert.match(again.stderr, /^berth: container "web": already exists/)
      assert.deepStrictEqual(errorIn(again.stderr), { _tag: "AlreadyExists", kind: "container", id: "web" })
      assert.strictEqual(daemon.entries.get("web")?.task?.status, "running")
    })
  )

  it.effect("leaves what has ended alone when nobody reads, and ends with its code", () =>
    Effect.gen(function* () {
      const { code, daemon, stderr } = yield* berth(["run", "--id", "web", ...rootfs, "echo", "x"], { closeAfter: 0 })
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.deepStrictEqual(daemon.requests("tasks.delete"), [])
    })
  )

  const unread = [
    { name: "standard output", options: { closeAfter: 0 }, stream: "stdout" },
    { name: "standard error", options: { errorClosed: true }, stream: "stderr" }
  ] as const
  it.effect.each(unread)("ends a process when nobody reads $name", ({ options, stream }) =>
    Effect.gen(function* () {
      for (const words of [["run"], ["run", "--tty"]]) {
        const daemon = new FakeDaemon()
        const args = [...words, "--id", "web", ...rootfs, "sleep"]
        const fiber = yield* Effect.forkChild(berth(args, { daemon, ...options }))
        const task = yield* begun(daemon, "web")
        yield* TestClock.adjust("1 minute")
        assert.isUndefined(fiber.pollUnsafe())
        task.print(stream, "x")
        const { code, stderr, stdout } = yield* Fiber.join(fiber)
        assert.deepStrictEqual([code, stdout, stderr, signalsOf(daemon)], [141, "", "", [13]])
      }
    })
  )

  it.effect("kills after a second what goes on though nobody reads, and prints no more of it", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      const fiber = yield* Effect.forkChild(
        berth(["run", "--id", "web", ...rootfs, "stubborn"], { daemon, closeAfter: 0 })
      )
      const task = yield* begun(daemon, "web")
      for (const text of ["x", "y", "z"]) task.print("stdout", text)
      task.print("stderr", "still read")
      yield* until(() => signalsOf(daemon)[0])
      yield* TestClock.adjust("999 millis")
      assert.deepStrictEqual(signalsOf(daemon), [13])
      yield* TestClock.adjust("1 millis")
      const { code, stderr, stdout } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([code, stdout, stderr, signalsOf(daemon)], [137, "", "still read", [13, 9]])
    })
  )

  it.effect("says why it cannot write the pid, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const { code, daemon, stderr } = yield* berth(["run", "-d", "--pid-file", "/no/such/x", ...rootfs, "sleep"])
      assert.strictEqual(code, 125)
      assert.strictEqual(
        stderr,
        "berth: --pid-file /no/such/x: cannot be written: its folder does not exist (choose a file in a folder that exists)\n"
      )
      assert.strictEqual(daemon.entries.size, 0)
    })
  )

  it.effect("does not open the output that is not in the log", () =>
    Effect.gen(function* () {
      const { code, daemon, stdout } = yield* berth(["run", "--log", "none", ...rootfs, "echo", "x"])
      assert.deepStrictEqual([code, stdout, daemon.requests("tasks.output").length], [0, "", 0])
      const file = yield* berth(["run", "-d", "--log", "file:/tmp/../tmp/x.log", ...rootfs, "echo"])
      assert.deepInclude(file.daemon.requests("tasks.create")[0], {
        stdio: { stdin: false, log: { _tag: "file", path: "/tmp/x.log" } }
      })
    })
  )

  it.effect("says where output goes", () =>
    Effect.gen(function* () {
      const log = (...words: ReadonlyArray<string>) =>
        Effect.map(berth(["run", "-d", ...words, ...rootfs, "echo"]), ({ daemon }) => {
          const [request] = daemon.requests("tasks.create")
          return request !== null && typeof request === "object" && "stdio" in request ? request.stdio : null
        })
      assert.deepStrictEqual(yield* log("--log", "json", "--log-opt", "max-size=10m", "--log-opt", "max-file=2"), {
        stdin: false,
        log: { _tag: "json", maxSize: 10_485_760, maxFiles: 2 }
      })
      assert.deepStrictEqual(yield* log("--log", "fifo:/tmp/x/../y"), {
        stdin: false,
        log: { _tag: "fifo", directory: "/tmp/y" }
      })
      assert.deepStrictEqual(yield* log("--log", "binary:/bin/log", "--log-opt", "tag=web", "--log-opt", "-v"), {
        stdin: false,
        log: { _tag: "binary", path: "/bin/log", args: ["tag", "web", "-v"] }
      })
    })
  )

  it.effect("keeps labels, runtime and how to stop with the container", () =>
    Effect.gen(function* () {
      const words = [
        "--label",
        "app=shop",
        "--label",
        "x==",
        "--runtime",
        "crun",
        "--stop-signal",
        "9",
        "--stop-timeout",
        "90s"
      ]
      const { daemon } = yield* berth(["run", "-d", ...words, ...rootfs, "sleep"])
      assert.deepInclude(daemon.requests("containers.create")[0], {
        labels: { app: "shop", x: "=", "berth.stop-signal": "SIGKILL", "berth.stop-timeout": "90s" },
        runtime: { name: "crun" }
      })
    })
  )

  it.effect("reports a daemon that is not there", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      daemon.failure = nobody
      const { code, stderr, stdout } = yield* berth(["run", ...rootfs, "echo"], { daemon })
      assert.deepStrictEqual([code, stdout], [125, ""])
      assert.strictEqual(stderr, `berth: daemon: nobody answers (start one with "berth daemon")\n`)
    })
  )

  const refused: ReadonlyArray<readonly [words: ReadonlyArray<string>, code: number, said: RegExp]> = [
    [["-it", ...rootfs, "sh"], 2, /^berth: run: --tty: the input device is not a TTY \(see berth .*--help\)\n$/],
    [["-it", "--detach-keys", "ctrl-1", ...rootfs, "sh"], 2, /^berth: run: --detach-keys: expected keys such as/],
    [["--overlay", "sh"], 2, /^berth: run: --overlay: needs --rootfs DIR \(see berth run --help\)\n$/],
    [["--rootfs", "", "sh"], 2, /^berth: run: --rootfs: needs a value, expected a path \(see berth run --help\)\n$/],
    [["--env-file=", ...rootfs, "sh"], 2, /^berth: run: --env-file: needs a value, expected a path/],
    [["--snapshot", "k", "sh"], 1, /^berth: --snapshot: not supported/],
    [["--restart", "always", ...rootfs, "sh"], 1, /^berth: --restart always: not supported/],
    [["--log-opt", "max-size=lots", ...rootfs, "sh"], 2, /^berth: run: --log-opt: max-size: expected a size such as/],
    [["--log-opt", "max-size=1", ...rootfs, "sh"], 2, /^berth: run: --log-opt: .*4096/],
    [["--log-opt", "max-file=3", ...rootfs, "sh"], 2, /^berth: run: --log-opt: max-file needs max-size/],
    [["--log", "none", "--log-opt", "max-size=1m", ...rootfs, "sh"], 2, /^berth: run: --log-opt: only json and binary/],
    [
      ["--log", "what", ...rootfs, "sh"],
      2,
      /^berth: run: --log: expected json, none, file:PATH, fifo:DIR or binary:PATH, got "what" \(see berth .*--help\)\n$/
    ],
    [["sh"], 2, /^berth: run: --rootfs: give --rootfs DIR or --bundle DIR \(see berth .*--help\)\n$/],
    [[...rootfs], 2, /^berth: run: <command>: is missing \(see berth .*--help\)\n$/],
    [["--rootfs", "/nowhere", "sh"], 1, /^berth: --rootfs: "\/nowhere" does not exist\n$/],
    [["--rootfs", "/etc/passwd", "sh"], 1, /^berth: --rootfs: "\/etc\/passwd" is not a folder\n$/],
    [["--id", "a--b", ...rootfs, "sh"], 2, /^berth: run: --id: a container id: .*got "a--b" \(see berth .*--help\)\n$/],
    [
      ["--label", "novalue", ...rootfs, "sh"],
      2,
      /^berth: run: --label: expected KEY=VALUE, got "novalue" \(see berth .*--help\)\n$/
    ],
    [["--label", `k=${"v".repeat(4096)}`, ...rootfs, "sh"], 2, /^berth: run: --label: .*at most 4096 bytes/],
    [
      ["--memory", "lots", ...rootfs, "sh"],
      2,
      /^berth: run: --memory: expected a size .*got "lots" \(see berth .*--help\)\n$/
    ],
    [
      ["--cap-add", "FLY", ...rootfs, "sh"],
      2,
      /^berth: run: --cap-add: unknown capability "FLY" \(see berth .*--help\)\n$/
    ],
    [["-w", "relative", ...rootfs, "sh"], 2, /^berth: run: --workdir: must be an absolute path/],
    [["--bundle", "/nowhere"], 1, /^berth: --bundle: cannot read "\/nowhere\/config.json": it does not exist\n$/],
    [["--nope", ...rootfs, "sh"], 2, /^berth: run: --nope: unknown option/]
  ]
  const named = refused.map(([words, code, said]) => ({ name: words.join(" ").slice(0, 40), words, code, said }))
  it.effect.each(named)("refuses $name", ({ code, said, words }) =>
    Effect.gen(function* () {
      const outcome = yield* berth(["run", ...words])
      assert.match(outcome.stderr, said)
      assert.deepStrictEqual([outcome.code, outcome.stdout, outcome.daemon.calls.length], [code, "", 0])
    })
  )
})

describe("berth create and start", () => {
  it.effect("are the two halves of run", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      const created = yield* berth(["create", "--id", "web", ...rootfs, "exit", "3"], { daemon })
      assert.deepStrictEqual([created.code, created.stdout], [0, "web\n"])
      assert.strictEqual(daemon.entries.get("web")?.task?.status, "created")
      const started = yield* berth(["start", "-a", "web"], { daemon })
      assert.deepStrictEqual([started.code, started.stdout], [3, ""])
      const again = yield* berth(["start", "web"], { daemon })
      assert.strictEqual(again.code, 1)
      assert.strictEqual(again.stderr, "berth: cannot start: it is stopped, must be created\n")
    })
  )

  it.effect("call a missing container 127 where the exit code is the process's, else 1", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* berth(["start", "-a", "web"])).code, 127)
      assert.strictEqual((yield* berth(["start", "web"])).code, 1)
      assert.strictEqual((yield* berth(["inspect", "web"])).code, 1)
      assert.strictEqual((yield* berth(["kill", "web"])).code, 1)
    })
  )
})

describe("berth exec", () => {
  const decode = Schema.decodeUnknownSync(Schema.Struct({ process: OciProcess }))

  const withWeb = Effect.gen(function* () {
    const daemon = new FakeDaemon()
    yield* berth(["run", "-d", "--id", "web", "--rootfs", "/", "-e", "A=1", "-e", "B=2", "-w", "/srv", "sleep"], {
      daemon
    })
    return daemon
  })

  it.effect("ends the process when nobody reads, and forgets it", () =>
    Effect.gen(function* () {
      const daemon = yield* withWeb
      const fiber = yield* Effect.forkChild(berth(["exec", "--id", "one", "web", "shell"], { daemon, closeAfter: 0 }))
      const { code } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([code, daemon.requests("tasks.signal")], [141, [{ id: "web", execId: "one", signal: 13 }]])
      assert.deepStrictEqual([...daemon.entries.get("web")!.execs], [])
      assert.strictEqual(daemon.entries.get("web")?.task?.status, "running")
    })
  )

  it.effect("runs a process in the container, ends with its code and forgets it", () =>
    Effect.gen(function* () {
      const daemon = yield* withWeb
      const { code, stdout } = yield* berth(["exec", "-e", "B=3", "web", "echo", "a", "-b"], { daemon })
      assert.deepStrictEqual([code, stdout], [0, "a -b\n"])
      assert.strictEqual(daemon.entries.get("web")?.execs.size, 0)
      const { process } = decode(daemon.requests("tasks.exec")[0])
      assert.deepInclude(process, { args: ["echo", "a", "-b"], cwd: "/srv", terminal: false })
      assert.deepStrictEqual(
        process.env?.filter((entry) => /^[AB]=/.test(entry)),
        ["A=1", "B=3"]
      )
      assert.strictEqual((yield* berth(["exec", "web", "exit", "9"], { daemon })).code, 9)
    })
  )

  it.effect("copies standard input", () =>
    Effect.gen(function* () {
      const daemon = yield* withWeb
      const { stdout } = yield* berth(["exec", "-i", "web", "cat"], { daemon, stdin: ["x"] })
      assert.strictEqual(stdout, "x")
    })
  )

  it.effect("detaches under a name", () =>
    Effect.gen(function* () {
      const daemon = yield* withWeb
      const { code, stdout } = yield* berth(["exec", "-d", "--id", "worker", "web", "sleep"], { daemon })
      assert.deepStrictEqual([code, stdout], [0, "worker\n"])
      const twice = yield* berth(["exec", "-d", "--id", "worker", "web", "sleep"], { daemon })
      assert.deepStrictEqual([twice.code, twice.stderr.slice(0, 38)], [1, `berth: exec "worker": already exists (`])
      assert.strictEqual(daemon.entries.get("web")?.execs.size, 1)
    })
  )

  it.effect("tells a missing program and a missing container apart from the program's failure", () =>
    Effect.gen(function* () {
      const daemon = yield* withWeb
      const unstarted = yield* berth(["exec", "web", "nowhere"], { daemon })
      assert.deepStrictEqual([unstarted.code, unstarted.stderr.split("\n").length], [127, 2])
      assert.match(unstarted.stderr, /^berth: fake exec failed: /)
      assert.strictEqual(daemon.entries.get("web")?.execs.size, 0)
      const missing = yield* berth(["exec", "db", "ls"], { daemon })
      assert.deepStrictEqual([missing.code, missing.stderr.slice(0, 32)], [127, `berth: container "db": not found`])
      const terminal = yield* berth(["exec", "-it", "web", "sh"], { daemon })
      assert.strictEqual(terminal.code, 2)
      assert.match(terminal.stderr, /^berth: exec: --tty: the input device is not a TTY \(see berth exec --help\)\n$/)
      assert.strictEqual(daemon.entries.get("web")?.execs.size, 0)
    })
  )
})
