/** What a run counts, and what it finds wrong. Every finding is a broken promise; the rest is only for the reader. */
import { Effect, Schedule } from "effect"
import type { BerthError } from "../../src/index.ts"

export interface Counts {
  containers: number
  execs: number
  /** Pauses and kills that the workload itself asked for. */
  pauses: number
  signals: number
  killsOfDaemon: number
  killsOfShim: number
  events: number
  /** Lines of output that are in the logs. */
  lines: number
  linesLost: number
  linesDoubled: number
  /** Exits that say that output is truncated, and lines that are missing there: of what ended when neither daemon nor shim lived to hold its pipe. */
  truncated: number
  linesTruncated: number
  /** Exits by how they are known. */
  readonly sources: Map<string, number>
}

export interface Findings {
  readonly counts: Counts
  readonly wrong: Array<string>
  readonly find: (what: string) => void
}

export const make = (): Findings => {
  const wrong: Array<string> = []
  const sources = new Map<string, number>()
  const counts: Counts = {
    containers: 0,
    execs: 0,
    pauses: 0,
    signals: 0,
    killsOfDaemon: 0,
    killsOfShim: 0,
    events: 0,
    lines: 0,
    linesLost: 0,
    linesDoubled: 0,
    truncated: 0,
    linesTruncated: 0,
    sources
  }
  return { counts, wrong, find: (what) => void wrong.push(what) }
}

/** Errors that a client meets while something is dead or dying, and that may be asked again. */
const passing: ReadonlySet<BerthError["_tag"]> = new Set(["Unavailable", "ShimLost", "RuntimeFailed", "Internal"])
export const isPassing = ({ _tag }: BerthError): boolean => passing.has(_tag)

const patience = "90 seconds"

/** Asks until it is answered; that nobody ever answers is a finding, and ends the effect. */
export const insistently =
  (findings: Findings, what: string) =>
  <A, R>(self: Effect.Effect<A, BerthError, R>): Effect.Effect<A, BerthError, R> =>
    self.pipe(
      Effect.retry({ while: isPassing, schedule: Schedule.spaced("50 millis") }),
      Effect.timeoutOrElse({
        duration: patience,
        orElse: () => {
          findings.find(`${what}: no answer within ${patience}`)
          return Effect.interrupt
        }
      })
    )
