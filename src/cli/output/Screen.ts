/** A table that is drawn again and again in the same place of a terminal, and cut to its size; elsewhere each one below the one before. */
import { Effect } from "effect"
import { Output } from "../Output.ts"
import { Tty } from "../terminal/Tty.ts"

const [clear, home, endOfLine, below] = ["\u001b[2J", "\u001b[H", "\u001b[K", "\u001b[J"]

/** What to print so that a terminal of that size shows the text and nothing else. */
export const frame = (text: string, size: { readonly width: number; readonly height: number }): string => {
  const lines = text
    .trimEnd()
    .split("\n")
    .slice(0, Math.max(1, size.height - 1))
  return `${home}${lines.map((line) => `${line.slice(0, size.width)}${endOfLine}\n`).join("")}${below}`
}

/** Gives a function that shows one text after the other. What is shown must be free of control characters. */
export const make = Effect.gen(function* () {
  const { isTerminal, write } = yield* Output
  const { size } = yield* Tty
  let drawn = false
  return Effect.fnUntraced(function* (text: string) {
    const current = isTerminal ? yield* size : null
    if (current === null) return yield* write(text)
    const first = drawn ? "" : clear
    drawn = true
    yield* write(first + frame(text, current))
  })
})
