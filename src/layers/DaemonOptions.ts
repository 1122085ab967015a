/** What a daemon is told: by flags, and by a JSON file for what flags cannot say. */
import { Effect, FileSystem, Path, Result, Schema } from "effect"
import { createHash } from "node:crypto"
import { join } from "node:path"
import { InvalidArgument } from "../schema/Errors.ts"
import { RuntimeName } from "../schema/Ids.ts"
import { version } from "../version.ts"
import { RuntimeTable } from "./RuntimeTable.ts"
import { parse } from "./server/Listen.ts"

export const defaultRoot = "/var/lib/berth"
export const defaultState = "/run/berth"
export const defaultAddress = "unix:///run/berth/berth.sock"

export interface DaemonOptions {
  /** Durable folder. */
  readonly root: string
  /** Volatile folder: sockets, FIFOs, bundles. */
  readonly state: string
  /** Addresses, `unix:///path`. */
  readonly listen: ReadonlyArray<string>
  /** Driver of containers that name none. */
  readonly runtime: string
  /** Path of the JSON file; its `runtimes` are added to the built-in ones. */
  readonly config: string | null
}

/** The configuration file. */
export const ConfigFile = Schema.Struct({
  runtimes: Schema.optionalKey(RuntimeTable),
  /** `FULL` survives a power cut to the last commit, `NORMAL` to the last checkpoint; both survive a crash of the daemon. */
  synchronous: Schema.optionalKey(Schema.Literals(["NORMAL", "FULL"]))
})
export type ConfigFile = typeof ConfigFile.Type

/** Cgroups of two daemons on one machine must not meet, so a state folder of one's own makes a prefix of one's own. */
export const cgroupPrefix = (state: string): string =>
  state === defaultState ? "berth" : `berth-${createHash("sha256").update(state).digest("hex").slice(0, 8)}`

const invalid = (field: string) => (problem: string) => new InvalidArgument({ field, problem })

const readConfig = Effect.fnUntraced(function* (
  file: string | null
): Effect.fn.Return<ConfigFile, InvalidArgument, FileSystem.FileSystem> {
  if (file === null) return {}
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs.readFileString(file).pipe(Effect.mapError(() => invalid("config")(`cannot read "${file}"`)))
  return yield* Schema.decodeEffect(Schema.fromJsonString(ConfigFile), { onExcessProperty: "error" })(text).pipe(
    Effect.mapError((error) => invalid("config")(`"${file}": ${error.message.replaceAll(/\s+/g, " ")}`))
  )
})

/** Checks the options and completes them; folders become absolute, and exist afterwards. */
export const configure = Effect.fn("configure")(function* (options: DaemonOptions) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = yield* readConfig(options.config)
  const runtime = yield* Schema.decodeEffect(RuntimeName)(options.runtime).pipe(
    Effect.mapError((error) => invalid("runtime")(error.message))
  )
  const root = path.resolve(options.root)
  const state = path.resolve(options.state)
  yield* Effect.fromResult(
    parse(join(state, "shim.sock")).pipe(Result.mapError(({ problem }) => invalid("state")(problem)))
  )
  for (const folder of [root, state]) yield* fs.makeDirectory(folder, { recursive: true, mode: 0o700 })
  return {
    config: { version, root, state, runtime, cgroupPrefix: cgroupPrefix(state) },
    runtimes: file.runtimes ?? {},
    synchronous: file.synchronous ?? ("NORMAL" as const)
  }
})
