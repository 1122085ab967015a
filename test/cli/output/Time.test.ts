import { assert, describe, it } from "@effect/vitest"
import { DateTime } from "effect"
import { ago } from "../../../src/cli/output/Time.ts"

const then = DateTime.makeUnsafe("2026-01-01T00:00:00Z")
const later = (seconds: number) => DateTime.add(then, { seconds })

const cases: ReadonlyArray<readonly [seconds: number, text: string]> = [
  [-5, "just now"],
  [0.9, "just now"],
  [1, "1 second ago"],
  [59, "59 seconds ago"],
  [60, "1 minute ago"],
  [150, "2 minutes ago"],
  [3600, "1 hour ago"],
  [86_399, "23 hours ago"],
  [86_400, "1 day ago"],
  [14 * 86_400, "2 weeks ago"],
  [40 * 86_400, "1 month ago"],
  [800 * 86_400, "2 years ago"]
]

describe("Time", () => {
  it.each(cases)("%s s: %s", (seconds, text) => {
    assert.strictEqual(ago(then, later(seconds)), text)
  })
})
