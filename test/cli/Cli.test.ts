import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { descriptor } from "../../src/cli/Cli.ts"
import { version } from "../../src/version.ts"
import { FakeDaemon, nobody } from "./support/FakeDaemon.ts"
import { berth } from "./support/Harness.ts"
import { errorIn } from "./support/Read.ts"

/** Every command with what leads to it. */
const everyCommand = (command = descriptor, path: ReadonlyArray<string> = []): ReadonlyArray<ReadonlyArray<string>> => [
  path,
  ...command.subcommands.flatMap((one) => everyCommand(one, [...path, one.name]))
]

describe("global options", () => {
  it.effect("choose the daemon, the namespace and the token, before the command or after it", () =>
    Effect.gen(function* () {
      const options = ["--address", "unix:///a.sock", "-n", "prod", "--token", "secret"]
      for (const words of [
        [...options, "ps"],
        ["ps", ...options],
        ["-n", "prod", "ps", ...options.slice(0, 2), ...options.slice(4)]
      ]) {
        const { code, daemon, targets } = yield* berth(words)
        assert.strictEqual(code, 0)
        assert.deepStrictEqual(targets, [{ address: "unix:///a.sock", token: "secret" }])
        assert.deepStrictEqual([...daemon.namespaces], ["prod"])
      }
    })
  )

  it.effect("come from the environment where they are not given", () =>
    Effect.gen(function* () {
      const env = { BERTH_ADDRESS: "unix:///env.sock", BERTH_NAMESPACE: "env", BERTH_TOKEN: "t" }
      const { daemon, targets } = yield* berth(["ps"], { env })
      assert.deepStrictEqual(targets, [{ address: "unix:///env.sock", token: "t" }])
      assert.deepStrictEqual([...daemon.namespaces], ["env"])
      const overruled = yield* berth(["ps", "-n", "flag", "--address", "unix:///flag.sock"], { env })
      assert.deepStrictEqual(overruled.targets, [{ address: "unix:///flag.sock", token: "t" }])
      assert.deepStrictEqual([...overruled.daemon.namespaces], ["flag"])
    })
  )

  it.effect("have defaults, also where the environment has empty variables", () =>
    Effect.gen(function* () {
      for (const env of [{}, { BERTH_ADDRESS: "", BERTH_NAMESPACE: "", BERTH_TOKEN: "" }]) {
        const { daemon, targets } = yield* berth(["ps"], { env })
        assert.deepStrictEqual(targets, [{ address: "unix:///run/berth/berth.sock", token: undefined }])
        assert.deepStrictEqual([...daemon.namespaces], ["default"])
      }
      const { targets } = yield* berth(["ps", "--address", "", "--token="])
      assert.deepStrictEqual(targets, [{ address: "unix:///run/berth/berth.sock", token: undefined }])
    })
  )

  it.effect("are checked, wherever they come from", () =>
    Effect.gen(function* () {
      for (const outcome of [
        yield* berth(["ps", "-n", "a--b"]),
        yield* berth(["ps"], { env: { BERTH_NAMESPACE: "a--b" } })
      ]) {
        assert.strictEqual(outcome.code, 2)
        assert.match(outcome.stderr, /^berth: ps: --namespace: a namespace: .*got "a--b" \(see berth ps --help\)\n$/)
      }
    })
  )
})

