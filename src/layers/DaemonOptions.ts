/** What a daemon is told: by flags, and by a JSON file for what flags cannot say. */
import { Effect, FileSystem, Path, Result, Schema } from "effect"
import { createHash } from "node:crypto"
import { join } from "node:path"
import { InvalidArgument } from "../schema/Errors.ts"
import { defaultLimits, SomeLimits } from "../rpc/Limits.ts"
import { RuntimeName } from "../schema/Ids.ts"
import { version } from "../version.ts"
import * as Folders from "./Folders.ts"
import * as RepeatedName from "./RepeatedName.ts"
import * as HostDriver from "./runtime/HostDriver.ts"
import * as Runtimes from "./runtime/Runtimes.ts"
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
  /** Whether containers may be plain processes of the host (`--runtime host`); the JSON file can say so too. */
  readonly hostDriver?: boolean
  /** Path of the JSON file; its `runtimes` are added to the built-in ones. */
  readonly config: string | null
}

/** The configuration file. */
export const ConfigFile = Schema.Struct({
  runtimes: Schema.optionalKey(RuntimeTable),
  /** Allows the driver `host`, which isolates nothing. */
  hostDriver: Schema.optionalKey(Schema.Boolean),
  /** `FULL` survives a power cut to the last commit, `NORMAL` to the last checkpoint; both survive a crash of the daemon. */
  synchronous: Schema.optionalKey(Schema.Literals(["NORMAL", "FULL"])),
  /** How much the daemon takes at a time; what is left out is as usual. */
  limits: Schema.optionalKey(SomeLimits)
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
  const read = yield* Schema.decodeEffect(Schema.fromJsonString(ConfigFile), { onExcessProperty: "error" })(text).pipe(
    Effect.mapError((error) => invalid("config")(`"${file}": ${error.message.replaceAll(/\s+/g, " ")}`))
  )
  const twice = RepeatedName.find(text)
  return twice === null ? read : yield* invalid("config")(`"${twice}" is given twice`)
})

/** Checks the options and completes them; folders become absolute, and exist afterwards. */
export const configure = Effect.fn("configure")(function* (options: DaemonOptions) {
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
  const hostDriver = options.hostDriver === true || file.hostDriver === true
  if (runtime === HostDriver.name && !hostDriver) {
    return yield* invalid("runtime")(`"${runtime}" isolates nothing, so it needs --enable-host-driver`)
  }
  const runtimes = file.runtimes ?? {}
  yield* Runtimes.checkNames(Object.keys(runtimes))
  yield* Folders.ensure("root", root)
  yield* Folders.ensure("state", state)
  return {
    config: { version, root, state, runtime, cgroupPrefix: cgroupPrefix(state) },
    runtimes,
    hostDriver,
    limits: { ...defaultLimits, ...file.limits },
    synchronous: file.synchronous ?? ("NORMAL" as const)
  }
})
