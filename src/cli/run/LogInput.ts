/** `--log` and its `--log-opt`s: where the output of a process goes, as users write it. */
import { Effect, Option, Path, Schema } from "effect"
import { LogTarget } from "../../schema/LogTarget.ts"
import { Size } from "../../schema/Units.ts"
import { misuse } from "../output/Usage.ts"

export interface LogFlags {
  readonly log: Option.Option<string>
  readonly logOpt: ReadonlyArray<string>
}

const field = "--log-opt"
const decodeSize = Schema.decodeUnknownOption(Size)
const decodeTarget = Schema.decodeUnknownEffect(LogTarget)

const split = (text: string): readonly [string, string] => {
  const at = text.indexOf("=")
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)]
}

/** The limits of the structured log. */
const limits = Effect.fnUntraced(function* (command: string, options: ReadonlyArray<string>) {
  const found: { maxSize?: number; maxFiles?: number } = {}
  for (const [name, value] of options.map(split)) {
    if (name === "max-size") {
      const size = decodeSize(value)
      if (Option.isNone(size))
        return yield* misuse(command, field, `max-size: expected a size such as 10m, got "${value}"`)
      found.maxSize = size.value
    } else if (name === "max-file") {
      if (!/^\d{1,4}$/.test(value)) return yield* misuse(command, field, `max-file: expected a number, got "${value}"`)
      found.maxFiles = Number(value)
    } else return yield* misuse(command, field, `expected max-size=SIZE or max-file=N, got "${name}"`)
  }
  if (found.maxFiles !== undefined && found.maxSize === undefined) {
    return yield* misuse(command, field, "max-file needs max-size")
  }
  return found
})

/** Every option becomes a name and a value among the arguments of the program. */
const args = (options: ReadonlyArray<string>) =>
  options.flatMap((text) => (text.includes("=") ? [...split(text)] : [text]))

/** Where output goes. */
export const parseLog = Effect.fnUntraced(function* (command: string, { log, logOpt }: LogFlags) {
  const path = yield* Path.Path
  const text = Option.getOrElse(log, () => "json")
  const [, kind = text, rest = ""] = /^(file|fifo|binary):(.+)$/s.exec(text) ?? []
  const target = (target: LogTarget) =>
    Effect.catch(decodeTarget(target), (error) =>
      misuse(command, logOpt.length > 0 ? field : "--log", error.message.replaceAll(/\s+/g, " "))
    )
  if (kind === "json") return yield* target({ _tag: "json", ...(yield* limits(command, logOpt)) })
  if (kind === "binary") return yield* target({ _tag: "binary", path: path.resolve(rest), args: args(logOpt) })
  if (logOpt.length > 0) return yield* misuse(command, field, "only json and binary have options")
  if (kind === "none") return yield* target({ _tag: "none" })
  if (kind === "file") return yield* target({ _tag: "file", path: path.resolve(rest) })
  if (kind === "fifo") return yield* target({ _tag: "fifo", directory: path.resolve(rest) })
  return yield* misuse(command, "--log", `expected json, none, file:PATH, fifo:DIR or binary:PATH, got "${text}"`)
})
