/**
 * The output that is in the blocks of a structured log, in pieces of a size that is worth passing on. Records as berth writes them are read from their bytes, and their
 * output goes into one buffer, as most of a log is lines of a hundred characters, of which each costs more than what is in it; any others are read as the
 * JSON that they are, and what is no record is skipped. It reads no file, and does not know of rotation.
 */
import { DateTime, Option } from "effect"
import type { OutputChunk } from "../../schema/Process.ts"
import { reserve } from "./ByteBatch.ts"
import type { ByteBatch } from "./ByteBatch.ts"
import { decode } from "./LogFormat.ts"
import type { OutputStream } from "./LogFormat.ts"

/** Which output is wanted. */
export interface Selection {
  /** Only that of one stream; `null` is both. */
  readonly stream: OutputStream | null
  /** Only what was read at this time or later, in milliseconds. */
  readonly since: number | null
  /** Bytes of each stream to leave out; they are used up. */
  readonly skip: Record<OutputStream, number>
}

export interface LogBlocks {
  /** Takes the next block, which has to stay as it is until `next` gives nothing more. */
  readonly add: (block: Buffer) => void
  /** No more comes: what has not come to a newline is taken for a line. */
  readonly end: () => void
  /** The next pieces of output; none where nothing is left but the beginning of a line. */
  readonly next: () => ReadonlyArray<OutputChunk>
}

/** Bytes of output that are handed on at once, as soon as there are so many: what is larger costs all who pass it on more. */
const enough = 64 * 1024
/** So many pieces at once come one by one; of more, neighbours of one stream and one millisecond go together. */
const few = 16
/** More than the longest record, 64 KiB of control characters, six bytes each: what is longer is none, and must not fill the memory. */
const longest = 512 * 1024
/** From so many bytes on the parser of the platform is faster than a loop. */
const long = 512
const [newline, quote, backslash, brace] = [10, 34, 92, 125]

const headPattern = /^\{"t":"([^"\\]{1,40})","s":"(stdout|stderr)"(?:,"p":true)?,"([db])":"/
const longestHead = 96
/** More than most records hold. */
const slack = 8 * 1024

const nothing = Buffer.alloc(0)

/** The byte that stands behind a backslash for every letter that JSON has there but `u`; 0 for any other. */
const unescaped = new Uint8Array(256)
for (const [letter, byte] of Object.entries({ b: 8, t: 9, n: 10, f: 12, r: 13, '"': 34, "/": 47, "\\": 92 })) {
  unescaped[letter.charCodeAt(0)] = byte
}

/** How a record begins: neighbours often begin alike, to the byte. */
interface Head {
  readonly bytes: Uint8Array
  readonly stream: OutputStream
  readonly at: DateTime.Utc
  readonly isText: boolean
}

interface Piece {
  readonly stream: OutputStream
  readonly at: DateTime.Utc
  readonly from: number
  to: number
}

const readHead = (buffer: Buffer, from: number, to: number): Head | null => {
  const found = headPattern.exec(buffer.toString("latin1", from, Math.min(to, from + longestHead)))
  if (found === null) return null
  const [all, time = "", stream, kind] = found
  const at = DateTime.make(time)
  if (Option.isNone(at)) return null
  const bytes = Uint8Array.prototype.slice.call(buffer, from, from + all.length)
  return { bytes, stream: stream === "stdout" ? "stdout" : "stderr", at: at.value, isText: kind === "d" }
}

const beginsWith = (buffer: Buffer, from: number, { bytes }: Head): boolean => {
  // From the end, where the times of neighbours differ.
  for (let at = bytes.length - 1; at >= 0; at--) if (buffer[from + at] !== bytes[at]) return false
  return true
}

/** Adds what is in a short JSON string; false where it needs the parser. */
const addShort = (out: ByteBatch, buffer: Buffer, from: number, to: number): boolean => {
  const { bytes } = out
  let at = out.length
  for (let i = from; i < to; i++) {
    let byte = buffer[i]
    if (byte === backslash) {
      byte = unescaped[buffer[++i]]
      if (byte === 0 || i === to) return false
    } else if (byte < 32 || byte === quote) return false
    bytes[at++] = byte
  }
  out.length = at
  return true
}

/** The same for a long one, by the parser. */
const addLong = (out: ByteBatch, buffer: Buffer, from: number, to: number): boolean => {
  try {
    const text: unknown = JSON.parse(buffer.toString("utf8", from - 1, to + 1))
    if (typeof text !== "string") return false
    reserve(out, Buffer.byteLength(text))
    out.length += out.bytes.write(text, out.length)
    return true
  } catch {
    return false
  }
}

