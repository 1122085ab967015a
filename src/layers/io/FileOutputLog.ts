/**
 * The structured logs as files below the root, on the side that reads them: `logs/<namespace>/<container>/init.log`, and `exec-<id>.log` beside it. The
 * writer may be another process; a reader has a descriptor and a position of its own and hears of new output from the kernel. It follows a file, not a
 * name, so that a log that is deleted meanwhile is read to its end. What is not a record is skipped.
 */
import { Array as Arr, Cause, DateTime, Effect, Latch, Layer, Option, Stream } from "effect"
import type { Pull, Scope } from "effect"
import { closeSync, constants, fstatSync, mkdirSync, openSync, read, readSync, rmdirSync, watch } from "node:fs"
import { rm } from "node:fs/promises"
import { join } from "node:path"
import type { Unavailable } from "../../schema/Errors.ts"
import { processKey } from "../../schema/Ids.ts"
import type { ContainerId, Namespace, ProcessRef } from "../../schema/Ids.ts"
import type { OutputChunk } from "../../schema/Process.ts"
import { OutputLog } from "../../services/OutputLog.ts"
import { codeOf } from "../posix/Libc.ts"
import { unavailable } from "./DiskFailure.ts"
import * as LineSplitter from "./LineSplitter.ts"
import { decode } from "./LogFormat.ts"

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants
const blockSize = 64 * 1024
/** How often to look where the kernel tells nothing: for a log that is not there, or without a watch. */
const lookEvery = "50 millis"
/** And how often in any case. */
const atLeastEvery = "5 seconds"

const failure = (action: string) => (error: unknown) => unavailable("log", action, error)

const openIfThere = (path: string): number | null => {
  try {
    return openSync(path, O_RDONLY | O_NOFOLLOW)
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null
    throw error
  }
}

const openLog = (path: string): Effect.Effect<number | null, Unavailable, Scope.Scope> =>
  Effect.acquireRelease(Effect.try({ try: () => openIfThere(path), catch: failure("open the log") }), (fd) =>
    Effect.sync(() => (fd === null ? undefined : closeSync(fd)))
  )

/** Never interrupted: the descriptor and the buffer must stay ours until the read is over. */
const readBlock = (fd: number, block: Buffer, length: number, position: number) =>
  Effect.callback<number, Unavailable>((resume) => {
    read(fd, block, 0, length, position, (error, count) =>
      resume(error === null ? Effect.succeed(count) : Effect.fail(failure("read the log")(error)))
    )
  }).pipe(Effect.uninterruptible)

/** Calls at every change of an open file; false where the kernel has no watch to give. */
const watchFile = (fd: number, onChange: () => void): Effect.Effect<boolean, never, Scope.Scope> =>
  Effect.acquireRelease(
    // By its descriptor, as the file may have no name any more.
    Effect.option(Effect.try(() => watch(`/proc/self/fd/${fd}`, onChange).on("error", onChange))),
    (watcher) => Effect.sync(() => Option.map(watcher, (watcher) => watcher.close()))
  ).pipe(Effect.map(Option.isSome))

interface Reader {
  readonly fd: number
  /** True as soon as nobody waits for more. */
  readonly isOver: () => boolean
  /** Call before a read, so that `news` tells only of what came after. */
  readonly forgetNews: () => void
  /** Completes when there may be more to read. */
  readonly news: Effect.Effect<unknown>
}

/** Opens a log as soon as it is there; `null` where it is not there in the end. */
const openReader = (path: string, ended: Effect.Effect<void> | null) =>
  Effect.gen(function* () {
    const news = Latch.makeUnsafe()
    let over = ended === null
    const finish = Effect.sync(() => {
      over = true
      news.openUnsafe()
    })
    if (ended !== null) yield* Effect.forkScoped(Effect.ensuring(ended, finish), { startImmediately: true })

    while (true) {
      const last = over
      const fd = yield* openLog(path)
      if (fd !== null) {
        const watched = !last && (yield* watchFile(fd, () => news.openUnsafe()))
        const reader: Reader = {
          fd,
          isOver: () => over,
          forgetNews: () => news.closeUnsafe(),
          news: Effect.timeoutOption(news.await, watched ? atLeastEvery : lookEvery)
        }
        return reader
      }
      if (last) return null
      yield* Effect.timeoutOption(news.await, lookEvery)
    }
  })

