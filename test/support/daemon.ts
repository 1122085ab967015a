/** A daemon of the test's own: the built command as its own process, with a real shim, on folders that go with it. */
import { Effect, Exit, Schedule, Scope } from "effect"
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Containers, Events, System, Tasks } from "../../src/index.ts"
import { Berth } from "../../src/index.ts"
import { clear } from "./clear.ts"

export const berth = fileURLToPath(new URL("../../bin/berth", import.meta.url))

/** A durable and a volatile folder, removed with the scope, with every shim, container, mount and cgroup of theirs that a failure has left. */
export const folders = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = mkdtempSync(join(tmpdir(), "berth-test-"))
    return { folder, root: join(folder, "root"), state: join(folder, "state") }
  }),
  ({ folder, state }) =>
    Effect.sync(() => {
      shimsOf(state).forEach((pid) => process.kill(pid, "SIGKILL"))
      clear(folder, state)
      rmSync(folder, { recursive: true, force: true })
    })
)

/** Pids of the shims whose arguments name this folder. A child of one looks like it until it executes its own program. */
export const shimsOf = (state: string): ReadonlyArray<number> => {
  const parents = new Map<number, number>()
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue
    try {
      const args = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0")
      if (!args.includes(state) || !args.some((arg) => arg.endsWith("shim.js"))) continue
      const [, parent] = readFileSync(`/proc/${name}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ")
      parents.set(Number(name), Number(parent))
    } catch {
      // It has ended meanwhile.
    }
  }
  return Array.from(parents).flatMap(([pid, parent]) => (parents.has(parent) ? [] : [pid]))
}

const ended = (child: ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

const ready = (child: ChildProcess, log: () => string) =>
  Effect.callback<void>((resume) => {
    child.stdout?.on("data", () => log().includes("is ready") && resume(Effect.void))
    child.once("exit", (code) => resume(Effect.die(`the daemon ended with ${code}: ${log()}`)))
  }).pipe(Effect.timeout("20 seconds"))

export interface Daemon {
  readonly address: string
  readonly folder: string
  readonly root: string
  readonly state: string
  readonly pid: number
  /** Everything it has printed, and with what it ended. */
  readonly log: () => string
}

/** A running daemon on folders that exist already. When the scope closes it is asked to stop, and so are its shims. */
export const daemonOn = Effect.fnUntraced(function* (
  place: { readonly folder: string; readonly root: string; readonly state: string },
  options: {
    readonly runtime?: string
    readonly env?: Readonly<Record<string, string>>
    readonly args?: ReadonlyArray<string>
    /** How many files it and its shims may have open. */
    readonly openFiles?: number
    /** Whose process it is, by number; the test's own by default. */
    readonly user?: number
  } = {}
) {
  const address = `unix://${join(place.folder, "berth.sock")}`
  let text = ""
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const args = ["daemon", "--root", place.root, "--state", place.state, "--listen", address]
      const command = [berth, ...args, "--runtime", options.runtime ?? "auto", ...(options.args ?? [])]
      const limited =
        options.openFiles === undefined ? [] : ["/bin/sh", "-c", `ulimit -n ${options.openFiles}; exec "$0" "$@"`]
      const [program = berth, ...rest] = [...limited, ...command]
      const child = spawn(program, rest, {
        env: { ...process.env, ...options.env },
        ...(options.user === undefined ? {} : { uid: options.user, gid: options.user, cwd: place.folder }),
        stdio: ["ignore", "pipe", "pipe"]
      })
      child.stdout.on("data", (bytes) => (text += bytes))
      child.stderr.on("data", (bytes) => (text += bytes))
      child.once("exit", (code, signal) => (text += `ended with ${code ?? signal}\n`))
      return child
    }),
    (child) =>
      Effect.andThen(
        Effect.sync(() => child.kill("SIGTERM")),
        ended(child)
      )
  )
  yield* ready(child, () => text)
  return { ...place, address, pid: child.pid ?? 0, log: () => text } satisfies Daemon
})

/** A daemon on folders of its own; with the scope its shims end too, killed if they must be. */
export const daemon = Effect.fnUntraced(function* (options: Parameters<typeof daemonOn>[1] = {}) {
  const place = yield* folders
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => shimsOf(place.state)).pipe(
      Effect.repeat({ until: (pids) => pids.length === 0, schedule: Schedule.spaced("20 millis"), times: 100 }),
      Effect.andThen(Effect.sync(() => shimsOf(place.state).forEach((pid) => process.kill(pid, "SIGKILL"))))
    )
  )
  return yield* daemonOn(place, options)
})

/** One life of a daemon, with a client of it; at its end it is killed, so that it can tidy up nothing. */
export const life = Effect.fnUntraced(function* <A, E>(
  place: Parameters<typeof daemonOn>[0],
  body: (daemon: Daemon) => Effect.Effect<A, E, Containers | Tasks | Events | System | Scope.Scope>,
  options: Parameters<typeof daemonOn>[1] = {}
) {
  const scope = yield* Scope.make()
  const daemon = yield* daemonOn(place, options).pipe(Scope.provide(scope))
  const result = yield* Effect.scoped(body(daemon)).pipe(
    Effect.provide(Berth.layerClient({ address: daemon.address })),
    Effect.exit
  )
  process.kill(daemon.pid, "SIGKILL")
  yield* Scope.close(scope, Exit.void)
  return yield* result
})
