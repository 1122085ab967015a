/**
 * The programs of a pretended container: the handful that tests of a container runtime start, each as the steps that it takes and the status that it ends with.
 * Both are worked out before the process runs, so that a status cannot depend on input.
 */
import { Duration, Option, Schema } from "effect"
import { Signal } from "../../schema/Units.ts"
import type { OutputStream } from "./MockScript.ts"
import { Step } from "./MockScript.ts"

export interface Call {
  readonly args: ReadonlyArray<string>
  readonly variables: ReadonlyMap<string, string>
  /** The pid of the calling shell, as `$$` shows it. */
  readonly self: string
  /** Where standard output goes. */
  readonly stdout: OutputStream | null
  readonly push: (step: Step) => void
  readonly print: (text: string) => void
  /** Says that this call is beyond what is pretended. */
  readonly refuse: () => number
}

/** A signal from the word for it, as `kill` and `trap` take it. */
export const signalFrom = Schema.decodeOption(Signal)

const units: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, h: 3600, d: 86_400 }

const sleepTime = (text: string): Duration.Duration | null => {
  if (/^inf(?:inity)?$/.test(text)) return Duration.infinity
  const [, digits, unit = ""] = /^(\d*\.?\d+)([smhd]?)$/.exec(text) ?? []
  return digits === undefined ? null : Duration.seconds(Number(digits) * (units[unit] ?? 1))
}

const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", "0": "\0", "\\": "\\" }
const unescape = (text: string) => text.replace(/\\([ntr0\\])/g, (_, letter: string) => escapes[letter] ?? letter)

const echo = ({ args, print }: Call): number => {
  const words = args.findIndex((arg) => !/^-[neE]+$/.test(arg))
  const flags = args.slice(0, words < 0 ? args.length : words).join("")
  const text = args.slice(words < 0 ? args.length : words).join(" ")
  print((flags.includes("e") ? unescape(text) : text) + (flags.includes("n") ? "" : "\n"))
  return 0
}

const printf = ({ args: [format = "", ...args], print, refuse }: Call): number => {
  if (/%[^sd%]/.test(format)) return refuse()
  let next = 0
  print(unescape(format).replace(/%[sd%]/g, (found) => (found === "%%" ? "%" : (args[next++] ?? ""))))
  return 0
}

const kill = ({ args, push, refuse, self }: Call): number => {
  const [flag = "", second = "", third = ""] = args
  const [name, pid] = flag === "-s" ? [second, third] : flag.startsWith("-") ? [flag.slice(1), second] : ["TERM", flag]
  const signal = signalFrom(name)
  if (Option.isNone(signal) || (pid !== self && pid !== "1")) return refuse()
  push(Step.Raise({ signal: signal.value, to: pid === self ? "self" : "init" }))
  return 0
}

const sleep = ({ args: [time = ""], push, refuse }: Call): number => {
  const duration = sleepTime(time)
  if (duration === null) return refuse()
  push(Step.Pass({ duration }))
  return 0
}

const cat = ({ args, push, refuse, stdout }: Call): number => {
  if (args.some((arg) => arg !== "-")) return refuse()
  push(Step.Copy({ to: stdout }))
  return 0
}

/** Of zeros only: much output in few words. */
const head = ({ args: [flag, count = "", file], print, refuse }: Call): number => {
  if (flag !== "-c" || !/^\d+$/.test(count) || file !== "/dev/zero") return refuse()
  print("\0".repeat(Number(count)))
  return 0
}

const seq = ({ args, print }: Call): number => {
  const [first = 1, last = 0] = args.length > 1 ? args.map(Number) : [1, Number(args[0])]
  print(Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => `${first + index}\n`).join(""))
  return 0
}

const env = ({ args, print, refuse, variables }: Call): number => {
  if (args.length > 0) return refuse()
  for (const [name, value] of variables) print(`${name}=${value}\n`)
  return 0
}

const pwd = ({ print, variables }: Call): number => {
  print(`${variables.get("PWD")}\n`)
  return 0
}

export const commands: ReadonlyMap<string, (call: Call) => number> = new Map(
  Object.entries({ true: () => 0, false: () => 1, echo, printf, kill, sleep, cat, head, seq, env, pwd })
)

/** The name that a command is known by: its own, without the folder where programs lie; empty for any other path. */
export const nameOf = (command: string): string =>
  /^(?:\/(?:usr\/(?:local\/)?)?s?bin\/)?([^/]+)$/.exec(command)?.[1] ?? ""
/** The shell and the program that is all of them in one. */
export const shells = new Set(["sh", "ash", "busybox"])
const notExecutable =
  /^\/(?:etc|tmp|dev|proc|root|usr|s?bin|lib)?$|^\/etc\/(?:passwd|group|hosts|hostname|resolv\.conf)$/

/** Whether the pretended root filesystem has that program. */
export const lookUp = (command: string): "found" | "command-not-executable" | "command-not-found" =>
  commands.has(nameOf(command)) || shells.has(nameOf(command))
    ? "found"
    : notExecutable.test(command)
      ? "command-not-executable"
      : "command-not-found"
