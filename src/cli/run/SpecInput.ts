/** From options to an OCI specification: reads the texts and files that they name, and says which option is wrong. Loaded only by commands that need it. */
import { Effect, FileSystem, Option, Path, Result, Schema, Struct } from "effect"
import type { PlatformError } from "effect"
import { InvalidArgument } from "../../schema/Errors.ts"
import { OciSpec } from "../../schema/OciSpec.ts"
import * as DeviceOption from "../../spec/DeviceOption.ts"
import * as IdMapping from "../../spec/IdMapping.ts"
import { filesOf } from "../../spec/Overlay.ts"
import * as MountOption from "../../spec/MountOption.ts"
import type { Problem } from "../../spec/Problem.ts"
import { type ExecOptions, makeProcess } from "../../spec/ProcessSpec.ts"
import * as Spec from "../../spec/Spec.ts"
import { Network, SpecOptions } from "../../spec/SpecOptions.ts"
import * as Ulimit from "../../spec/Ulimit.ts"
import { keyValues } from "../KeyValues.ts"
import { misuse } from "../output/Usage.ts"
import type { CreateFlags, ProcessFlags } from "./Flags.ts"
import { hostFacts } from "./HostInput.ts"
import { deviceLimits } from "./ResourceFlags.ts"

/** The options whose names are not simply those of the specification's fields. */
const irregular: { readonly [field: string]: string } = {
  args: "<command>",
  cwd: "--workdir",
  terminal: "--tty",
  mounts: "--mount",
  uidMappings: "--uidmap",
  gidMappings: "--gidmap",
  sysctls: "--sysctl",
  capabilities: "--privileged"
}