const addBase64 = (out: ByteBatch, buffer: Buffer, from: number, to: number): boolean => {
  out.length += out.bytes.write(buffer.toString("latin1", from, to), out.length, "base64")
  return true
}

/** A reader of blocks from the beginning of a line on. */
export const make = ({ since, skip, stream }: Selection): LogBlocks => {
  let block: Buffer = Buffer.alloc(0)
  let position = 0
  let begun: Array<Buffer> = []
  let begunSize = 0
  let ended = false
  let head: Head | null = null

  /** The output of a line, as a piece of `out`; `null` where it is no record. */
  const read = (out: ByteBatch, buffer: Buffer, from: number, to: number): Piece | null => {
    if (head === null || !beginsWith(buffer, from, head)) head = readHead(buffer, from, to)
    const before = out.length
    if (head !== null) {
      const [first, last] = [from + head.bytes.length, to - 2]
      if (last >= first && buffer[last] === quote && buffer[last + 1] === brace) {
        reserve(out, last - first)
        const add = !head.isText ? addBase64 : last - first < long ? addShort : addLong
        if (add(out, buffer, first, last)) return { stream: head.stream, at: head.at, from: before, to: out.length }
      }
    }
    const found = decode(buffer.toString("utf8", from, to))
    if (found === null) return null
    reserve(out, found.bytes.length)
    out.bytes.set(found.bytes, before)
    out.length += found.bytes.length
    return { stream: found.stream, at: found.at, from: before, to: out.length }
  }

  const wanted = (piece: Piece): Piece | null => {
    if (stream !== null && piece.stream !== stream) return null
    const length = piece.to - piece.from
    const drop = Math.min(skip[piece.stream], length)
    skip[piece.stream] -= drop
    if (drop > 0 && drop === length) return null
    if (since !== null && piece.at.epochMilliseconds < since) return null
    return drop === 0 ? piece : { ...piece, from: piece.from + drop }
  }

  /** The next line: where it is, and `null` where there is none. */
  const nextLine = (): { readonly buffer: Buffer; readonly from: number; readonly to: number } | null => {
    const from = position
    const to = block.indexOf(newline, from)
    position = to === -1 ? block.length : to + 1
    const isWhole = to !== -1
    if (!isWhole && from < block.length) {
      begunSize += block.length - from
      if (begunSize > longest) begun = []
      else begun.push(Buffer.from(block.subarray(from)))
    }
    if (!isWhole && !ended) return null
    if (begunSize === 0) return isWhole ? { buffer: block, from, to } : null
    const end = isWhole ? block.subarray(from, to) : block.subarray(block.length)
    const buffer = begunSize + end.length > longest ? Buffer.alloc(0) : Buffer.concat([...begun, end])
    begun = []
    begunSize = 0
    return { buffer, from: 0, to: buffer.length }
  }

  const together = (pieces: ReadonlyArray<Piece>): ReadonlyArray<Piece> => {
    if (pieces.length <= few) return pieces
    const merged: Array<Piece> = []
    for (const piece of pieces) {
      const last = merged.at(-1)
      const goesOn =
        last?.to === piece.from &&
        last.stream === piece.stream &&
        last.at.epochMilliseconds === piece.at.epochMilliseconds
      if (goesOn) last.to = piece.to
      else merged.push(piece)
    }
    return merged
  }

  return {
    add: (next) => {
      block = next
      position = 0
    },
    end: () => void (ended = true),
    next: () => {
      // One for each call, made when there is something for it: the pieces are parts of it.
      const out: ByteBatch = { bytes: nothing, length: 0 }
      const pieces: Array<Piece> = []
      while (out.length < enough) {
        const line = nextLine()
        if (line === null) break
        if (out.bytes === nothing) {
          const size = line.to - line.from + block.length - position
          out.bytes = Buffer.allocUnsafeSlow(Math.min(size, enough + slack))
        }
        const before = out.length
        const piece = read(out, line.buffer, line.from, line.to)
        const found = piece === null ? null : wanted(piece)
        if (found === null) out.length = before
        else pieces.push(found)
      }
      const { buffer } = out.bytes
      return together(pieces).map(({ at, from, stream, to }) => ({
        stream,
        at,
        bytes: new Uint8Array(buffer, from, to - from)
      }))
    }
  }
}
