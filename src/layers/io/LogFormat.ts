/**
 * The structured log: one JSON object a line. `t` is the time at which the output was read, RFC 3339 in UTC with milliseconds; `s` is `stdout` or `stderr`;
 * `d` is the output as text, or `b` the same in base64 where it is not text (not UTF-8, or with a NUL in it); `p` is true where it does not end with a
 * newline. `{"t", "s", "lost": n}` stands for n bytes that could not be kept, and `{"file": n}` begins
 * the n-th file after a first that was full. The outputs of a stream, one after the other, are exactly its bytes.
 *
 * A record holds what one read gave. Up to 4 KiB of it are cut into a record a line, so that what is printed line by line can be read and searched line
 * by line; more than that arrives only from a process that prints faster than it is read, and stays in one piece, as a record for each of thousands of
 * short lines would cost many times the size of the output. What a terminal shows is not cut at all. A character that a read has torn is held back until
 * its rest comes, or until `end`.
 */
import { DateTime, Option } from "effect"
import { isUtf8 } from "node:buffer"
import type { OutputChunk } from "../../schema/Process.ts"
import { addAscii, reserve } from "./ByteBatch.ts"
import type { ByteBatch } from "./ByteBatch.ts"

export type OutputStream = OutputChunk["stream"]

/** The output of one stream on its way into records. */
export interface Encoder {
  /** Adds records for the next piece of output. */
  readonly add: (batch: ByteBatch, time: string, bytes: Uint8Array) => void
  /** Adds what is held back. The encoder can go on. */
  readonly end: (batch: ByteBatch, time: string) => void
  /** How many bytes are held back. */
  readonly held: () => number
}

const cutUpTo = 4096
const newline = 10
const quote = 34
const backslash = 92
const letterU = 117

/** The letter that follows the backslash, for every byte that JSON escapes. */
const escapes = new Uint8Array(backslash + 1).fill(letterU, 0, 32)
for (const [byte, letter] of Object.entries({ 8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\" })) {
  escapes[Number(byte)] = letter.charCodeAt(0)
}
const hex = Buffer.from("0123456789abcdef")

/** Copies UTF-8 text into a JSON string. Byte by byte: this is what logging costs, and JSON.stringify would need the text as a string, twice. */
const addEscaped = (batch: ByteBatch, text: Uint8Array): void => {
  const { bytes } = batch
  let at = batch.length
  for (let i = 0; i < text.length; i++) {
    const byte = text[i]
    if (byte > backslash || (byte > 31 && byte !== quote && byte !== backslash)) {
      bytes[at++] = byte
      continue
    }
    const letter = escapes[byte]
    bytes[at++] = backslash
    bytes[at++] = letter
    if (letter === letterU) {
      bytes[at++] = 48
      bytes[at++] = 48
      bytes[at++] = hex[byte >> 4]
      bytes[at++] = hex[byte & 15]
    }
  }
  batch.length = at
}

const addRecord = (batch: ByteBatch, time: string, stream: OutputStream, output: Buffer): void => {
  const partial = output[output.length - 1] === newline ? "" : ',"p":true'
  const text = isUtf8(output) && !output.includes(0)
  // The longest: text of control characters, each of them written with six.
  reserve(batch, output.length * (text ? 6 : 2) + 128)
  addAscii(batch, `{"t":"${time}","s":"${stream}"${partial},"${text ? "d" : "b"}":"`)
  if (text) addEscaped(batch, output)
  else addAscii(batch, output.toString("base64"))
  addAscii(batch, '"}\n')
}

/** How many bytes at the end begin a character that goes on behind it. */
const torn = (bytes: Uint8Array): number => {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]
    if (byte < 0x80) return 0
    if (byte >= 0xc0) return (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) > back ? back : 0
  }
  return 0
}