/** The option that a field of the specification comes from. */
export const optionOf = (field: string): string =>
  irregular[field] ?? `--${field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

const orMisuse = <A>(command: string, result: Result.Result<A, Problem>) =>
  Effect.mapError(Effect.fromResult(result), ({ field, problem }) => misuse(command, optionOf(field), problem))

const texts = Schema.Record(Schema.String, Schema.String)

/** What options say of a specification beside its command and root filesystem. */
const Given = Schema.Struct(Struct.omit(SpecOptions.fields, ["args", "rootfs"]))
type Given = typeof Given.Type

/** The members that have a value. */
const present = (members: { readonly [K in keyof Given]-?: Option.Option<NonNullable<Given[K]>> }): Given =>
  Schema.decodeSync(Given)(
    Object.fromEntries(
      Object.entries<Option.Option<unknown>>(members).flatMap(([key, value]) =>
        Option.isSome(value) ? [[key, value.value]] : []
      )
    )
  )

const unlessEmpty = <A extends ReadonlyArray<unknown> | object>(value: A): Option.Option<A> =>
  Object.keys(value).length === 0 ? Option.none() : Option.some(value)

const whenSet = (value: boolean): Option.Option<true> => (value ? Option.some(true) : Option.none())

const reasons: { readonly [tag: string]: string } = {
  NotFound: "it does not exist",
  PermissionDenied: "permission denied"
}

const unreadable = (field: string, file: string) => (error: PlatformError.PlatformError | Schema.SchemaError) => {
  const why = error._tag === "SchemaError" ? error.message : (reasons[error.reason._tag] ?? error.reason._tag)
  return new InvalidArgument({ field, problem: `cannot read "${file}": ${why}` })
}

const fromFile = <A>(field: string, file: string, schema: Schema.Codec<A, Schema.Json>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const text = yield* Effect.mapError(fs.readFileString(file), unreadable(field, file))
    return yield* Effect.mapError(Schema.decodeEffect(Schema.fromJsonString(schema))(text), unreadable(field, file))
  })

/** The variables of `--env-file` and `--env`, in that order. */
const environment = Effect.fnUntraced(function* (flags: ProcessFlags) {
  const fs = yield* FileSystem.FileSystem
  const files = yield* Effect.forEach(flags.envFile, (file) =>
    Effect.mapError(fs.readFileString(file), unreadable("--env-file", file))
  )
  const lines = files.flatMap((text) => text.split(/\r?\n/)).filter((line) => !/^\s*(?:#|$)/.test(line))
  // A name alone stands for the variable of this command's own environment, and for none where that has none.
  return [...lines, ...flags.env].flatMap((entry) => {
    if (entry.includes("=")) return [entry]
    const value = process.env[entry.trim()]
    return value === undefined ? [] : [`${entry.trim()}=${value}`]
  })
})

/** Everything that shapes a specification but its command and root filesystem. */
const shape = Effect.fnUntraced(function* (command: string, flags: CreateFlags) {
  const each = <A>(values: ReadonlyArray<string>, parse: (text: string) => Result.Result<A, Problem>) =>
    Effect.forEach(values, (text) => orMisuse(command, parse(text)))
  const network = Option.isNone(flags.network)
    ? undefined
    : yield* Effect.mapError(Schema.decodeEffect(Network)(flags.network.value), (error) =>
        misuse(command, "--network", error.message)
      )
  const seccomp = Option.isNone(flags.seccomp)
    ? undefined
    : flags.seccomp.value === "unconfined"
      ? ("unconfined" as const)
      : yield* fromFile("--seccomp", flags.seccomp.value, Schema.JsonObject)
  const { cpuShares, cpus, cpusetCpus, cpusetMems, hostname, memory, memoryReservation, memorySwap, pidsLimit } = flags
  return present({
    env: unlessEmpty(yield* environment(flags)),
    cwd: flags.workdir,
    user: flags.user,
    hostname,
    readOnly: whenSet(flags.readOnly),
    terminal: whenSet(flags.terminal),
    consoleSize: Option.none(),
    cgroupsPath: Option.none(),
    resources: yield* deviceLimits(command, flags),
    mounts: unlessEmpty(yield* each(flags.mount, MountOption.parse)),
    capAdd: unlessEmpty(flags.capAdd),
    capDrop: unlessEmpty(flags.capDrop),
    privileged: whenSet(flags.privileged),
    noNewPrivileges: flags.noNewPrivileges,
    seccomp: Option.fromUndefinedOr(seccomp),
    network: Option.fromUndefinedOr(network),
    devices: unlessEmpty(yield* each(flags.device, DeviceOption.parse)),
    ulimits: unlessEmpty(yield* each(flags.ulimit, Ulimit.parse)),
    annotations: unlessEmpty(yield* keyValues(command, "--annotation", flags.annotation, texts)),
    securityOpt: unlessEmpty(flags.securityOpt),
    uidMappings: unlessEmpty(yield* each(flags.uidmap, (text) => IdMapping.parse("uidMappings", text))),
    gidMappings: unlessEmpty(yield* each(flags.gidmap, (text) => IdMapping.parse("gidMappings", text))),
    sysctls: unlessEmpty(yield* keyValues(command, "--sysctl", flags.sysctl, texts)),
    memory,
    memoryReservation,
    memorySwap,
    cpus,
    cpuShares,
    cpusetCpus,
    cpusetMems,
    cpuQuota: flags.cpuQuota,
    cpuPeriod: flags.cpuPeriod,
    pidsLimit,
    blkioWeight: flags.blkioWeight
  })
})

const fromBundle = Effect.fnUntraced(function* (
  command: string,
  folder: string,
  given: object,
  words: ReadonlyArray<string>
) {
  const path = yield* Path.Path
  const other = Object.keys(given)[0]
  if (other !== undefined)
    return yield* misuse(command, optionOf(other), "not together with --bundle, whose config.json says it")
  const spec = yield* fromFile("--bundle", path.join(folder, "config.json"), OciSpec)
  const root = { ...spec.root, path: path.resolve(folder, spec.root?.path ?? "rootfs") }
  const process = words.length === 0 ? spec.process : { cwd: "/", ...spec.process, args: words }
  const made: OciSpec = { ...spec, root, ...(process === undefined ? {} : { process }) }
  return made
})

/** The specification that `run` uses. `local`: the daemon shares this machine's files. */
export const specOf = Effect.fn("cli.specOf")(function* (
  command: string,
  flags: CreateFlags,
  words: ReadonlyArray<string>,
  local: boolean
) {
  const given = yield* shape(command, flags)
  if (flags.overlay && Option.isNone(flags.rootfs)) return yield* misuse(command, "--overlay", "needs --rootfs DIR")
  if (Option.isSome(flags.bundle)) {
    if (Option.isSome(flags.rootfs)) return yield* misuse(command, "--rootfs", "not together with --bundle")
    return yield* fromBundle(command, flags.bundle.value, given, words)
  }
  if (words.length === 0) return yield* misuse(command, "<command>", "is missing")
  // The one runtime that has no root filesystem but the machine's own.
  const onHost = Option.isSome(flags.runtime) && flags.runtime.value === "host"
  if (Option.isNone(flags.rootfs) && command !== "spec" && !onHost) {
    return yield* misuse(command, "--rootfs", "give --rootfs DIR or --bundle DIR")
  }
  const root = Option.getOrElse(flags.rootfs, () => (onHost ? "/" : null))
  if (root !== null && local) yield* checkFolder(root)
  const host = yield* hostFacts({
    local,
    root,
    user: given.user !== undefined,
    capabilities: given.privileged === true || given.capAdd !== undefined,
    devices: (given.devices ?? []).map(({ source }) => source)
  })
  return yield* orMisuse(
    command,
    Spec.make(
      { ...given, args: words, ...(root === null ? {} : { rootfs: { path: root, overlay: flags.overlay } }) },
      host
    )
  )
})

const checkFolder = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const found = yield* Effect.orElseSucceed(fs.stat(path), () => null)
  if (found?.type === "Directory") return
  const problem = found === null ? `"${path}" does not exist` : `"${path}" is not a folder`
  return yield* new InvalidArgument({ field: "--rootfs", problem })
})

/** The process that `exec` adds to a container with this specification. */
export const processOf = Effect.fn("cli.processOf")(function* (
  command: string,
  spec: OciSpec,
  flags: ProcessFlags,
  words: ReadonlyArray<string>,
  local: boolean
) {
  const env = yield* environment(flags)
  const user = Option.isSome(flags.user)
  const host = yield* hostFacts({
    local,
    root: filesOf(spec),
    user,
    capabilities: flags.privileged,
    devices: []
  })
  const options: ExecOptions = {
    args: words,
    env,
    terminal: flags.terminal,
    privileged: flags.privileged,
    ...Option.match(flags.workdir, { onNone: () => ({}), onSome: (cwd) => ({ cwd }) }),
    ...Option.match(flags.user, { onNone: () => ({}), onSome: (user) => ({ user }) })
  }
  return yield* orMisuse(command, makeProcess(spec, options, host))
})
