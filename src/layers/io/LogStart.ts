/**
 * Where a reader of a structured log begins: at its oldest output, at its end, at its newest lines, or at a time. Only what has to be looked at for that is read:
 * of the newest lines no more than they are long, of a time a few blocks of one file.
 */
import { DateTime, Effect } from "effect"
import { closeSync, fstatSync, readSync } from "node:fs"
import type { Unavailable } from "../../schema/Errors.ts"
import type { OutputChunk } from "../../schema/Process.ts"
import * as OutputTail from "../../services/OutputTail.ts"
import { unavailable } from "./DiskFailure.ts"
import * as LogFiles from "./LogFiles.ts"
import { decode } from "./LogFormat.ts"

/** Bytes that are read at once. */
export const blockSize = 64 * 1024
/** More than the longest record. */
const longest = 512 * 1024
const newline = 10

/** A place between two records. The file is open, and the caller's. */
export interface Start {
  readonly file: LogFiles.LogFile
  readonly position: number
  /** Bytes of each stream to leave out from there on. */
  readonly skip: Record<OutputChunk["stream"], number>
  /** Where the log ended when its newest lines were counted. */
  readonly end: LogEnd | null
}

/** The number of a file, and how much of it there is to read, in bytes. */
export interface LogEnd {
  readonly number: number
  readonly size: number
}

const at = (file: LogFiles.LogFile, position: number): Start => ({
  file,
  position,
  skip: { stdout: 0, stderr: 0 },
  end: null
})

const attempt = <A>(run: () => A): Effect.Effect<A, Unavailable> =>
  Effect.try({ try: run, catch: (error) => unavailable("log", "read the log", error) })

const readAt = (fd: number, position: number, length: number): Buffer => {
  const block = Buffer.alloc(length)
  return block.subarray(0, readSync(fd, block, 0, length, position))
}

/** Behind the last whole record: a piece of one may be there already, and its rest would be no record. */
const endOfRecords = (fd: number): number => {
  const { size } = fstatSync(fd)
  const from = Math.max(0, size - blockSize)
  const last = readAt(fd, from, size - from).lastIndexOf(newline)
  return last === -1 ? size : from + last + 1
}

/** At the end of a log; `null` where there is none. */
export const atEnd = (path: string): Effect.Effect<Start | null, Unavailable> =>
  attempt(() => {
    const file = LogFiles.newest(path)
    return file === null ? null : at(file, endOfRecords(file.fd))
  })

/** Takes the records of a file from its last to its first until `take` has enough; where that one begins, `null` where there are too few. */
const backwards = Effect.fnUntraced(function* (fd: number, end: number, take: (chunk: OutputChunk) => boolean) {
  let begin = end
  let rest: Buffer = Buffer.alloc(0)
  while (begin > 0) {
    const from = Math.max(0, begin - blockSize)
    const start = begin
    const block = yield* attempt(() => readAt(fd, from, start - from))
    // A line that is longer than any record is none: of its pieces nothing is kept.
    const buffer = rest.length > longest ? block : Buffer.concat([block, rest])
    begin = from
    let to = buffer.length
    while (to > 0) {
      const cut = to < 2 ? -1 : buffer.lastIndexOf(newline, to - 2)
      if (cut === -1 && from > 0) break
      const chunk = decode(buffer.toString("utf8", cut + 1, to))
      if (chunk !== null && take(chunk)) return from + cut + 1
      to = cut + 1
    }
    rest = Buffer.from(buffer.subarray(0, to))
    // The event loop is for others too.
    yield* Effect.yieldNow
  }
  return null
})

/** Where the newest `count` lines begin, or those of one stream. */
export const ofTail = Effect.fnUntraced(function* (
  path: string,
  count: number,
  stream: OutputChunk["stream"] | null
): Effect.fn.Return<Start | null, Unavailable> {
  if (count === 0) {
    const start = yield* atEnd(path)
    return start === null ? null : { ...start, end: { number: start.file.number, size: start.position } }
  }
  const counter = OutputTail.make(count)
  const take = (chunk: OutputChunk) => (stream === null || chunk.stream === stream) && counter.add(chunk)
  let file = yield* attempt(() => LogFiles.newest(path))
  let end: LogEnd | null = null
  while (file !== null) {
    const current = file
    const close = Effect.sync(() => closeSync(current.fd))
    const size = yield* Effect.onError(
      attempt(() => endOfRecords(current.fd)),
      () => close
    )
    end ??= { number: current.number, size }
    const position = yield* Effect.onError(backwards(current.fd, size, take), () => close)
    if (position !== null) return { file, position, skip: counter.skip(), end }
    const before = yield* Effect.onError(
      attempt(() => LogFiles.previous(path, current.number)),
      () => close
    )
    if (before === null) return { file, position: 0, skip: counter.skip(), end }
    yield* close
    file = before
  }
  return null
})

/** The first record from a place on that begins behind it, with its time; `null` where there is none. */
const recordAfter = (fd: number, place: number, size: number) => {
  for (let length = blockSize; ; length *= 2) {
    const block = readAt(fd, place, Math.min(length, size - place))
    for (let from = place === 0 ? 0 : block.indexOf(newline) + 1; ;) {
      const to = block.indexOf(newline, from)
      if ((from === 0 && place > 0) || to === -1) break
      const chunk = decode(block.toString("utf8", from, to))
      if (chunk !== null) return { position: place + from, at: DateTime.toEpochMillis(chunk.at) }
      from = to + 1
    }
    if (place + block.length >= size || length > 2 * longest) return null
  }
}

/** A place before the first record of that time, and not far before it, as records are in the order of their times. */
const search = (fd: number, time: number): number => {
  const { size } = fstatSync(fd)
  let [low, high] = [0, size]
  while (high - low > blockSize) {
    const middle = Math.floor((low + high) / 2)
    const found = recordAfter(fd, middle, size)
    if (found === null || found.at >= time) high = middle
    else low = found.position
  }
  return low
}

/** At the oldest output, or the oldest of that time or later. */
export const since = (path: string, time: DateTime.Utc | null): Effect.Effect<Start | null, Unavailable> =>
  attempt(() => {
    let file = LogFiles.oldest(path)
    if (file === null || time === null) return file === null ? null : at(file, 0)
    const from = DateTime.toEpochMillis(time)
    // A file that was last written to before has nothing for us.
    while (fstatSync(file.fd).mtimeMs < from) {
      const after = LogFiles.next(path, file)
      if (after === null) break
      closeSync(file.fd)
      file = after
    }
    return at(file, search(file.fd, from))
  })
