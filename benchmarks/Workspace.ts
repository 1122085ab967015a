/**
 * The folders of one run of the benchmark, and the certainty that nothing of it is left: whatever still runs from them
 * at the end is killed, whatever container a runtime still knows in them is deleted, whatever is mounted in them is
 * unmounted.
 */
import { Effect, Schedule } from "effect"
import { execFileSync } from "node:child_process"
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { busyboxRootfs } from "../test/support/rootfs.ts"
import { attempt } from "./Failure.ts"
import { processesOf } from "./Processes.ts"

export interface Folders {
  readonly durable: string
  readonly volatile: string
}

export interface Workspace {
  /** Begins every identifier. */
  readonly name: string
  readonly rootfs: string
  /**
   * A copy of this Node for servers: pages of a program count by halves for two processes that run it, and the
   * measuring processes run the original.
   */
  readonly node: string
  /** Folders of one target, made. */
  readonly folders: (target: string) => Folders
}

const tmpfs = 0x0102_1994
const prefix = "berth-bench-"

/** Where a machine keeps what need not outlive it: in memory, if there is such a place. */
const volatileBase = (): string =>
  ["/run", "/dev/shm"].find((path) => existsSync(path) && statfsSync(path).type === tmpfs) ?? tmpdir()

const temporary = (base: string) =>
  Effect.acquireRelease(
    attempt("temporary folder", () => mkdtempSync(join(base, prefix))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )

const quietly = (run: () => unknown): void => {
  try {
    run()
  } catch {
    // It was gone, or goes with what is removed next.
  }
}

const endProcesses = (folder: string) =>
  Effect.sync(() => processesOf(folder)).pipe(
    Effect.repeat({ schedule: Schedule.spaced("50 millis"), until: (pids) => pids.length === 0 }),
    Effect.timeoutOption("3 seconds"),
    Effect.andThen(
      Effect.sync(() => {
        for (const pid of processesOf(folder)) quietly(() => process.kill(pid, "SIGKILL"))
      })
    )
  )

/** State folders of containers: of this run, because of their names. */
const leftContainers = (folder: string, name: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name.startsWith(name) && /\/runtime(?:\/|$)/.test(entry.parentPath))
    .map((entry) => join(entry.parentPath, entry.name))

const deleteContainers = (binary: string, folder: string, name: string) =>
  Effect.sync(() => {
    for (const path of leftContainers(folder, name)) {
      quietly(() =>
        execFileSync(binary, ["--root", dirname(path), "delete", "--force", basename(path)], { stdio: "ignore" })
      )
    }
  })

const unmount = (folder: string) =>
  Effect.sync(() => {
    const points = readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[1] ?? "")
      .filter((point) => point.startsWith(`${folder}/`))
    for (const point of points.reverse()) quietly(() => execFileSync("umount", ["-l", point], { stdio: "ignore" }))
  })

/** `binary`: the runtime that this run measures. */
export const make = Effect.fnUntraced(function* (binary: string) {
  const durable = yield* temporary("/var/tmp")
  const volatile = yield* temporary(volatileBase())
  const rootfs = yield* busyboxRootfs
  const node = join(durable, "node")
  yield* attempt("copy of node", () => copyFileSync(process.execPath, node))
  const name = basename(volatile).slice("berth-".length).toLowerCase()
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      for (const folder of [durable, volatile]) yield* endProcesses(folder)
      yield* deleteContainers(binary, volatile, name)
      for (const folder of [durable, volatile]) yield* unmount(folder)
    })
  )
  const workspace: Workspace = {
    name,
    rootfs,
    node,
    folders: (target) => {
      const made = { durable: join(durable, target), volatile: join(volatile, target) }
      for (const folder of Object.values(made)) mkdirSync(folder, { recursive: true, mode: 0o700 })
      return made
    }
  }
  return workspace
})
