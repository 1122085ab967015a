/**
 * One reader of a structured log: it goes from file to file as the log is rotated, with a descriptor and a position of its own, and hears of new output from
 * the kernel. It follows files, not names, so that a log that is deleted meanwhile is read to its end. A reader that is so slow that a whole file was removed
 * before its turn is told so on standard error. What is not a record is skipped.
 */
import { Array as Arr, Cause, DateTime, Effect, Latch } from "effect"
import type { Pull, Scope } from "effect"
import { closeSync, fstatSync, read, watch } from "node:fs"
import type { FSWatcher } from "node:fs"
import type { Unavailable } from "../../schema/Errors.ts"
import type { OutputChunk } from "../../schema/Process.ts"
import type { ReadOptions } from "../../services/OutputLog.ts"
import { unavailable } from "./DiskFailure.ts"
import * as LogBlocks from "./LogBlocks.ts"
import * as LogFiles from "./LogFiles.ts"
import * as LogStart from "./LogStart.ts"

/** How often to look where the kernel tells nothing: for a log that is not there, or without a watch. */
const lookEvery = "50 millis"
/** And how often in any case. */
const atLeastEvery = "5 seconds"

/** Bytes that are read at once while there is much: each read is a turn to another thread. */
const largeBlock = 256 * 1024
const gap = "[berth: output was removed by the rotation of the log before it was read]\n"

const attempt = <A>(action: string, run: () => A): Effect.Effect<A, Unavailable> =>
  Effect.try({ try: run, catch: (error) => unavailable("log", action, error) })

/** Never interrupted: the descriptor and the buffer must stay ours until the read is over. */
export const readBlock = (fd: number, block: Buffer, length: number, position: number) =>
  Effect.callback<number, Unavailable>((resume) => {
    read(fd, block, 0, length, position, (error, count) =>
      resume(error === null ? Effect.succeed(count) : Effect.fail(unavailable("log", "read the log", error)))
    )
  }).pipe(Effect.uninterruptible)

type Output = Pull.Pull<Arr.NonEmptyReadonlyArray<OutputChunk>, Unavailable>

/** The file that a reader is at. At most one, with its watch; closed with the scope. */
const makePlace = Effect.gen(function* () {
  let file: LogFiles.LogFile | null = null
  let watcher: FSWatcher | null = null
  const leave = () => {
    watcher?.close()
    watcher = null
    if (file !== null) closeSync(file.fd)
    file = null
  }
  yield* Effect.addFinalizer(() => Effect.sync(leave))
  return {
    enter: (next: LogFiles.LogFile) => {
      leave()
      file = next
    },
    /** Calls at every change of the file. */
    watch: (onChange: () => void) => {
      if (file === null || watcher !== null) return
      try {
        // By its descriptor, as the file may have no name any more.
        watcher = watch(`/proc/self/fd/${file.fd}`, onChange).on("error", onChange)
      } catch {
        // The kernel has none to give: there is the clock.
      }
    },
    isWatched: () => watcher !== null
  }
})

/** The pieces of a log; ends at once where there is none in the end. */
export const make = (path: string, options: ReadOptions): Effect.Effect<Output, Unavailable, Scope.Scope> =>
  Effect.map(prepare(path, options), ({ pull }) => pull)

