/**
 * Finds where the newest lines of a log begin, by looking at it from its end. Each stream has lines of its own, so each has a place of its own: the answer is
 * how many bytes of each stream to leave out behind the piece of output that was looked at last. Pure, and so for every kind of log the same.
 */
import type { OutputChunk } from "../schema/Process.ts"

type Stream = OutputChunk["stream"]
type Piece = Pick<OutputChunk, "bytes" | "stream">

export interface OutputTail {
  /** Takes the piece before the one that was taken last; true when nothing before it is needed. */
  readonly add: (piece: Piece) => boolean
  /** Bytes of each stream to leave out, counted from the piece that was taken last. */
  readonly skip: () => Record<Stream, number>
}

const newline = 10
/** How far to look for the beginning of a line when there are enough ends of lines, in bytes. */
const farthest = 1024 * 1024

/** For the newest `count` lines, of which there is at least one; a line that has no end yet counts too. */
export const make = (count: number): OutputTail => {
  const seen = { stdout: 0, stderr: 0 }
  const wanted = { stdout: 0, stderr: 0 }
  /** Whether a line is wanted of which the beginning was not met yet. */
  const open = { stdout: false, stderr: false }
  let found = 0
  let beyond = 0

  const take = (stream: Stream) => {
    if (found >= count) return
    found++
    open[stream] = true
  }
  return {
    add: ({ bytes, stream }) => {
      if (found >= count) beyond += bytes.length
      if (bytes.length > 0 && seen[stream] === 0 && bytes[bytes.length - 1] !== newline) take(stream)
      for (let at = bytes.lastIndexOf(newline); at !== -1; at = at === 0 ? -1 : bytes.lastIndexOf(newline, at - 1)) {
        if (open[stream]) {
          wanted[stream] = seen[stream] + bytes.length - at - 1
          open[stream] = false
        }
        if (found >= count) break
        take(stream)
      }
      seen[stream] += bytes.length
      return found >= count && (beyond > farthest || (!open.stdout && !open.stderr))
    },
    skip: () => ({
      stdout: open.stdout ? 0 : seen.stdout - wanted.stdout,
      stderr: open.stderr ? 0 : seen.stderr - wanted.stderr
    })
  }
}

/** What is left of pieces behind the bytes to leave out; `skip` is used up. */
export const leaveOut = (skip: Record<Stream, number>, chunk: OutputChunk): OutputChunk | null => {
  const drop = Math.min(skip[chunk.stream], chunk.bytes.length)
  if (drop === 0) return chunk
  skip[chunk.stream] -= drop
  return drop === chunk.bytes.length ? null : { ...chunk, bytes: chunk.bytes.subarray(drop) }
}
