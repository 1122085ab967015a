/** Points in the past as users write them: a time, a span before now, or for events a sequence number. */
import { DateTime, Duration, Option, Schema } from "effect"
import { Seq } from "../schema/Ids.ts"
import { DurationText } from "../schema/Units.ts"

const decodeDuration = Schema.decodeUnknownOption(DurationText)

/** A time such as `2026-11-22T10:00:00Z`, or a span before `now` such as `10m`. */
export const time = (text: string, now: DateTime.Utc): Option.Option<DateTime.Utc> =>
  Option.orElse(
    Option.map(decodeDuration(text), (span) => DateTime.subtract(now, { milliseconds: Duration.toMillis(span) })),
    // A bare number is a sequence number elsewhere, never a year.
    () => (/^\d{4}-\d\d-\d\d/.test(text) ? Option.map(DateTime.make(text), DateTime.toUtc) : Option.none())
  )

/** What `events --since` may be. */
export type Since = { readonly after: Seq } | { readonly since: DateTime.Utc }

/** A sequence number, or what `time` accepts. */
export const point = (text: string, now: DateTime.Utc): Option.Option<Since> =>
  /^\d+$/.test(text) && Number.isSafeInteger(Number(text))
    ? Option.some({ after: Seq.make(Number(text)) })
    : Option.map(time(text, now), (since) => ({ since }))
