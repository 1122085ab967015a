/**
 * Output cut into lines. Chunks of the two streams may come in any order and end anywhere, also within a character: each stream has a rest of its own,
 * and only whole lines are passed on. A line without end is passed on in parts, so that no output can fill the memory.
 */
import { DateTime, Stream } from "effect"
import type { Schema } from "effect"
import { Base64 } from "effect/encoding"
import type { OutputChunk } from "../../schema/Process.ts"
import * as Json from "./Json.ts"

type Name = OutputChunk["stream"]

/** A line without its newline. `at` is when its beginning was written; `partial`: no newline follows; `continued`: it goes on with a partial one. */
export interface Line {
  readonly stream: Name
  readonly at: DateTime.Utc
  readonly bytes: Uint8Array
  readonly partial: boolean
  readonly continued: boolean
}

interface Rest {
  readonly at: DateTime.Utc
  readonly bytes: Uint8Array
  readonly continued: boolean
}

/** What has no newline yet, by stream. */
export type Rests = { readonly [S in Name]?: Rest }

/** Most bytes of one line. */
export const maxLineBytes = 1_048_576

const newline = 0x0a

const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** The lines that a chunk completes, and what is left. */
export const split = (rests: Rests, chunk: OutputChunk): readonly [Rests, ReadonlyArray<Line>] => {
  const { at, bytes, stream } = chunk
  const lines: Array<Line> = []
  let rest: Rest | undefined = rests[stream]
  let begin = 0
  const cut = (end: number, partial: boolean) => {
    const piece = bytes.subarray(begin, end)
    const { at: since, bytes: before, continued } = rest ?? { at, bytes: undefined, continued: false }
    lines.push({ stream, at: since, bytes: before === undefined ? piece : concat([before, piece]), partial, continued })
  }
  for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, begin)) {
    cut(end, false)
    rest = undefined
    begin = end + 1
  }
  const left = bytes.length - begin
  if (left === 0) return [{ ...rests, [stream]: rest }, lines]
  if ((rest?.bytes.length ?? 0) + left >= maxLineBytes) {
    cut(bytes.length, true)
    return [{ ...rests, [stream]: { at, bytes: new Uint8Array(0), continued: true } }, lines]
  }
  const text = concat([...(rest === undefined ? [] : [rest.bytes]), bytes.subarray(begin)])
  return [{ ...rests, [stream]: { at: rest?.at ?? at, bytes: text, continued: rest?.continued ?? false } }, lines]
}

/** What is left when nothing more comes. */
export const flush = (rests: Rests): ReadonlyArray<Line> =>
  (["stdout", "stderr"] as const).flatMap((stream) => {
    const rest = rests[stream]
    return rest === undefined || rest.bytes.length === 0 ? [] : [{ stream, ...rest, partial: true }]
  })

/** Lines, those of one chunk together. */
export const fromChunks = <E, R>(chunks: Stream.Stream<OutputChunk, E, R>): Stream.Stream<ReadonlyArray<Line>, E, R> =>
  chunks.pipe(
    Stream.mapAccum(
      (): Rests => ({}),
      (rests, chunk) => {
        const [next, lines] = split(rests, chunk)
        return [next, lines.length === 0 ? [] : [lines]]
      },
      { onHalt: (rests) => flush(rests).map((line) => [line]) }
    )
  )

const encoder = new TextEncoder()

/** The bytes to print: the line as it was, with its time before it where that is wanted. */
export const render = (lines: ReadonlyArray<Line>, timestamps: boolean): Uint8Array =>
  concat(
    lines.flatMap((line) => [
      ...(timestamps && !line.continued ? [encoder.encode(`${DateTime.formatIso(line.at)} `)] : []),
      line.bytes,
      ...(line.partial ? [] : [Uint8Array.of(newline)])
    ])
  )

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const content = (bytes: Uint8Array): { readonly text: string } | { readonly base64: string } => {
  try {
    return { text: decoder.decode(bytes) }
  } catch {
    return { base64: Base64.encode(bytes) }
  }
}

/** One document a line: `{time, stream, partial, text}`, or `base64` for what is not text. */
export const toJson = (line: Line): Schema.Json => ({
  time: DateTime.formatIso(line.at),
  stream: line.stream,
  partial: line.partial,
  ...content(line.bytes)
})

/** The same as JSON lines. */
export const documents = (lines: ReadonlyArray<Line>): string =>
  lines.map((line) => Json.document(toJson(line))).join("")
