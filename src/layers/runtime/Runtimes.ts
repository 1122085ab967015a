/**
 * The registry of drivers: runc and crun wherever they are installed, whatever else is configured, and `host`. It looks
 * afresh each second, so that a runtime installed, upgraded or mended meanwhile soon counts; only a binary's own words
 * are remembered longer, for as long as the file stays the same.
 */
import { Cache, Duration, Effect, Exit, Layer, Result } from "effect"
import { delimiter, join } from "node:path"
import { AlreadyExists, Unavailable } from "../../schema/Errors.ts"
import { RuntimeName } from "../../schema/Ids.ts"
import type { Capability, DriverInfo } from "../../schema/Runtime.ts"
import { OciRuntime } from "../../services/OciRuntime.ts"
import { Children } from "../posix/Children.ts"
import { Libc } from "../posix/Libc.ts"
import * as HostDriver from "./HostDriver.ts"
import * as OciDriver from "./OciDriver.ts"
import * as Probe from "./Probe.ts"

/** A runtime of the configuration. */
export interface Configured {
  /** An absolute path, or a name to look for. */
  readonly binary: string
  /** Arguments that go before every command. */
  readonly args?: ReadonlyArray<string>
}

export interface Options {
  /** Folder for the runtimes' own state, on volatile storage. */
  readonly stateDir: string
  /** Whether the driver `host` may make processes, asked each time; it may not where this is absent. */
  readonly hostDriver?: () => boolean
  /** By name; an entry for runc or crun replaces the built-in one. No other name may be taken already. */
  readonly runtimes?: Readonly<Record<string, Configured>>
  readonly deadlines?: Partial<OciDriver.Deadlines>
  readonly cgroupRoot?: string
  /** A folder that stands for `/` where drivers read and write limits. */
  readonly systemRoot?: string
  /**
   * The environment that runtimes get, PATH in it tells where they are looked for; a few variables of this process by
   * default.
   */
  readonly env?: Readonly<Record<string, string>>
  /** Whether this is root, without whom the built-in runtimes cannot do what berth asks; by default what the kernel says. */
  readonly isRoot?: boolean
}

interface Examined {
  readonly info: DriverInfo
  readonly args: ReadonlyArray<string>
}

const auto = RuntimeName.make("auto")
/** Best first: `auto` takes the first that works. */
const builtIn: ReadonlyArray<string> = ["crun", "runc"]
const everyRuntime: ReadonlyArray<Capability> = ["isolation", "exec", "pause", "terminal", "update", "stats"]

/** Names that no configuration may give to a runtime of its own. */
const reserved: ReadonlyArray<string> = [auto, HostDriver.name]

/** Fails where a name of the configuration is taken. */
export const checkNames = (names: ReadonlyArray<string>): Effect.Effect<void, AlreadyExists> => {
  const taken = names.find((name, index) => reserved.includes(name) || names.indexOf(name) !== index)
  return taken === undefined ? Effect.void : Effect.fail(new AlreadyExists({ kind: "runtime", id: taken }))
}

// No more than runtimes and their hooks need: what else is in this environment (sockets of the service manager,
// secrets) is not theirs.
const passed = ["HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "TMPDIR"]

const defaultEnv = (): Readonly<Record<string, string>> => {
  const path = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "")
  const kept = passed.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]] as const]))
  return { ...Object.fromEntries(kept), PATH: Array.from(new Set([...path, ...Probe.usualFolders])).join(delimiter) }
}

const install = (name: string) => (builtIn.includes(name) ? `apt-get install ${name}` : null)

const remount = (controllers: ReadonlyArray<string>, root: string) =>
  controllers
    .map((name) => join(root, name))
    .map((at, index) => `mkdir -p ${at} && mount -t cgroup -o ${controllers[index]} ${controllers[index]} ${at}`)
    .join(" && ")

