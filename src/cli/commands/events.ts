/** `berth events`: the event log, from any point, and what happens from then on. */
import { DateTime, Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import type { Event } from "../../schema/Events.ts"
import { ConsumerName } from "../../schema/Ids.ts"
import { Events } from "../../services/Events.ts"
import { connected, wantsJson } from "../Globals.ts"
import { Output } from "../Output.ts"
import { printable } from "../output/Failure.ts"
import * as Json from "../output/Json.ts"
import { misuse } from "../output/Usage.ts"
import * as Params from "../Params.ts"
import { point } from "../Since.ts"

const own = ["id", "containerId"]

const isEmpty = (value: unknown) => typeof value === "object" && value !== null && Object.keys(value).length === 0

/** An event on one line: sequence, time, topic, container, and what else it says. */
export const toLine = (event: Event): string => {
  const { containerId, id, ...rest } = { containerId: undefined, id: undefined, ...Json.event(event).event }
  const details = Object.entries(rest).flatMap(([key, value]) =>
    value === null || own.includes(key) || isEmpty(value)
      ? []
      : [`${key}=${typeof value === "string" ? value : JSON.stringify(value)}`]
  )
  const words = [event.topic.padEnd(19), containerId ?? id ?? "", ...details]
  return printable([`${event.seq}`, DateTime.formatIso(event.time), ...words].join("  "))
}

export const events = Command.make(
  "events",
  {
    since: Params.text(
      "since",
      "<SEQ|TIME>",
      "After a sequence number, or since a time or a span such as 10m; default all that is kept"
    ),
    consumer: Flag.String("consumer").pipe(
      Flag.withSchema(ConsumerName),
      Flag.withMetavar("<NAME>"),
      Flag.withDescription("Go on where this reader was; the daemon keeps its place for as long as it is not removed"),
      Flag.optional
    ),
    filters: Params.filters,
    follow: Flag.Boolean("follow").pipe(
      Flag.withDefault(true),
      Flag.withDescription("Go on with what happens from now on, the default; --no-follow ends with the newest")
    )
  },
  ({ consumer, filters, follow, since }) =>
    Effect.gen(function* () {
      const now = yield* DateTime.now
      const from = Option.map(since, (text) => point(text, now))
      if (Option.isSome(from) && Option.isNone(from.value)) {
        return yield* misuse(
          "events",
          "--since",
          "expected a sequence number, a time such as 2026-11-22T10:00:00Z or a span such as 10m"
        )
      }
      const json = yield* wantsJson
      const output = yield* Output
      yield* connected(
        Effect.gen(function* () {
          const log = yield* Events
          const reader = Option.getOrUndefined(consumer)
          const request = { ...Option.getOrElse(Option.flatten(from), () => ({})), filters, follow }
          const print = (event: Event) => output.write(json ? Json.document(Json.event(event)) : `${toLine(event)}\n`)
          if (reader === undefined) return yield* Stream.runForEach(log.subscribe(request), print)
          yield* Stream.runForEachArray(log.subscribe({ ...request, consumer: reader }), (events) =>
            Effect.gen(function* () {
              yield* Effect.forEach(events, print, { discard: true })
              // Only what is printed is done with: an end in between repeats events, and loses none.
              const last = events.at(-1)
              if (last !== undefined) yield* log.acknowledge({ consumer: reader, seq: last.seq })
            })
          )
        })
      )
    })
).pipe(
  Command.withDescription("Print what happened and what happens"),
  Command.withExamples([
    { command: "berth events" },
    { command: "berth events --since 10m --no-follow", description: "The last ten minutes" },
    {
      command: `berth events --json --since 42 --filter topic=/tasks/exit`,
      description: "Go on where a program stopped reading"
    },
    { command: "berth events --json --consumer billing", description: "The same, its place kept by the daemon" }
  ])
)