const prepare = (
  path: string,
  options: ReadOptions
): Effect.Effect<{ readonly pull: Output }, Unavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const { ended, live = false, since = null, stream = null, tail = null } = options
    const place = yield* makePlace
    const news = Latch.makeUnsafe()
    let over = ended === null
    const finish = Effect.sync(() => {
      over = true
      news.openUnsafe()
    })
    if (ended !== null) yield* Effect.forkScoped(Effect.ensuring(ended, finish), { startImmediately: true })

    /** Where to begin, as soon as there is a log. */
    const begin: Effect.Effect<LogStart.Start | null, Unavailable> = Effect.gen(function* () {
      while (true) {
        const last = over
        const start = live
          ? yield* LogStart.atEnd(path)
          : tail !== null
            ? yield* LogStart.ofTail(path, tail, stream)
            : yield* LogStart.since(path, since)
        if (start !== null || last) return start
        yield* Effect.timeoutOption(news.await, lookEvery)
      }
    })
    const start = yield* Effect.uninterruptible(
      Effect.tap(begin, (start) => Effect.sync(() => start !== null && place.enter(start.file)))
    )
    if (start === null) return { pull: Cause.done() }

    const selection = { stream, since: since === null ? null : DateTime.toEpochMillis(since), skip: start.skip }
    let block = Buffer.allocUnsafeSlow(LogStart.blockSize)
    let { file, position } = start
    let blocks = LogBlocks.make(selection)
    let successor: LogFiles.LogFile | null = null
    yield* Effect.addFinalizer(() => Effect.sync(() => successor !== null && closeSync(successor.fd)))
    let end = ended === null ? start.end : null

    /** For the next read, by what the last one gave. */
    const fitBlock = (count: number) => {
      const size = count === block.length ? largeBlock : count < LogStart.blockSize ? LogStart.blockSize : block.length
      if (block.length !== size) block = Buffer.allocUnsafeSlow(size)
    }
    /** Where the log ends is settled once: somebody may print on, and for ever. */
    const settleEnd = (): LogStart.LogEnd => {
      const last = LogFiles.newest(path)
      const own = { number: file.number, size: fstatSync(file.fd).size }
      if (last === null) return own
      try {
        return last.number < file.number || (last.number === file.number && last.inode !== file.inode)
          ? own
          : { number: last.number, size: fstatSync(last.fd).size }
      } finally {
        closeSync(last.fd)
      }
    }
    // Before the first read of a file, so that no change falls between the two.
    const listen = () => {
      if (!over) place.watch(() => news.openUnsafe())
    }
    const wait = Effect.suspend(() => Effect.timeoutOption(news.await, place.isWatched() ? atLeastEvery : lookEvery))
    const goOn = (next: LogFiles.LogFile) => {
      const lost = next.number > file.number + 1
      successor = null
      file = next
      position = 0
      blocks = LogBlocks.make(selection)
      place.enter(next)
      listen()
      return lost
    }
    const missed: Output = Effect.map(DateTime.now, (at) => [
      { stream: "stderr", at, bytes: new TextEncoder().encode(gap) }
    ])

    /** At the end of a file: the next, the end, or time to wait. */
    const turn: Output = Effect.suspend(() => {
      if (end !== null && file.number >= end.number) return Cause.done()
      if (successor !== null) return goOn(successor) && stream !== "stdout" ? missed : pull
      return Effect.flatMap(
        Effect.uninterruptible(
          attempt("read the log", () => {
            successor = LogFiles.next(path, file)
          })
        ),
        (): Output => {
          // What was written before the next file was there is still to be read from this one.
          if (successor !== null) return pull
          if (end !== null) return Cause.done()
          return Effect.andThen(wait, pull)
        }
      )
    })

    const pull: Output = Effect.suspend(() => {
      const ready = blocks.next()
      if (Arr.isReadonlyArrayNonEmpty(ready)) return Effect.succeed(ready)
      news.closeUnsafe()
      return Effect.flatMap(
        end === null && over ? attempt("read the log", settleEnd) : Effect.succeed(end),
        (settled): Output => {
          end = settled
          if (end !== null && file.number > end.number) return Cause.done()
          const length =
            end !== null && file.number === end.number
              ? Math.max(0, Math.min(block.length, end.size - position))
              : block.length
          return Effect.flatMap(readBlock(file.fd, block, length, position), (count): Output => {
            position += count
            if (count > 0) blocks.add(block.subarray(0, count))
            else if (end !== null || successor !== null) blocks.end()
            fitBlock(count)
            const found = blocks.next()
            if (Arr.isReadonlyArrayNonEmpty(found)) return Effect.succeed(found)
            return count > 0 ? pull : turn
          })
        }
      )
    })

    listen()
    if (!live) return { pull }
    let told = false
    // Begins at the end, and says so with an empty chunk.
    const announced = Effect.suspend((): Output => {
      if (told) return pull
      told = true
      return Effect.map(DateTime.now, (at) => [{ stream: "stdout", at, bytes: new Uint8Array(0) }])
    })
    return { pull: announced }
  })