const make = Effect.fnUntraced(function* (options: Options) {
  const children = yield* Children
  const { cgroupRoot = "/sys/fs/cgroup", env = defaultEnv(), isRoot = process.geteuid?.() === 0 } = options
  const libc = yield* Libc
  const { hostDriver = () => false } = options
  const configured = new Map(Object.entries(options.runtimes ?? {}))
  yield* checkNames(Array.from(configured.keys()))
  const names = Array.from(new Set([...builtIn, ...configured.keys()]))
  const folders = (env["PATH"] ?? "").split(delimiter)

  // The stamp is part of the key alone.
  const abouts = yield* Cache.makeWith(
    (key: string) =>
      Probe.about(key.slice(0, key.lastIndexOf("\n")), env).pipe(Effect.provideService(Children, children)),
    { capacity: 64, timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : Duration.minutes(1)) }
  )

  const examine = Effect.fnUntraced(function* (name: string) {
    const { args = [], binary } = configured.get(name) ?? { binary: name }
    const found = yield* Probe.find(binary, folders)
    const base = { name: RuntimeName.make(name), binary: found?.path ?? null, version: null, default: false }
    const broken = (problem: string, mend: string | null, version: string | null = null): Examined => ({
      info: { ...base, version, capabilities: [], available: false, problem, mend },
      args
    })
    if (found === null) {
      const where = binary.startsWith("/") ? "cannot be executed" : "is nowhere on PATH"
      return broken(`${binary} ${where}`, install(name) ?? `correct the path of runtime "${name}" in the configuration`)
    }
    const about = yield* Effect.result(Cache.get(abouts, `${found.path}\n${found.stamp}`))
    if (Result.isFailure(about)) return broken(about.failure.problem, install(name))
    const { version } = about.success
    if (!isRoot && !configured.has(name)) {
      const problem = `it needs root here, and this is user ${process.geteuid?.()}`
      return broken(problem, "run the daemon as root, or with --enable-host-driver --runtime host", version)
    }
    const usesCgroups = name === "crun" && !args.includes("--cgroup-manager=disabled")
    const mixed = usesCgroups ? yield* Probe.mixedControllers(cgroupRoot) : []
    const examined: Examined = {
      info: { ...base, version, capabilities: everyRuntime, available: true, problem: null, mend: null },
      args
    }
    if (mixed.length === 0) return examined
    const problem = `it refuses cgroups of both versions, and version 2 has ${mixed.join(", ")} here`
    const mend = `${remount(mixed, cgroupRoot)} (or use runc)`
    return { ...examined, info: { ...examined.info, available: false, problem, mend } }
  })

  /** The runtimes in order of preference, up to the one that is looked for: the first that works is the default. */
  const examineUntil = Effect.fnUntraced(function* (enough: (examined: Examined) => boolean) {
    const seen: Array<Examined> = []
    for (const name of names) {
      const one = yield* examine(name)
      const isDefault = one.info.available && !seen.some(({ info }) => info.default)
      seen.push({ ...one, info: { ...one.info, default: isDefault } })
      if (seen.slice(-1).some(enough)) break
    }
    return seen
  })

  const unavailable = (name: string, info: DriverInfo | undefined) => {
    const missing = info === undefined || info.binary === null
    const problem = missing
      ? "not registered or not installed"
      : `${name === info.name ? "" : `${info.name}: `}${info.problem}`
    const mend = info === undefined ? `"berth runtimes" lists what there is` : info.mend
    return new Unavailable({ what: `runtime "${name}"`, problem, mend })
  }

  const host = HostDriver.make({ root: join(options.stateDir, HostDriver.name), enabled: hostDriver }).pipe(
    Effect.provideService(Libc, libc)
  )

  const lookUp = Effect.fnUntraced(function* (name: RuntimeName) {
    // Also where it is not enabled: what it has made is to be ended by somebody.
    if (name === HostDriver.name) return yield* host
    const wanted = ({ info }: Examined) => (name === auto ? info.default : info.name === name)
    const seen = yield* examineUntil(wanted)
    const chosen = seen.find(wanted)
    if (chosen === undefined || !chosen.info.available) {
      // For `auto` a runtime that is there but does not work is the better answer than one that is not there.
      const told = chosen ?? (name === auto ? (seen.find(({ info }) => info.binary !== null) ?? seen[0]) : undefined)
      return yield* unavailable(name, told?.info)
    }
    const { args, info } = chosen
    return yield* OciDriver.make({
      info,
      binary: info.binary ?? info.name,
      args,
      root: join(options.stateDir, info.name),
      env,
      ...(options.systemRoot === undefined ? {} : { systemRoot: options.systemRoot }),
      ...(options.deadlines === undefined ? {} : { deadlines: options.deadlines })
    }).pipe(Effect.provideService(Children, children))
  })

  // One that is refused is looked at again at once: whoever has just mended it tries it next.
  const drivers = yield* Cache.makeWith(lookUp, {
    capacity: 64,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.seconds(1) : Duration.zero)
  })

  return OciRuntime.of({
    driver: Effect.fn("OciRuntime.driver")((name) => Cache.get(drivers, name)),
    list: Effect.map(
      Effect.all([examineUntil(() => false), Effect.suspend(() => HostDriver.info(hostDriver()))]),
      ([seen, host]) => [...seen.map(({ info }) => info), host]
    )
  })
})

/** The names of the configuration must be runtime names; another name is a defect of the caller. AlreadyExists where one is taken. */
export const layer = (options: Options) => Layer.effect(OciRuntime, make(options))
