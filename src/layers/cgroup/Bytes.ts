/**
 * The few forms that the kernel's small files have, read off their bytes: a sample of many containers has thousands of numbers, and a text made of each file,
 * of each line and of each word would cost more than the kernel's part. Numbers mean what they mean in `Parse.ts`.
 */
import { amount as amountOf } from "./Parse.ts"

/** Makes a value of the bytes from 0 to `length`, which the next read overwrites. */
export type Parse<A> = (bytes: Buffer, length: number) => A

const [newline, space, dot, slash, zero, nine, equals] = [10, 32, 46, 47, 48, 57, 61] as const

/** As many digits always fit in the integers that a double has. */
const exact = 15

/** The end of the line that goes on at `from`. */
const lineEnd = (bytes: Buffer, from: number, length: number): number => {
  let end = from
  while (end < length && bytes[end] !== newline) end++
  return end
}

/** Where the next word begins, or `end`. */
export const nextWord = (bytes: Buffer, from: number, end: number): number => {
  let at = from
  while (at < end && (bytes[at] ?? 0) <= space) at++
  return at
}

/** Where the word that goes on at `from` ends. */
export const wordEnd = (bytes: Buffer, from: number, end: number): number => {
  let at = from
  while (at < end && (bytes[at] ?? 0) > space) at++
  return at
}

/** The number that a word is; `max` is `Infinity`, and what makes no sense `null`. */
export const number = (bytes: Buffer, from: number, end: number): number | null => {
  let value = 0
  for (let at = from; at < end; at++) {
    const code = bytes[at] ?? slash
    if (code < zero || code > nine || at - from === exact) return amountOf(bytes.toString("latin1", from, end))
    value = value * 10 + (code - zero)
  }
  return end > from ? value : null
}

/** A word of digits with a point among them; 0 where it is none. */
export const decimal = (bytes: Buffer, from: number, end: number): number => {
  let [value, unit] = [0, 0]
  for (let at = from; at < end; at++) {
    const code = bytes[at] ?? slash
    if (code === dot && unit === 0) unit = 1
    else if (code < zero || code > nine) return 0
    else {
      value = value * 10 + (code - zero)
      unit *= 10
    }
  }
  // Of two whole numbers: as exact as a double can be.
  return unit > 1 ? value / unit : value
}

export const isWord = (bytes: Buffer, from: number, end: number, word: Buffer): boolean => {
  if (end - from !== word.length) return false
  for (let at = word.length - 1; at >= 0; at--) if (bytes[from + at] !== word[at]) return false
  return true
}

/** A file of one number. */
export const amount: Parse<number | null> = (bytes, length) => {
  const start = nextWord(bytes, 0, length)
  return number(bytes, start, wordEnd(bytes, start, length))
}

/** What begins lines of a key and a value, in the order of the keys; `null` for those that begin none. */
export const fields = (...names: ReadonlyArray<string>): Parse<ReadonlyArray<number | null>> => {
  const keys = names.map((name) => Buffer.from(name, "latin1"))
  return (bytes, length) => {
    const found: Array<number | null> = keys.map(() => null)
    let missing = keys.length
    for (let start = 0; start < length && missing > 0;) {
      const gap = wordEnd(bytes, start, length)
      const end = lineEnd(bytes, gap, length)
      const index = keys.findIndex((key) => isWord(bytes, start, gap, key))
      if (index !== -1) {
        const value = nextWord(bytes, gap, end)
        found[index] = number(bytes, value, wordEnd(bytes, value, end))
        missing--
      }
      start = end + 1
    }
    return found
  }
}

/** Calls back with each line of more than blanks: where its first word begins, and where it ends. */
export const eachLine = (bytes: Buffer, length: number, visit: (start: number, end: number) => void): void => {
  for (let start = 0; start < length;) {
    const end = lineEnd(bytes, start, length)
    const first = nextWord(bytes, start, end)
    if (first < end) visit(first, end)
    start = end + 1
  }
}

/** Where the value of a key begins among words of `key=value`; -1 where there is none. */
export const valueOf = (bytes: Buffer, from: number, end: number, key: Buffer): number => {
  for (let start = nextWord(bytes, from, end); start < end;) {
    const value = start + key.length + 1
    if (value <= end && bytes[value - 1] === equals && isWord(bytes, start, value - 1, key)) return value
    start = nextWord(bytes, wordEnd(bytes, start, end), end)
  }
  return -1
}

/** All of it, of which the kernel's own words are ASCII. */
export const text: Parse<string> = (bytes, length) => bytes.toString("latin1", 0, length)
