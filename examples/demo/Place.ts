/**
 * Where the demo happens: a folder with a root filesystem and a daemon of its own, and the certainty that nothing of it is left. What asking cannot end (a
 * daemon that died under the demo) is ended by force, and containers that nobody deleted are deleted by the runtime that made them.
 */
import { Effect, Schedule } from "effect"
import { execFileSync, spawn } from "node:child_process"
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Problem } from "./Report.ts"

export interface Place {
  readonly folder: string
  readonly state: string
  readonly rootfs: string
  readonly address: string
}

/** What the demo itself needs; what berth needs, the daemon says. */
const busybox = Effect.gen(function* () {
  const found = ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path))
  if (process.geteuid?.() !== 0) return yield* new Problem({ what: "containers need root", mend: "sudo npm run demo" })
  if (found === undefined) {
    return yield* new Problem({ what: "there is no busybox here", mend: "apt-get install busybox-static" })
  }
  return found
})

const makeRootfs = (rootfs: string, binary: string): void => {
  for (const folder of ["bin", "dev", "etc", "proc", "sys", "tmp"]) mkdirSync(join(rootfs, folder), { recursive: true })
  copyFileSync(binary, join(rootfs, "bin/busybox"))
  const applets = execFileSync(binary, ["--list"], { encoding: "utf8" }).split("\n")
  for (const name of applets) if (name !== "" && name !== "busybox") symlinkSync("busybox", join(rootfs, "bin", name))
}

/** A folder with a root filesystem in it, removed with the scope. */
export const make = Effect.gen(function* () {
  const binary = yield* busybox
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "berth-demo-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  const place: Place = {
    folder,
    state: join(folder, "state"),
    rootfs: join(folder, "rootfs"),
    address: `unix://${join(folder, "berth.sock")}`
  }
  yield* Effect.sync(() => makeRootfs(place.rootfs, binary))
  return place
})

const argsOf = (pid: string): ReadonlyArray<string> => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")
  } catch {
    return [] // It has ended meanwhile.
  }
}

/** Processes of which an argument lies in the folder: the daemon and its shim. */
export const processesOf = (folder: string): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && argsOf(name).some((argument) => argument.startsWith(`${folder}/`)))
    .map(Number)

const entries = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(folder)
  } catch {
    return [] // A file, or nothing.
  }
}

/** Control groups by the beginning of their name, in whichever hierarchies there are. */
export const cgroups = (prefix: string): ReadonlyArray<string> => {
  const top = "/sys/fs/cgroup"
  const hierarchies = [top, ...entries(top).map((name) => join(top, name))]
  return hierarchies.flatMap((folder) =>
    entries(folder)
      .filter((name) => name.startsWith(prefix))
      .map((name) => join(folder, name))
  )
}

/** Deletes what the runtimes still know; nothing, unless the daemon did not live to do it. */
const sweep = ({ state }: Pick<Place, "state">): void => {
  for (const runtime of entries(join(state, "runtime"))) {
    for (const namespace of entries(join(state, "runtime", runtime))) {
      const root = join(state, "runtime", runtime, namespace)
      for (const id of entries(root)) {
        execFileSync(runtime, ["--root", root, "delete", "--force", id], { stdio: "ignore" })
      }
    }
  }
}

const signal = (pid: number, name: "SIGTERM" | "SIGKILL") => Effect.ignore(Effect.try(() => process.kill(pid, name)))

/** Ends what is left of a daemon on these folders. */
export const clear = Effect.fnUntraced(function* (place: Pick<Place, "folder" | "state">) {
  for (const pid of processesOf(place.folder)) yield* signal(pid, "SIGTERM")
  yield* Effect.ignore(Effect.try(() => sweep(place)))
  const left = yield* Effect.sync(() => processesOf(place.folder)).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (pids) => pids.length === 0, times: 250 })
  )
  for (const pid of left) yield* signal(pid, "SIGKILL")
})

/** The built command as a process of its own, out of reach of a Ctrl-C that is meant for the demo. Returns its pid when it is ready. */
export const startDaemon = Effect.fnUntraced(function* (place: Place) {
  const berth = fileURLToPath(new URL("../../bin/berth", import.meta.url))
  const args = ["daemon", "--root", join(place.folder, "root"), "--state", place.state, "--listen", place.address]
  const daemon = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(berth, args, { detached: true, stdio: ["ignore", "pipe", "pipe"] })),
    () => clear(place)
  )
  let printed = ""
  const failed = (what: string) => Effect.fail(new Problem({ what, mend: "bin/berth doctor" }))
  yield* Effect.callback<void, Problem>((resume) => {
    const read = (bytes: Buffer) => {
      printed += bytes.toString()
      if (printed.includes("is ready")) resume(Effect.void)
    }
    daemon.stdout.on("data", read)
    daemon.stderr.on("data", read)
    daemon.once("error", ({ message }) => resume(failed(message)))
    daemon.once("exit", (code) => resume(failed(`the daemon ended with ${code}: ${printed.trim()}`)))
  })
  return daemon.pid ?? 0
})
