/** The examples do what they say: on real containers, on the mock, and in the texts that quote them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { execFile, spawn } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Berth, Containers, Tasks } from "../../src/index.ts"
import { running } from "../support/container.ts"
import { daemon, daemonOn, folders } from "../support/daemon.ts"
import { temporaryFolder } from "../support/folder.ts"
import { rootfsOfFile } from "../support/rootfs.ts"

// oxlint-disable-next-line import/no-unassigned-import -- it is a test itself, on the mock
import "../../examples/50_testing.ts"

const rootfs = rootfsOfFile()
const root = fileURLToPath(new URL("../..", import.meta.url))

/** Runs an example to its end: what it printed, and its exit code. */
const example = (env: Readonly<Record<string, string>>, name: string, ...args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly text: string; readonly code: number | null }>((resume) => {
    const options = { cwd: root, env: { ...process.env, ...env } }
    const child = execFile(process.execPath, [join("examples", name), ...args], options, (_, out, err) =>
      resume(Effect.succeed({ text: `${out}${err}`, code: child.exitCode }))
    )
    return Effect.sync(() => child.kill())
  })

const through = (address: string) => Effect.provide(Berth.layerClient({ address }))

describe("examples on real containers", () => {
  it.live("10_run: output, exit code, and nothing left", () =>
    Effect.gen(function* () {
      const { address } = yield* daemon()
      const done = yield* example({ BERTH_ADDRESS: address }, "10_run.ts", rootfs)
      assert.deepStrictEqual(done, { text: "hello from greeting\nexit code 7, reaped\n", code: 0 })
      assert.deepStrictEqual(yield* Effect.flatMap(Containers, ({ list }) => list({})).pipe(through(address)), [])
    })
  )

  it.live("20_exec: input, both outputs and the exit code of a second process", () =>
    Effect.gen(function* () {
      const { address } = yield* daemon()
      yield* Effect.gen(function* () {
        const id = yield* running(rootfs, ["/bin/sleep", "1000"])
        const script = "cat; echo job $JOB >&2; exit 5"
        const { code, text } = yield* example({ BERTH_ADDRESS: address }, "20_exec.ts", id, "/bin/sh", "-c", script)
        assert.deepStrictEqual(text.trim().split("\n").slice(0, -1).toSorted(), ["stderr: job 1", "stdout: some input"])
        assert.deepStrictEqual([text.trim().split("\n").at(-1), code], [`exit code 5; 1 process left in "${id}"`, 0])
        assert.deepStrictEqual(yield* (yield* Tasks).processes(id), [])
      }).pipe(Effect.scoped, through(address))
    })
  )

  it.live("30_events: every event once and in order, also across a restart of the daemon", () =>
    Effect.gen(function* () {
      const place = yield* folders
      const address = `unix://${join(place.folder, "berth.sock")}`
      let printed = ""
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const env = { ...process.env, BERTH_ADDRESS: address }
          const child = spawn(process.execPath, ["examples/30_events.ts"], { cwd: root, env })
          child.stdout.on("data", (bytes) => (printed += bytes))
          return child
        }),
        (child) => Effect.sync(() => child.kill())
      )
      const lines = () => printed.split("\n").slice(0, -1)
      /** One container's life through a daemon that lives no longer; six events each. */
      const round = (total: number) =>
        Effect.gen(function* () {
          yield* daemonOn(place)
          yield* Effect.scoped(running(rootfs, ["/bin/true"])).pipe(through(address))
          yield* Effect.sync(lines).pipe(
            Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: ({ length }) => length >= total }),
            Effect.timeout("10 seconds")
          )
        }).pipe(Effect.scoped)
      yield* round(6)
      yield* round(12)
      const numbers = lines().map((line) => Number(line.split(" ")[0]))
      assert.deepStrictEqual(
        numbers,
        Array.from({ length: 12 }, (_, index) => index + 1)
      )
      assert.deepStrictEqual(lines().slice(6, 8), ["7 /containers/create", "8 /tasks/create"])
    })
  )

  it.live("40_embedded: four at once without a daemon", () =>
    Effect.gen(function* () {
      const { folder } = yield* folders
      const done = yield* example({}, "40_embedded.ts", rootfs, folder)
      assert.deepStrictEqual(done, { text: "exit codes 0, 1, 2, 3\n", code: 0 })
    })
  )
})

describe("npm run demo", () => {
  it.live("proves every step, is plain where nobody looks, and leaves nothing", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* temporaryFolder
      const { code, text } = yield* example({ TMPDIR }, "demo.ts")
      assert.strictEqual(code, 0, text)
      const lines = text.trimEnd().split("\n")
      assert.strictEqual(lines.filter((line) => line.startsWith("  ✔ ")).length, 9)
      assert.isAtMost(lines.length, 45)
      assert.isTrue(lines.every((line) => line.length <= 100 && !line.includes("\u001b")))
      assert.match(lines.at(-1) ?? "", /^done in [\d.]+ s, and nothing is left/)
      assert.deepStrictEqual(readdirSync(TMPDIR), [])
    })
  )

  it.live("cleans up where it is interrupted", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* temporaryFolder
      const child = spawn(process.execPath, ["examples/demo.ts"], { cwd: root, env: { ...process.env, TMPDIR } })
      let printed = ""
      child.stdout.on("data", (bytes) => {
        printed += bytes
        if (printed.includes("pause and resume")) child.kill("SIGINT")
      })
      child.stderr.on("data", (bytes) => (printed += bytes))
      const code = yield* Effect.callback<number | null>((resume) => {
        child.once("close", (code) => resume(Effect.succeed(code)))
      })
      assert.strictEqual(code, 130, printed)
      assert.match(printed, /interrupted, and everything is cleaned up\n$/)
      assert.deepStrictEqual(readdirSync(TMPDIR), [])
    })
  )
})

/** What a file shows between its markers. */
const region = (file: string): string =>
  /^\/\/ #region\n([^]*?)^\/\/ #endregion$/m.exec(readFileSync(join(root, file), "utf8"))?.[1] ?? "no region"

const texts = () =>
  ["README.md", ...readdirSync(join(root, "docs")).map((name) => join("docs", name))]
    .filter((name) => name.endsWith(".md"))
    .map((name) => readFileSync(join(root, name), "utf8"))

describe("quoted examples", () => {
  const quotes = () => texts().flatMap((text) => Array.from(text.matchAll(/^```ts (examples\/\S+)\n([^]*?)^```$/gm)))

  it("equal the files that they quote", () => {
    for (const [, file = "", quoted] of quotes()) assert.strictEqual(quoted, region(file), file)
  })

  it("are all quoted", () => {
    const files = readdirSync(join(root, "examples")).filter((name) => /^\d\d_.*\.ts$/.test(name))
    assert.deepStrictEqual(new Set(quotes().map(([, file]) => file)), new Set(files.map((name) => `examples/${name}`)))
  })
})
