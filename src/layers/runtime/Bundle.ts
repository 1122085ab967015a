/** What a bundle's own `config.json` says of the folder and the cgroup of its container, as far as a driver must know. */
import { Option, Schema } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { InvalidArgument } from "../../schema/Errors.ts"

const Config = Schema.fromJsonString(
  Schema.Struct({
    root: Schema.optionalKey(Schema.Struct({ path: Schema.optionalKey(Schema.String) })),
    linux: Schema.optionalKey(Schema.Struct({ cgroupsPath: Schema.optionalKey(Schema.String) }))
  })
)

const read = (bundle: string): Option.Option<typeof Config.Type> => {
  try {
    return Schema.decodeOption(Config)(readFileSync(join(bundle, "config.json"), "utf8"))
  } catch {
    return Option.none()
  }
}

/** None for another form than an absolute path: that is the runtime's own, or systemd's, to place. */
export const cgroupsPath = (bundle: string): Option.Option<string> =>
  Option.flatMapNullishOr(read(bundle), ({ linux }) => linux?.cgroupsPath).pipe(
    Option.filter((path) => path.startsWith("/") && path.split("/").every((part) => part !== "..") && path !== "/")
  )

/** Whether the path of its cgroup ends like this; quicker than to read all of it. */
export const hasCgroup = (bundle: string, ending: string): boolean => {
  try {
    const [, path = ""] = /"cgroupsPath": ?("[^"]*")/.exec(readFileSync(join(bundle, "config.json"), "utf8")) ?? []
    return path.endsWith(ending)
  } catch {
    return false
  }
}

const Labelled = Schema.fromJsonString(
  Schema.Struct({
    process: Schema.optionalKey(
      Schema.Struct({
        apparmorProfile: Schema.optionalKey(Schema.String),
        selinuxLabel: Schema.optionalKey(Schema.String)
      })
    ),
    linux: Schema.optionalKey(Schema.Struct({ mountLabel: Schema.optionalKey(Schema.String) }))
  })
)

/**
 * What this kernel would have to enforce and cannot: some runtimes fail on it with words of their own, others leave the container without it. `kernel` is the
 * folder of the security file systems.
 */
export const missingSecurity = (bundle: string, kernel = "/sys"): "selinux labels" | "apparmor profiles" | null => {
  try {
    const text = readFileSync(join(bundle, "config.json"), "utf8")
    if (!/"(?:apparmorProfile|selinuxLabel|mountLabel)"/.test(text)) return null
    const { linux, process } = Option.getOrElse(Schema.decodeOption(Labelled)(text), () => ({
      linux: undefined,
      process: undefined
    }))
    const label = (process?.selinuxLabel ?? "") !== "" || (linux?.mountLabel ?? "") !== ""
    if (label && !existsSync(join(kernel, "fs/selinux/enforce"))) return "selinux labels"
    const profile = process?.apparmorProfile ?? ""
    const unconfined = profile === "" || profile === "unconfined"
    return unconfined || existsSync(join(kernel, "kernel/security/apparmor/profiles")) ? null : "apparmor profiles"
  } catch {
    return null
  }
}

/** The better reason for a `create` that failed; looked for only then. */
export const missingRootfs = (bundle: string): InvalidArgument | null => {
  const path = Option.getOrUndefined(read(bundle))?.root?.path
  return path === undefined || existsSync(resolve(bundle, path))
    ? null
    : new InvalidArgument({ field: "rootfs", problem: `"${path}" does not exist` })
}
