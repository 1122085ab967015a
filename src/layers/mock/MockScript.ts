/**
 * What a pretended process does, as data. Nothing here runs: `MockMachine` acts a `Program` out. Times are the process's own: while it is frozen they stand
 * still.
 */
import { Data, Duration } from "effect"
import type { ProcessRef } from "../../schema/Ids.ts"

export type OutputStream = "stdout" | "stderr"

export type Step = Data.TaggedEnum<{
  Write: { readonly stream: OutputStream; readonly text: string }
  Pass: { readonly duration: Duration.Duration }
  /** Reads standard input until it ends, and copies it to `to`. */
  Copy: { readonly to: OutputStream | null }
  /** Sends a signal from within the container, to itself or to init. */
  Raise: { readonly signal: number; readonly to: "self" | "init" }
  /** Starts a child that does `steps` and shares its output. */
  Spawn: { readonly steps: ReadonlyArray<Step> }
  /** Waits for every child. */
  Wait: {}
  Repeat: { readonly steps: ReadonlyArray<Step> }
}>
export const Step = Data.taggedEnum<Step>()

/** What a process does on a signal: some steps, then it ends with `exit`, or goes on where that is `null`. */
export interface Handler {
  readonly steps: ReadonlyArray<Step>
  readonly exit: number | null
}

/** The whole life of a process: its steps, one after the other, then `exit`. */
export interface Program {
  readonly steps: ReadonlyArray<Step>
  readonly exit: number
  readonly ignores: ReadonlySet<number>
  readonly handles: ReadonlyMap<number, Handler>
  readonly oomAfter: Duration.Duration | null
}

/** A program in the short form that tests write. */
export interface Script {
  /** `after` counts from the piece before. */
  readonly output?: ReadonlyArray<{
    readonly stream?: OutputStream
    readonly text: string
    readonly after?: Duration.Input
  }>
  /** Reads standard input until it ends, before the output comes to an end: `echo` copies it to standard output. */
  readonly stdin?: "echo" | "discard"
  /** The whole life, input aside; never shorter than the output takes. Without it the process ends after its last output. */
  readonly runFor?: Duration.Input | "forever"
  readonly exit?: number
  readonly ignores?: ReadonlyArray<number>
  /** Exit status by signal. An init process ignores every other signal but KILL and STOP, as in a pid namespace. */
  readonly handles?: Readonly<Record<number, number | Handler>>
  /** Killed for lack of memory after this time. */
  readonly oomAfter?: Duration.Input
}

const duration = (input: Duration.Input | "forever"): Duration.Duration =>
  input === "forever" ? Duration.infinity : Duration.fromInputUnsafe(input)

/** The program that a script stands for. */
export const program = (script: Script): Program => {
  const steps: Array<Step> = []
  let spent = Duration.zero
  for (const { after, stream, text } of script.output ?? []) {
    if (after !== undefined) {
      steps.push(Step.Pass({ duration: duration(after) }))
      spent = Duration.sum(spent, duration(after))
    }
    steps.push(Step.Write({ stream: stream ?? "stdout", text }))
  }
  if (script.stdin !== undefined) steps.push(Step.Copy({ to: script.stdin === "echo" ? "stdout" : null }))
  const life = duration(script.runFor ?? 0)
  if (Duration.isGreaterThan(life, spent)) steps.push(Step.Pass({ duration: Duration.subtract(life, spent) }))
  const handles = Object.entries(script.handles ?? {}).map(
    ([signal, how]) => [Number(signal), typeof how === "number" ? { steps: [], exit: how } : how] as const
  )
  return {
    steps,
    exit: script.exit ?? 0,
    ignores: new Set(script.ignores),
    handles: new Map(handles),
    oomAfter: script.oomAfter === undefined ? null : duration(script.oomAfter)
  }
}

/** Which processes a rule is for; what it leaves out may be anything. `args` is part of the command line. */
export interface Match {
  readonly namespace?: string
  readonly containerId?: string
  /** `null` is init. */
  readonly execId?: string | null
  readonly args?: string
}

/** Whether a rule is for a process. */
export const matches = (match: Match, ref: ProcessRef, args: ReadonlyArray<string>): boolean =>
  (match.namespace === undefined || match.namespace === ref.namespace) &&
  (match.containerId === undefined || match.containerId === ref.containerId) &&
  (match.execId === undefined || match.execId === ref.execId) &&
  (match.args === undefined || args.join(" ").includes(match.args))
