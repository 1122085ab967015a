/** Every metric of berth, in one place. Labels have few values: never an id. */
import { Metric } from "effect"

const events = Metric.counter("berth_events_total", {
  description: "Entries of the event log since the daemon started",
  incremental: true
})
const refused = Metric.counter("berth_commands_refused_total", {
  description: "Commands refused because a mailbox was full",
  incremental: true
})

/** Counts an event by topic. */
export const countEvent = (topic: string) => Metric.update(Metric.withAttributes(events, { topic }), 1)

/** Counts a command that found its mailbox full. */
export const countRefused = Metric.update(refused, 1)
