/** Commands in a pipe whose reader goes: what they have started ends with it, what ran before goes on. A shell's own pipes, real containers. */
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schedule } from "effect"
import { spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { run } from "../cli/support/Command.ts"
import { berth, daemon } from "../support/daemon.ts"
import type { Daemon } from "../support/daemon.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"

class Place extends Context.Service<Place, Daemon>()("test/Place") {}

const rootfs = canRunContainers ? ["--rootfs", rootfsOfFile()] : []

const command = (...args: ReadonlyArray<string>) => Effect.flatMap(Place, ({ address }) => run(args, { address }))

let pipes = 0

/** `berth ARGS | head -n 1`: the exit code of berth and what head printed. `both`: its standard error goes there too. */
const headed = Effect.fnUntraced(function* (args: ReadonlyArray<string>, both = false) {
  const { address, folder } = yield* Place
  const file = join(folder, `code-${++pipes}`)
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn("sh", ["-c", `{ "$@" ${both ? "2>&1" : ""}; echo $? > ${file}; } | head -n 1`, "sh", berth, ...args], {
        env: { ...process.env, BERTH_ADDRESS: address },
        stdio: ["ignore", "pipe", "ignore"]
      })
    ),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  )
  let text = ""
  child.stdout.on("data", (piece) => (text += String(piece)))
  // The shell has berth wait for the reader, and then ends with both.
  yield* Effect.callback<void>((resume) => void child.once("close", () => resume(Effect.void)))
  const code = yield* Effect.sync(() => (existsSync(file) ? readFileSync(file, "utf8").trim() : "")).pipe(
    Effect.repeat({ until: (code) => code !== "", schedule: Schedule.spaced("20 millis") })
  )
  return { code: Number(code), text }
}, Effect.timeout("20 seconds"))

/** A container that runs, until the scope closes. */
const running = (id: string, ...words: ReadonlyArray<string>) =>
  Effect.acquireRelease(command("run", "-d", "--id", id, ...rootfs, ...words), () =>
    Effect.ignore(command("rm", "-f", id))
  )

const statusOf = (id: string) => Effect.map(command("ps", "-a", "--filter", `id==${id}`), ({ stdout }) => stdout)

const processesOf = (id: string) => Effect.map(command("pids", "-q", id), ({ stdout }) => stdout.trim().split("\n"))

const gone = (id: string) =>
  Effect.map(command("inspect", id), ({ code }) => code === 1).pipe(
    Effect.repeat({ until: (gone) => gone, schedule: Schedule.spaced("50 millis") }),
    Effect.timeout("10 seconds")
  )

/** Prints for ever, and does not die of what its shell dies of. */
const endless = ["sh", "-c", "while echo y; do :; done"]

if (canRunContainers) {
  layer(Layer.effect(Place, daemon()), { excludeTestServices: true, timeout: "60 seconds" })("a pipe", (it) => {
    it.effect("run: ends the container and removes it, by KILL where init does not get a PIPE", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* headed(["run", "--id", "init", ...rootfs, ...endless]), {
          code: 137,
          text: "y\n"
        })
        yield* gone("init")
        const caught = ["sh", "-c", `trap "exit 9" PIPE; while echo y; do :; done`]
        assert.deepStrictEqual(yield* headed(["run", "--id", "trap", ...rootfs, ...caught]), { code: 9, text: "y\n" })
        yield* gone("trap")
      })
    )

    it.effect("run: so it is with standard error, with a terminal, and with a file for the pid", () =>
      Effect.gen(function* () {
        const { folder } = yield* Place
        const warns = ["sh", "-c", "while echo y >&2; do :; done"]
        assert.strictEqual((yield* headed(["run", "--id", "warns", ...rootfs, ...warns], true)).code, 137)
        yield* gone("warns")
        assert.strictEqual((yield* headed(["run", "-t", "--id", "tty", ...rootfs, ...endless])).code, 137)
        yield* gone("tty")
        const file = ["--pid-file", join(folder, "pid")]
        assert.strictEqual((yield* headed(["run", ...file, "--id", "filed", ...rootfs, ...endless])).code, 137)
        yield* gone("filed")
      })
    )

    it.effect("run: what has printed all that it has to ends as it does", () =>
      Effect.gen(function* () {
        const brief = ["sh", "-c", "echo 1; sleep 0.5; echo 2; exit 3"]
        assert.deepStrictEqual(yield* headed(["run", "--id", "brief", ...rootfs, ...brief]), { code: 3, text: "1\n" })
      })
    )

    it.effect("start -a: ends the container and keeps it", () =>
      Effect.gen(function* () {
        yield* Effect.acquireRelease(command("create", "--id", "made", ...rootfs, ...endless), () =>
          command("rm", "-f", "made")
        )
        assert.deepStrictEqual(yield* headed(["start", "-a", "made"]), { code: 137, text: "y\n" })
        assert.match(yield* statusOf("made"), /stopped \(137\)/)
      })
    )

    it.effect("exec: ends the process and forgets it, and nothing else", () =>
      Effect.gen(function* () {
        yield* running("host", "sleep", "1000")
        assert.deepStrictEqual(yield* headed(["exec", "host", ...endless]), { code: 141, text: "y\n" })
        const deaf = ["sh", "-c", "trap '' PIPE; while :; do echo y; done"]
        assert.deepStrictEqual(yield* headed(["exec", "host", ...deaf]), { code: 137, text: "y\n" })
        assert.lengthOf(yield* processesOf("host"), 1)
        assert.notInclude((yield* command("processes", "host")).stdout, "sh")
      })
    )

    it.effect("attach and logs: leave quietly, and the container alone", () =>
      Effect.gen(function* () {
        yield* running("web", "sh", "-c", "while echo y; do sleep 0.1; done")
        assert.deepStrictEqual(yield* headed(["attach", "web"]), { code: 0, text: "y\n" })
        assert.deepStrictEqual(yield* headed(["logs", "-f", "web"]), { code: 0, text: "y\n" })
        yield* Effect.sleep("1500 millis")
        assert.match(yield* statusOf("web"), /running/)
      })
    )
  })
}
