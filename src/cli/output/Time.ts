/** Times for people: how long ago, rounded to one unit. */
import { DateTime } from "effect"

const units = [
  ["year", 365 * 24 * 3600],
  ["month", 30 * 24 * 3600],
  ["week", 7 * 24 * 3600],
  ["day", 24 * 3600],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1]
] as const

/** `2 minutes ago`; `just now` for less than a second, and for what the other clock has in the future. */
export const ago = (then: DateTime.Utc, now: DateTime.Utc): string => {
  const seconds = Math.floor((DateTime.toEpochMillis(now) - DateTime.toEpochMillis(then)) / 1000)
  const unit = units.find(([, size]) => seconds >= size)
  if (unit === undefined) return "just now"
  const count = Math.floor(seconds / unit[1])
  return `${count} ${unit[0]}${count === 1 ? "" : "s"} ago`
}