describe("misuse", () => {
  const cases: ReadonlyArray<readonly [words: string, line: RegExp]> = [
    ["ps extra", /^berth: ps: extra: more words than the command takes$/],
    ["inspect", /^berth: inspect: <id>: is missing$/],
    ["rm", /^berth: delete: <id>: is missing$/],
    ["kil web", /^berth: kil: unknown command, did you mean kill\?$/],
    ["ps --al", /^berth: ps: --al: unknown option, did you mean --all or -a\?$/],
    ["wait --timeout", /^berth: wait: --timeout: needs a value, expected <DURATION>$/],
    ["logs --tail x web", /^berth: logs: --tail: expected a string representing a finite number, got "x"$/],
    ["logs --tail -1 web", /^berth: logs: --tail: expected a number of lines, got "-1"$/],
    ["kill -s NOPE web", /^berth: kill: --signal: expected a signal by name .*got "NOPE"$/],
    ["wait --timeout 5 web", /^berth: wait: --timeout: expected a duration .*got "5"$/],
    ["completions tcsh", /^berth: completions: <shell>: .*got "tcsh"$/],
    ["exec web", /^berth: exec: <command>: is missing$/],
    ["run --id a --id b ls", /^berth: run: --id: at most 1 value/]
  ]
  it.effect.each(cases)("%s", ([words, first]) =>
    Effect.gen(function* () {
      const { code, daemon, stderr, stdout } = yield* berth(words.split(" "))
      const [line = "", end] = stderr.split("\n")
      const [, told = "", command] = /^(.*) \(see (berth.*) --help\)$/.exec(line) ?? []
      assert.match(told, first)
      assert.isTrue(told.startsWith((command ?? "?").replace(/^berth ?/, "berth: ")), line)
      assert.deepStrictEqual([code, stdout, end, daemon.calls.length], [2, "", "", 0])
    })
  )

  it.effect("is JSON too where that is asked for", () =>
    Effect.gen(function* () {
      const { stderr, stdout } = yield* berth(["--json", "inspect", "a b"])
      assert.strictEqual(stdout, "")
      assert.deepInclude(errorIn(stderr), { _tag: "InvalidArgument", field: "<id>" })
      const elsewhere = yield* berth(["exec", "a b", "ls", "--json"])
      assert.notInclude(elsewhere.stderr, "{")
    })
  )

  it.effect("includes no command at all: the help goes to standard error", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* berth([])
      assert.deepStrictEqual([code, stdout], [2, ""])
      assert.include(stderr, "berth <subcommand> [flags]")
    })
  )
})

describe("help", () => {
  it.effect.each(everyCommand())("of %s goes to standard output, with examples", (path) =>
    Effect.gen(function* () {
      for (const words of [
        [...path, "--help"],
        ["help", ...path]
      ]) {
        const { code, stderr, stdout } = yield* berth(words)
        assert.deepStrictEqual([code, stderr], [0, ""])
        assert.include(stdout, "USAGE")
        const isGroup = path.length === 0 || ["containers", "consumers"].includes(path.join(" "))
        assert.strictEqual(stdout.includes("EXAMPLES"), !isGroup)
        assert.notInclude(stdout, "\u001b")
      }
    })
  )

  it.effect("has the version", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* berth(["--version"])).stdout, `berth ${version}\n`)
    })
  )

  it.effect("has colours on a terminal", () =>
    Effect.gen(function* () {
      assert.include((yield* berth(["ps", "--help"], { colors: true })).stdout, "\u001b[1m")
    })
  )
})

describe("errors", () => {
  it.effect("are one line and one document on standard error, nothing on standard output", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      daemon.failure = nobody
      for (const words of [
        ["ps"],
        ["inspect", "web"],
        ["events"],
        ["logs", "web"],
        ["runtimes"],
        ["rm", "web"],
        ["exec", "web", "ls"]
      ]) {
        const { code, stderr, stdout } = yield* berth(["--json", ...words], { daemon })
        assert.deepStrictEqual([code, stdout, stderr.split("\n").length], [125, "", 3])
        assert.deepStrictEqual(errorIn(stderr), {
          _tag: "Unavailable",
          what: "daemon",
          problem: "nobody answers",
          mend: `start one with "berth daemon"`
        })
      }
    })
  )
})

describe("berth completions", () => {
  it.effect.each(["bash", "zsh", "fish", "powershell"])("%s knows the commands and their options", (shell) =>
    Effect.gen(function* () {
      const { code, stdout } = yield* berth(["completions", shell])
      assert.strictEqual(code, 0)
      for (const word of ["exec", "memory-swap", "resume"]) assert.include(stdout, word)
    })
  )
})
