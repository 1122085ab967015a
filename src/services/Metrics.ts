/** Every metric of berth, in one place. Labels have few values: never an id. */
import { Effect, Metric } from "effect"

const events = Metric.counter("berth_events_total", {
  description: "Entries of the event log since the daemon started",
  incremental: true
})
const refused = Metric.counter("berth_commands_refused_total", {
  description: "Commands refused because a mailbox was full",
  incremental: true
})

/** What a limit is of. */
export type Limited = "mailbox" | "connections" | "pipelined" | "calls" | "streams" | "request"

const limited = Metric.counter("berth_refused_total", {
  description: "What was refused because a limit was reached, by what the limit is of",
  incremental: true
})
const calls = Metric.gauge("berth_calls", { description: "Calls and streams under way" })
const streams = Metric.gauge("berth_streams", { description: "Streams under way" })
const connections = Metric.gauge("berth_connections", { description: "Connections to the daemon" })

/** Counts what a limit kept out. */
export const countLimited = (resource: Limited) => Metric.update(Metric.withAttributes(limited, { resource }), 1)

export const setCalls = (count: number) => Metric.update(calls, count)
export const setStreams = (count: number) => Metric.update(streams, count)
export const setConnections = (count: number) => Metric.update(connections, count)

/** Counts an event by topic. */
export const countEvent = (topic: string) => Metric.update(Metric.withAttributes(events, { topic }), 1)

/** Counts a command that found its mailbox full. */
export const countRefused = Effect.andThen(Metric.update(refused, 1), countLimited("mailbox"))