type Output = Pull.Pull<Arr.NonEmptyReadonlyArray<OutputChunk>, Unavailable>

/** Behind the last whole record: a piece of one may be there already, and its rest would be no record. */
const endOfRecords = (fd: number): number => {
  const { size } = fstatSync(fd)
  const from = Math.max(0, size - blockSize)
  const block = Buffer.alloc(size - from)
  const length = readSync(fd, block, 0, block.length, from)
  const last = block.subarray(0, length).lastIndexOf(10)
  return last === -1 ? size : from + last + 1
}

/** Begins at the end, and says so with an empty chunk. */
const liveChunks = (reader: Reader): Output => {
  const rest = chunks(reader, endOfRecords(reader.fd))
  let told = false
  return Effect.suspend((): Output => {
    if (told) return rest
    told = true
    return Effect.map(DateTime.now, (at) => [{ stream: "stdout", at, bytes: new Uint8Array(0) }])
  })
}

/** Block after block, from the start to where the log ends when the reader is over. */
const chunks = (reader: Reader, start = 0): Output => {
  const block = Buffer.allocUnsafeSlow(blockSize)
  const splitter = LineSplitter.make()
  let position = start
  let end: number | null = null
  const pull: Output = Effect.suspend(() => {
    reader.forgetNews()
    // Where it ends is settled once: somebody may print on, and for ever.
    if (end === null && reader.isOver()) end = fstatSync(reader.fd).size
    const length = end === null ? blockSize : Math.min(blockSize, end - position)
    return Effect.flatMap(readBlock(reader.fd, block, length, position), (count): Output => {
      position += count
      const lines = count > 0 ? splitter.add(block.subarray(0, count)) : []
      if (count === 0 && end !== null) lines.push(splitter.rest())
      const found = lines.map(decode).filter((chunk) => chunk !== null)
      if (Arr.isReadonlyArrayNonEmpty(found)) return Effect.succeed(found)
      if (count > 0) return pull
      return end === null ? Effect.andThen(reader.news, pull) : Cause.done()
    })
  })
  return pull
}

/** OutputLog on files; `root` is the durable folder of the daemon. */
export const layer = (options: { readonly root: string }): Layer.Layer<OutputLog> =>
  Layer.sync(OutputLog, () => {
    const folder = (namespace: Namespace, id: ContainerId) => join(options.root, "logs", namespace, id)
    const file = ({ containerId, execId, namespace }: ProcessRef) =>
      join(folder(namespace, containerId), execId === null ? "init.log" : `exec-${execId}.log`)

    const prepare = Effect.fn("OutputLog.prepare")((ref: ProcessRef) =>
      Effect.try({
        try: () => {
          mkdirSync(folder(ref.namespace, ref.containerId), { recursive: true, mode: 0o700 })
          // A reader that comes before the writer finds a file to watch.
          closeSync(openSync(file(ref), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o640))
          return file(ref)
        },
        catch: failure("make the log")
      })
    )
    const remove = Effect.fn("OutputLog.remove")(function* (ref: ProcessRef) {
      const path = ref.execId === null ? folder(ref.namespace, ref.containerId) : file(ref)
      yield* Effect.tryPromise(() => rm(path, { recursive: true, force: true })).pipe(
        Effect.catch(({ cause }) =>
          Effect.logWarning(`cannot remove the log of "${processKey(ref)}": ${codeOf(cause)}`)
        )
      )
      if (ref.execId !== null) return
      // Only the last container's logs leave an empty folder; for any other this fails.
      yield* Effect.ignore(Effect.try(() => rmdirSync(join(options.root, "logs", ref.namespace))))
    })
    return OutputLog.of({
      prepare,
      read: (ref, { ended, live = false }) =>
        Stream.scoped(
          Stream.fromPull(
            Effect.map(openReader(file(ref), ended), (reader) => {
              if (reader === null) return Cause.done()
              return live ? liveChunks(reader) : chunks(reader)
            })
          )
        ),
      remove
    })
  })
