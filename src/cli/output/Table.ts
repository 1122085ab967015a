/** Aligned columns for people. What a cell holds may come from anybody, so it is made harmless to terminals first. */
import { printable } from "./Failure.ts"

const sgr = { green: 32, yellow: 33, red: 31, dim: 2 } as const

/** Colours that a cell may have. */
export type Color = keyof typeof sgr

/** A cell: text, or text in a colour. */
export type Cell = string | { readonly text: string; readonly color: Color }

const textOf = (cell: Cell) => printable(typeof cell === "string" ? cell : cell.text)

const paint = (cell: Cell, text: string, colors: boolean) =>
  colors && typeof cell !== "string" ? `\u001b[${sgr[cell.color]}m${text}\u001b[0m` : text

/** A line of headings and one for each row, columns three spaces apart, no space at the end of a line. */
export const render = (
  headings: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<Cell>>,
  colors: boolean
): string => {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => textOf(row[column] ?? "").length))
  )
  const toLine = (row: ReadonlyArray<Cell>) =>
    headings
      .map((_, column) => {
        const cell = row[column] ?? ""
        const text = textOf(cell)
        const padding = column === headings.length - 1 ? "" : " ".repeat((widths[column] ?? 0) - text.length + 3)
        return paint(cell, text, colors) + padding
      })
      .join("")
      .trimEnd()
  return `${[headings, ...rows].map(toLine).join("\n")}\n`
}

/** `name: value` lines with the values below each other. */
export const pairs = (entries: ReadonlyArray<readonly [name: string, value: string]>): string => {
  const width = Math.max(...entries.map(([name]) => name.length)) + 2
  return entries.map(([name, value]) => `${`${name}:`.padEnd(width)}${printable(value)}\n`).join("")
}

/** The first characters of a text, with an ellipsis where something is left out. */
export const shorten = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length - 1)}…`
