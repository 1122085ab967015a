/** The keys that end an attachment and leave the process alone. Pure. */

/** A sequence of keys, each of one byte; empty where there are none. */
export type DetachKeys = ReadonlyArray<number>

/** Those of docker. */
export const usual = "ctrl-p,ctrl-q"

const control = 0x40

/** `a`, `ctrl-a`, `ctrl-@`, `ctrl-[`, `ctrl-\`, `ctrl-]`, `ctrl-^`, `ctrl-_`. */
const keyOf = (text: string): number | null => {
  const [, letter] = /^ctrl-([a-z@[\\\]^_])$/i.exec(text) ?? []
  if (letter !== undefined) return letter.toUpperCase().charCodeAt(0) - control
  return /^[\u0020-\u007e]$/.test(text) ? text.charCodeAt(0) : null
}

/** Keys separated by commas; nothing at all is no keys. `null` where the text is not that. */
export const parse = (text: string): DetachKeys | null => {
  if (text === "") return []
  const keys = text.split(",").map(keyOf)
  return keys.every((key) => key !== null) ? keys : null
}

/** How a sequence of keys is called, for messages. */
export const format = (keys: DetachKeys): string =>
  keys
    .map((key) => (key < 0x20 ? `ctrl-${String.fromCharCode(key + control).toLowerCase()}` : String.fromCharCode(key)))
    .join(",")

/** What became of a piece of input. */
export interface Passed {
  /** What goes to the process. */
  readonly bytes: Uint8Array
  /** The keys were pressed; what was typed behind them is not passed on. */
  readonly detached: boolean
}

/** Looks for the keys in pieces of input as they come. Keys that begin the sequence are held back until it is clear whether they do. */
export const makeDetector = (keys: DetachKeys): ((piece: Uint8Array) => Passed) => {
  let held: Array<number> = []
  const begins = () => held.every((byte, index) => byte === keys[index])
  return (piece) => {
    const bytes: Array<number> = []
    for (const byte of piece) {
      held.push(byte)
      while (!begins()) bytes.push(...held.splice(0, 1))
      if (keys.length > 0 && held.length === keys.length) return { bytes: Uint8Array.from(bytes), detached: true }
    }
    return { bytes: Uint8Array.from(bytes), detached: false }
  }
}
