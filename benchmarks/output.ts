/**
 * How fast output comes from a container to a client: through `logs`, `attach` and `run`, each as a command whose standard output is a pipe, next to `cat`
 * of the same bytes through the same pipe. They take turns. It prints what it found; it judges nothing but that every byte came.
 */
import { Clock, Console, Effect } from "effect"
import { execFile } from "node:child_process"
import { appendFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Failure, attempt } from "./Failure.ts"
import * as Main from "./Main.ts"
import { processorTime, servedBy } from "./Processes.ts"
import * as BerthDaemon from "./servers/BerthDaemon.ts"

const bundle = fileURLToPath(new URL("../dist/berth.js", import.meta.url))
const mib = 1024 * 1024

/** Lines as a log has them, of about a hundred characters. */
const block = () => {
  let text = ""
  for (let n = 0; text.length < mib; n++) {
    text += `2026-11-22T10:00:00.${String(n % 1000).padStart(3, "0")}Z INFO request ${n} from 10.0.0.${n % 256}: GET /a/path took ${n % 97} ms, status 200\n`
  }
  return text.slice(0, mib)
}

/** Runs a command and gives how many bytes it printed into a pipe. */
const printed = (command: string, args: ReadonlyArray<string>) =>
  Effect.callback<number, Failure>((resume) => {
    execFile("/bin/sh", ["-c", `"$0" "$@" | wc -c`, command, ...args], (error, stdout, stderr) =>
      resume(
        error === null && stderr === ""
          ? Effect.succeed(Number(stdout))
          : Effect.fail(
              new Failure({ what: args.join(" "), problem: stderr.trim() || (error?.message ?? "it failed") })
            )
      )
    )
  })

interface Sample {
  readonly milliseconds: number
  readonly daemon: number
  readonly shim: number
  readonly client: number
}

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

const measure = Effect.fnUntraced(function* ({ runtime, size, times: rounds, workspace }: Main.Given) {
  const data = join(workspace.rootfs, "data")
  yield* Effect.acquireRelease(
    attempt("data", () => {
      const text = block()
      for (let n = 0; n < size; n++) appendFileSync(data, text)
    }),
    () => Effect.sync(() => rmSync(data, { force: true }))
  )
  const folders = workspace.folders("berth")
  const socket = yield* BerthDaemon.start(workspace.node, folders, runtime)
  const berth = (...args: ReadonlyArray<string>) =>
    printed(process.execPath, [bundle, "--address", `unix://${socket}`, ...args])
  const id = workspace.name
  const rootfs = ["--rootfs", workspace.rootfs]
  yield* Effect.acquireRelease(berth("run", "-d", "--id", id, ...rootfs, "cat", "/data"), () =>
    Effect.ignore(berth("rm", "-f", id))
  )
  yield* berth("wait", id)

  const { daemons, shims } = servedBy(folders.volatile)
  const now = Effect.map(Clock.currentTimeMillis, (at) => ({
    at,
    daemon: processorTime(daemons).own,
    shim: processorTime(shims).own,
    client: processorTime([process.pid]).children
  }))
  const ways = [
    { name: "cat", run: printed("/bin/cat", [data]) },
    { name: "logs", run: berth("logs", id) },
    { name: "attach", run: berth("attach", "--no-stdin", id) },
    { name: "run", run: berth("run", ...rootfs, "cat", "/data") }
  ].map((way) => ({ ...way, samples: new Array<Sample>() }))
  for (let round = 0; round <= rounds; round++) {
    for (const { name, run, samples } of ways) {
      const before = yield* now
      const count = yield* run
      const after = yield* now
      if (count !== size * mib) return yield* new Failure({ what: name, problem: `${count} of ${size * mib} bytes` })
      // The first round is for the compiler: a daemon lives long.
      if (round === 0) continue
      samples.push({
        milliseconds: after.at - before.at,
        daemon: after.daemon - before.daemon,
        shim: after.shim - before.shim,
        client: after.client - before.client
      })
    }
  }
  yield* Console.log(
    `${size} MiB of lines on ${runtime}, ${rounds} rounds; milliseconds of processor time for each MiB:`
  )
  for (const { name, samples } of ways) {
    const each = (key: "daemon" | "shim" | "client") => (median(samples.map((one) => one[key])) / size).toFixed(1)
    const rate = (size * 1000) / median(samples.map(({ milliseconds }) => milliseconds))
    yield* Console.log(
      `  ${name.padEnd(6)} ${rate.toFixed(0).padStart(5)} MiB/s   daemon ${each("daemon")}, shim ${each("shim")}, client and wc ${each("client")}`
    )
  }
})

Main.counted(
  {
    file: "output.ts",
    size: { option: "mib", says: "of output", usually: 200 },
    times: { option: "rounds", usually: 3 }
  },
  measure
)
