/** How a container wants to be stopped, which it keeps in its labels: `run` and `create` write them, `Tasks.stop` reads them. */
import { Duration, Option, Schema } from "effect"
import type { Labels } from "./Container.ts"
import type { StopRequest } from "./Requests.ts"
import { DurationText, Signal } from "./Units.ts"

export const signalLabel = "berth.stop-signal"
export const timeoutLabel = "berth.stop-timeout"

const signal = Schema.decodeOption(Signal)
const timeout = Schema.decodeOption(DurationText)

/** The labels for a signal by number and a time. */
export const write = (wishes: {
  readonly signal: Option.Option<number>
  readonly timeout: Option.Option<Duration.Duration>
}): Labels => ({
  ...Option.match(wishes.signal, {
    onNone: () => ({}),
    onSome: (signal) => ({ [signalLabel]: Schema.encodeSync(Signal)(signal) })
  }),
  ...Option.match(wishes.timeout, {
    onNone: () => ({}),
    onSome: (timeout) => ({ [timeoutLabel]: Schema.encodeSync(DurationText)(timeout) })
  })
})

/** What the labels ask for; one that makes no sense asks for nothing. */
export const read = (labels: Labels): Omit<StopRequest, "id"> => ({
  ...Option.match(signal(labels[signalLabel] ?? ""), { onNone: () => ({}), onSome: (signal) => ({ signal }) }),
  ...Option.match(timeout(labels[timeoutLabel] ?? ""), {
    onNone: () => ({}),
    onSome: (timeout) => ({ timeoutMillis: Math.min(Duration.toMillis(timeout), longest) })
  })
})

/** A day, the longest that a stop may be asked to wait. */
const longest = 86_400_000
