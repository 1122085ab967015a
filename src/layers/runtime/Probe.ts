/**
 * What there is on this host to run containers with: where a binary is, what version it says it is, and what keeps it
 * from working here. Changes nothing.
 */
import { Effect, Schema } from "effect"
import { accessSync, constants, readFileSync, statSync } from "node:fs"
import { isAbsolute, join } from "node:path"
import * as Spawn from "./Spawn.ts"

/** Where runtimes are besides PATH: a service manager's PATH often lacks the sbin folders. */
export const usualFolders: ReadonlyArray<string> = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin"
]

/** A binary, and what tells it from one installed in its place later. */
export interface Found {
  readonly path: string
  readonly stamp: string
}

const look = (path: string): Found | null => {
  try {
    // Asked first because it does not throw where there is nothing, the usual answer.
    const stats = statSync(path, { throwIfNoEntry: false })
    if (stats?.isFile() !== true) return null
    accessSync(path, constants.X_OK)
    return { path, stamp: `${stats.ino}/${stats.mtimeMs}` }
  } catch {
    return null
  }
}

/** The first executable of that name; an absolute path is looked for as it is. */
export const find = (binary: string, folders: ReadonlyArray<string>): Effect.Effect<Found | null> =>
  Effect.sync(() => {
    if (isAbsolute(binary)) return look(binary)
    for (const folder of folders) {
      const found = look(join(folder, binary))
      if (found !== null) return found
    }
    return null
  })

/** What a binary says of itself. */
export interface About {
  readonly version: string | null
  /** The features that crun lists, without their sign. */
  readonly features: ReadonlySet<string>
}

/** Why a binary cannot say what it is. */
export class Mute extends Schema.TaggedError<Mute>()("Mute", { problem: Schema.String }) {
  override get message() {
    return this.problem
  }
}

/** Reads what `--version` prints. */
export const parseVersion = (text: string): About => ({
  version: /\bversion:?\s+(\S+)/i.exec(text)?.[1] ?? /\d+\.\d+\S*/.exec(text)?.[0] ?? null,
  features: new Set(Array.from(text.matchAll(/(?:^|\s)\+([A-Z]+)\b/g), ([, feature]) => feature ?? ""))
})

/** Runs `--version`. */
export const about = Effect.fn("Probe.about")(function* (path: string, env: Readonly<Record<string, string>>) {
  const done = yield* Spawn.run({
    binary: path,
    args: ["--version"],
    stdio: { stdin: null, stdout: null, stderr: null },
    env,
    deadline: "10 seconds",
    capture: true
  }).pipe(
    Effect.mapError(
      (error) =>
        new Mute({ problem: `"${path} --version": ${error._tag === "Overdue" ? error.message : error.problem}` })
    )
  )
  if (done.exitCode !== 0) return yield* new Mute({ problem: `"${path} --version" ended with code ${done.exitCode}` })
  return parseVersion(done.stdout)
})

const read = (path: string): string | null => {
  try {
    return readFileSync(path, "utf8").trim()
  } catch {
    return null
  }
}

/**
 * Controllers in the unified hierarchy of a host that has the rest in version 1; crun refuses such a host. Empty where
 * all is well.
 */
export const mixedControllers = (cgroupRoot: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.sync(() => {
    if (read(join(cgroupRoot, "cgroup.controllers")) !== null) return []
    return (read(join(cgroupRoot, "unified", "cgroup.controllers")) ?? "").split(" ").filter((name) => name !== "")
  })
