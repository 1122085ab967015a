/** What the event log must say at the end, whatever was killed while it was written. */
import { Effect, Stream } from "effect"
import { Events, Seq } from "../../src/index.ts"
import type { BerthError, Event } from "../../src/index.ts"
import type { Findings } from "./Findings.ts"
import { isPassing } from "./Findings.ts"

const subjectOf = ({ event }: Event) => ("containerId" in event ? event.containerId : event.id)
const isOfInit = ({ event }: Event) => !("execId" in event) || event.execId === null

const order: ReadonlyArray<Event["topic"]> = [
  "/containers/create",
  "/tasks/create",
  "/tasks/start",
  "/tasks/exit",
  "/tasks/delete",
  "/containers/delete"
]

const judgeOne = (name: string, events: ReadonlyArray<Event>, { find }: Findings) => {
  const topics = events.filter(isOfInit).map(({ topic }) => topic)
  for (const topic of order) {
    const times = topics.filter((other) => other === topic).length
    if (times !== 1) find(`${name}: ${times} times ${topic}: ${topics.join(" ")}`)
  }
  const places = order.map((topic) => topics.indexOf(topic)).filter((index) => index >= 0)
  if (places.some((place, index) => index > 0 && place < (places[index - 1] ?? 0))) {
    find(`${name}: out of order: ${topics.join(" ")}`)
  }
  const end = events.findIndex((event) => event.topic === "/tasks/exit" && isOfInit(event))
  const late = events.slice(end + 1).filter((event) => event.topic === "/tasks/exit" && !isOfInit(event))
  if (late.length > 0) find(`${name}: the exit of an exec was told after that of its init`)
}

/** The whole log: numbered without a gap, and the life of every container told once and in order. */
export const judge = (events: ReadonlyArray<Event>, findings: Findings) => {
  findings.counts.events = events.length
  events.forEach(({ seq }, index) => {
    if (seq !== index + 1) findings.find(`event ${index + 1} of the log has number ${seq}`)
  })
  for (const [name, own] of Map.groupBy(events, subjectOf)) judgeOne(name, own, findings)
}

/** A subscriber that goes on behind the last event it has seen, whenever the stream breaks. */
export const follow = (seen: Array<Event>) =>
  Effect.gen(function* () {
    const events = yield* Events
    const once = Effect.suspend(() =>
      Stream.runForEach(events.subscribe({ after: Seq.make(seen.at(-1)?.seq ?? 0), follow: true }), (event) =>
        Effect.sync(() => void seen.push(event))
      )
    )
    const anyway = Effect.catchIf(
      once,
      (error: BerthError) => isPassing(error),
      () => Effect.void
    )
    return yield* Effect.forever(Effect.andThen(anyway, Effect.sleep("50 millis")))
  })
