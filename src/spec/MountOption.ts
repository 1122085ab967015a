/**
 * Mounts that a user asks for: the text of `--mount type=bind,src=/a,dst=/b,ro` and the checks that every mount has to
 * pass before it enters a specification. It looks at no filesystem: whether a source exists is for the runtime to find.
 */
import { Option, Result, Schema } from "effect"
import { OciMount } from "../schema/OciSpec.ts"
import { Size } from "../schema/Units.ts"
import { fail, type Problem } from "./Problem.ts"

const field = "mount"

/** The comma-separated fields of a text; a field in double quotes may hold commas, and `""` stands for one quote. */
const split = (text: string): Result.Result<ReadonlyArray<string>, Problem> => {
  if (!/^(?:"(?:[^"]|"")*"|[^",]*)(?:,(?:"(?:[^"]|"")*"|[^",]*))*$/.test(text)) {
    return fail(field, `misplaced quote in "${text}"`)
  }
  const fields = text.match(/"(?:[^"]|"")*"|[^",]+/g) ?? []
  return Result.succeed(fields.map((part) => (part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part)))
}

const truth = (key: string, value: string | undefined): Result.Result<boolean, Problem> => {
  if (value === undefined || value === "true" || value === "1") return Result.succeed(true)
  if (value === "false" || value === "0") return Result.succeed(false)
  return fail(field, `${key} must be true or false, got "${value}"`)
}

const names: { readonly [key: string]: string } = {
  src: "source",
  target: "destination",
  dst: "destination",
  readonly: "ro",
  "bind-propagation": "propagation",
  "tmpfs-size": "size",
  "tmpfs-mode": "mode",
  o: "options"
}
const flags = ["nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime"]
const propagations = ["private", "rprivate", "shared", "rshared", "slave", "rslave"]

/** A path is absolute, names no parent, and has no byte that ends a string early. */
const checkPath = (name: string, path: string): Result.Result<string, Problem> => {
  if (!path.startsWith("/")) return fail(field, `${name} must be an absolute path, got "${path}"`)
  if (path.split("/").includes("..")) return fail(field, `${name} must not contain "..", got "${path}"`)
  return path.includes("\0") ? fail(field, `${name} contains a NUL byte`) : Result.succeed(path)
}

/** The same mount with a clean destination, or what is wrong with it. */
export const check = (mount: OciMount): Result.Result<OciMount, Problem> =>
  Result.gen(function* () {
    const destination = (yield* checkPath("destination", mount.destination))
      .replace(/\/+/g, "/")
      .replace(/(.)\/$/, "$1")
    if (destination === "/") return yield* fail(field, `destination must not be "/"`)
    const isBind = mount.type === "bind" || (mount.options ?? []).some((option) => /^r?bind$/.test(option))
    if (isBind) yield* checkPath("source", mount.source ?? "")
    return { ...mount, destination }
  })

/**
 * A mount from the text of `--mount`. Keys: type (bind by default), src, dst, ro, propagation, size and mode (tmpfs),
 * options (colon-separated, passed on), nonrecursive, and mount flags such as `noexec`.
 */
export const parse = (text: string): Result.Result<OciMount, Problem> =>
  Result.gen(function* () {
    const values = new Map<string, string>()
    const switches = new Map<string, boolean>()
    for (const part of yield* split(text)) {
      const [name = "", ...rest] = part.split("=")
      const value = rest.length === 0 ? undefined : rest.join("=")
      const key = names[name.toLowerCase()] ?? name.toLowerCase()
      if (values.has(key) || switches.has(key)) return yield* fail(field, `"${name}" is given twice in "${text}"`)
      if (["ro", "rw", "nonrecursive", ...flags].includes(key)) switches.set(key, yield* truth(name, value))
      else if (!["type", "source", "destination", "propagation", "size", "mode", "options"].includes(key)) {
        return yield* fail(field, `unknown key "${name}" in "${text}"`)
      } else if (value === undefined || value === "") return yield* fail(field, `"${name}" needs a value in "${text}"`)
      else values.set(key, value)
    }
    const type = values.get("type") ?? "bind"
    const destination = values.get("destination")
    if (destination === undefined) return yield* fail(field, `dst is missing in "${text}"`)
    const own = yield* type === "tmpfs" ? tmpfsOptions(values) : bindOptions(type, values, switches)
    const readOnly = switches.get("ro") === true || switches.get("rw") === false
    const chosen = flags.filter((flag) => switches.get(flag) === true)
    const opposite = (flag: string) => (flag.startsWith("no") ? flag.slice(2) : `no${flag}`)
    return yield* check({
      destination,
      type,
      source: values.get("source") ?? type,
      options: [
        ...own.filter((option) => !chosen.includes(opposite(option)) && !chosen.includes(option)),
        ...(readOnly ? ["ro"] : []),
        ...chosen,
        ...(values.get("options")?.split(":") ?? [])
      ]
    })
  })

const bindOptions = (
  type: string,
  values: ReadonlyMap<string, string>,
  switches: ReadonlyMap<string, boolean>
): Result.Result<ReadonlyArray<string>, Problem> => {
  const tmpfsOnly = ["size", "mode"].find((key) => values.has(key))
  if (tmpfsOnly !== undefined) return fail(field, `${tmpfsOnly} is for type=tmpfs only`)
  const bindOnly = ["propagation", "nonrecursive"].find((key) => values.has(key) || switches.has(key))
  if (type !== "bind") {
    return bindOnly === undefined ? Result.succeed([]) : fail(field, `${bindOnly} is for type=bind only`)
  }
  if (!values.has("source")) return fail(field, "a bind mount needs src")
  const propagation = values.get("propagation") ?? "rprivate"
  if (!propagations.includes(propagation)) {
    return fail(field, `propagation must be one of ${propagations.join(", ")}, got "${propagation}"`)
  }
  return Result.succeed([switches.get("nonrecursive") === true ? "bind" : "rbind", propagation])
}

const tmpfsOptions = (values: ReadonlyMap<string, string>): Result.Result<ReadonlyArray<string>, Problem> => {
  const notForTmpfs = ["source", "propagation"].find((key) => values.has(key))
  if (notForTmpfs !== undefined) return fail(field, `${notForTmpfs} is not for type=tmpfs`)
  const mode = values.get("mode")
  if (mode !== undefined && !/^[0-7]{3,5}$/.test(mode)) return fail(field, `mode must be octal, got "${mode}"`)
  const size = values.get("size")
  const bytes = Option.flatMap(Option.fromUndefinedOr(size), Schema.decodeOption(Size))
  if (size !== undefined && Option.isNone(bytes)) return fail(field, `size must be a size such as 64m, got "${size}"`)
  return Result.succeed([
    "nosuid",
    "nodev",
    "noexec",
    ...Option.match(bytes, { onNone: () => [], onSome: (n) => [`size=${n}`] }),
    ...(mode === undefined ? [] : [`mode=${mode}`])
  ])
}