/** An encoder for one stream; `cut` is the longest output that it cuts into lines. */
export const makeEncoder = (stream: OutputStream, cut = cutUpTo): Encoder => {
  let held: Uint8Array = new Uint8Array(0)
  return {
    add: (batch, time, bytes) => {
      const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const all = held.length === 0 ? view : Buffer.concat([held, view])
      const length = all.length - torn(all)
      held = Uint8Array.prototype.slice.call(all, length)
      for (let from = 0, to = length; from < length; from = to, to = length) {
        if (length <= cut) to = Math.min(all.indexOf(newline, from) + 1 || length, length)
        addRecord(batch, time, stream, all.subarray(from, to))
      }
    },
    end: (batch, time) => {
      if (held.length > 0) addRecord(batch, time, stream, Buffer.from(held))
      held = new Uint8Array(0)
    },
    held: () => held.length
  }
}

/** Adds the record that stands for output that could not be kept. */
export const addLost = (batch: ByteBatch, time: string, stream: OutputStream, bytes: number): void => {
  reserve(batch, 128)
  addAscii(batch, `{"t":"${time}","s":"${stream}","lost":${bytes}}\n`)
}

/** How output is written to a file. */
export interface LogFormat {
  readonly encoder: (stream: OutputStream) => Encoder
  readonly addLost: (batch: ByteBatch, time: string, stream: OutputStream, bytes: number) => void
  /** Whether the file is made of lines, so that one which a dead writer left unfinished has to be ended. */
  readonly lines: boolean
}

/** One JSON object a line, as above. */
export const structured: LogFormat = { encoder: (stream) => makeEncoder(stream), addLost, lines: true }

/** The same with a record for what one read gave: a terminal gives no more than 4 KiB at a time, and often not lines but drawings. */
export const structuredTerminal: LogFormat = { ...structured, encoder: (stream) => makeEncoder(stream, 0) }

/** Nothing but the output itself, of both streams; what is lost leaves no trace. */
export const plain: LogFormat = {
  encoder: () => ({
    add: (batch, _time, bytes) => {
      reserve(batch, bytes.length)
      batch.bytes.set(bytes, batch.length)
      batch.length += bytes.length
    },
    end: () => {},
    held: () => 0
  }),
  addLost: () => {},
  lines: false
}

const parse = (line: string): unknown => {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}

const output = (record: object): Uint8Array | null => {
  if ("d" in record && typeof record.d === "string") return new TextEncoder().encode(record.d)
  if ("b" in record && typeof record.b === "string") return new Uint8Array(Buffer.from(record.b, "base64"))
  if ("lost" in record && typeof record.lost === "number") {
    return new TextEncoder().encode(`[berth: ${record.lost} bytes of output were lost, the log could not be written]\n`)
  }
  return null
}

/** How many bytes of which stream a line stands for, `null` where it is not a record. */
export const sizeOf = (line: string): { readonly stream: OutputStream; readonly bytes: number } | null => {
  const record = parse(line)
  if (typeof record !== "object" || record === null) return null
  if (!("s" in record && "t" in record) || (record.s !== "stdout" && record.s !== "stderr")) return null
  if ("lost" in record && typeof record.lost === "number") return { stream: record.s, bytes: record.lost }
  const bytes = output(record)
  return bytes === null ? null : { stream: record.s, bytes: bytes.length }
}

/**
 * The output that a line holds, `null` where the line is not a record. Lost output reads as a line that says so. By hand and not through a schema,
 * which would cost more than all the rest of reading a log.
 */
export const decode = (line: string): OutputChunk | null => {
  const record = parse(line)
  if (typeof record !== "object" || record === null) return null
  if (!("s" in record && "t" in record) || (record.s !== "stdout" && record.s !== "stderr")) return null
  const at = typeof record.t === "string" ? DateTime.make(record.t) : Option.none()
  const bytes = output(record)
  return Option.isNone(at) || bytes === null ? null : { stream: record.s, at: at.value, bytes }
}
