/**
 * What an OCI runtime wrote to its log, turned into an error. Runtimes write one JSON object a line there, but also
 * plain text (a crash, a dynamic linker, a runtime of another make), so every line counts. Only the wording tells a
 * missing command from a failure of the runtime.
 */
import { Option, Schema } from "effect"
import { RuntimeFailed } from "../../schema/Errors.ts"

/** How many of the last lines an error keeps, and how long each may be. */
export const maxLines = 20
export const maxLine = 2048

const Entry = Schema.fromJsonString(Schema.Struct({ msg: Schema.String, level: Schema.optionalKey(Schema.String) }))
const decode = Schema.decodeUnknownOption(Entry)

interface Line {
  readonly text: string
  readonly severe: boolean
  readonly json: boolean
}

const parse = (line: string): Line =>
  Option.match(decode(line), {
    onNone: () => ({ text: line, severe: false, json: false }),
    onSome: ({ level, msg }) => ({
      text: msg,
      severe: level === undefined || /^(error|fatal|panic)$/i.test(level),
      json: true
    })
  })

/** The messages of a log, oldest first; text that only repeats a message is left out. */
const read = (log: string): ReadonlyArray<Line> => {
  const lines = log
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .map(parse)
  const messages = new Set(lines.filter(({ json }) => json).map(({ text }) => text.trim()))
  return lines.filter(({ json, text }) => json || !messages.has(text))
}

// What runc says before it comes to the point.
const preamble = new RegExp(
  `^(?:${[
    "runc (?:create|run) failed",
    "exec failed",
    "unable to start container process",
    "error during container init",
    "(?:container|process)_linux\\.go:\\d+",
    "starting container process caused"
  ].join("|")}): *`,
  "i"
)

const clean = (text: string): string => {
  const shorter = text.replace(preamble, "")
  return shorter === text || shorter === "" ? text : clean(shorter)
}

const notFound: ReadonlyArray<RegExp> = [
  /executable file .* not found/i,
  /executable .* (?:was )?not found/i,
  /exec: ".*": stat .*: (?:no such file or directory|not a directory)/is,
  /^open executable: (?:no such file or directory|not a directory)/i,
  /^exec(?: container process)?\b.*: no such file or directory$/is
]
const notExecutable: ReadonlyArray<RegExp> = [
  /exec: ".*": (?:permission denied|is a directory|operation not permitted)/is,
  /exec(?:utable)?\b.*: exec format error/is,
  /executable\b.*: (?:permission denied|operation not permitted|is a directory)/is
]

const reasonOf = (command: string, detail: string): RuntimeFailed["reason"] => {
  if (command !== "create" && command !== "exec") return "failed"
  if (notFound.some((pattern) => pattern.test(detail))) return "command-not-found"
  return notExecutable.some((pattern) => pattern.test(detail)) ? "command-not-executable" : "failed"
}

/** The error for a call that ended with `exitCode`, or that was killed at its deadline where `overdue` says so. */
export const failure = (call: {
  readonly runtime: string
  readonly command: string
  readonly exitCode: number
  readonly log: string
  readonly overdue?: string
}): RuntimeFailed => {
  const lines = read(call.log)
  const last = lines.findLast(({ severe }) => severe) ?? lines.at(-1)
  const said =
    last === undefined ? `it ended with code ${call.exitCode} and said nothing` : clean(last.text).slice(0, maxLine)
  return new RuntimeFailed({
    runtime: call.runtime,
    command: call.command,
    exitCode: call.exitCode,
    reason: call.overdue === undefined ? reasonOf(call.command, said) : "deadline",
    detail: call.overdue ?? said,
    log: lines.slice(-maxLines).map(({ text }) => text.slice(0, maxLine))
  })
}
