/**
 * The structured log of one process, on the side that writes it. Output is taken at once, without waiting, and written in batches: one write for each turn
 * of the event loop, or for all that came while the write before was under way. Nothing is lost silently: while the disk is full the last batch is tried
 * again and again, a limited amount more is kept, the rest is counted and a record tells of it when there is space. It does not wait for the disk to
 * store the data. With limits it goes on to a new file between two records; where that cannot be done it stays in the old one, for what is too large is better
 * than what is lost.
 */
import { Clock, DateTime, Effect, Latch } from "effect"
import type { Scope } from "effect"
import { closeSync, constants, fstatSync, openSync, readSync, write, writeSync } from "node:fs"
import type { ResourceExhausted, Unavailable } from "../../schema/Errors.ts"
import type { LogLimits } from "../../schema/LogTarget.ts"
import type { Drained } from "../../services/ProcessIo.ts"
import { codeOf } from "../posix/Libc.ts"
import { addAscii, make as makeBatch, reserve } from "./ByteBatch.ts"
import type { ByteBatch } from "./ByteBatch.ts"
import { diskFailure } from "./DiskFailure.ts"
import * as LogFiles from "./LogFiles.ts"
import { plain, structured } from "./LogFormat.ts"
import * as LogPlace from "./LogPlace.ts"
import type { LogFormat, OutputStream } from "./LogFormat.ts"
import type { UserFile } from "./UserPaths.ts"

/** How much of each stream, counted from the opening, is in the log before a place. */
export interface Checkpoint {
  readonly place: LogPlace.LogPlace
  readonly amounts: LogPlace.Amounts
}

export interface LogWriter {
  /** Takes output; false asks to stop until `onRoom`. */
  readonly add: (stream: OutputStream, bytes: Uint8Array) => boolean
  /** Nothing more comes of this stream for now: what was held back goes to the log too. */
  readonly end: (stream: OutputStream) => void
  /** Calls once, as soon as there is room for more. */
  readonly onRoom: (resume: () => void) => void
  /** Completes when all that was taken before is in the file. */
  readonly flush: Effect.Effect<void>
  /** Whether it would take more. */
  readonly hasRoom: () => boolean
  /** Writes down that so many bytes of a stream are lost. */
  readonly lose: (stream: OutputStream, bytes: number) => void
  /** Calls once, when all that was taken before is in the file, or with false when the file refuses it. */
  readonly onSettled: (resume: (isWritten: boolean) => void) => void
  /** The newest there is; records behind it may be in the file too. */
  readonly checkpoint: () => Checkpoint
  /** Calls now and then when there is a newer one, and always before the file of an older one may be removed. */
  readonly onCheckpoint: (listen: () => void) => void
  /**
   * Runs an effect that waits for the log, but gives up when the file has taken nothing for two seconds after an error, or for ten without one. Complete
   * where it need not, and nothing was lost before.
   */
  readonly patiently: (waiting: Effect.Effect<void>) => Effect.Effect<Drained>
}

/** So much may wait to be written, in bytes of records, before readers have to stop. */
const most = 1024 * 1024
/** So much is written at once, in bytes of records. */
const little = 8 * 1024
/** Larger buffers are given back when there was nothing to write for a while. */
const keep = 64 * 1024
const idleAfter = "1 second"
/** More than the line with which a file begins. */
const headerMost = 32
/** For how many times two seconds to wait for a file that takes nothing, but did not refuse either. */
const patience = 5
const retryEvery = "1 second"
/** How many bytes of records may lie behind the checkpoint that was last told. */
const tellEvery = 256 * 1024

/** The file that is written to, its size and its number. */
interface File {
  fd: number
  size: number
  number: number
  /** Of a file of the user's, how to write to it. */
  readonly write?: UserFile["write"]
}

const openFile = (
  path: string,
  { lines }: LogFormat
): Effect.Effect<File, ResourceExhausted | Unavailable, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW
        const fd = openSync(path, flags, 0o640)
        const { size } = fstatSync(fd)
        return { fd, size, number: lines && size > 0 ? LogFiles.numberOf(fd) : 0 }
      },
      catch: (error) => diskFailure("log", "open the log", path, error)
    }),
    (file) => Effect.sync(() => closeSync(file.fd))
  )

/** Where to stop in a batch so that a file takes whole records and no more than its limit; -1 where it is full. */
const fitting = (batch: ByteBatch, from: number, size: number, { maxSize }: LogLimits): number => {
  const room = maxSize - size
  if (batch.length - from <= room) return batch.length
  const cut = room <= 0 ? 0 : batch.bytes.subarray(from, from + room).lastIndexOf(10) + 1
  if (cut > 0) return from + cut
  // A record that is larger than a file has one for itself.
  return size > headerMost ? -1 : batch.bytes.indexOf(10, from) + 1
}

/** Whether the file ends inside a record, left by a writer that was killed. */
const endsTorn = (fd: number): boolean => {
  const { size } = fstatSync(fd)
  const last = Buffer.alloc(1)
  return size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== 10
}

/** Writes a part of a batch: the number of bytes written, or the errno's name. Never interrupted where it is ours, as the descriptor must stay open meanwhile. */
const writeSome = (file: File, batch: ByteBatch, from: number, to: number) => {
  if (file.write !== undefined) return file.write(batch.bytes.subarray(from, to))
  const { fd } = file
  return Effect.callback<number | string>((resume) => {
    write(fd, batch.bytes, from, to - from, null, (error, written) =>
      resume(Effect.succeed(error === null ? written : codeOf(error)))
    )
  }).pipe(Effect.uninterruptible)
}

const writing = (
  file: File,
  path: string,
  format: LogFormat,
  limits: LogLimits | null
): Effect.Effect<LogWriter, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const encoders = { stdout: format.encoder("stdout"), stderr: format.encoder("stderr") }
    const lost = { stdout: 0, stderr: 0 }
    const work = Latch.makeUnsafe()
    const progress = Latch.makeUnsafe()
    let [filling, spare] = [makeBatch(), makeBatch()]
    let [written, inBatch] = [0, 0]
    let failing = false
    let stuck = false
    let waiting: Array<() => void> = []
    let settling: Array<{ readonly target: number; readonly resume: (isWritten: boolean) => void }> = []
    const listeners: Array<() => void> = []
    const given = { stdout: 0, stderr: 0 }
    /** Whether anything was lost since it was opened: what was lost before is marked in the log alone. */
    let gap = false

    // Both count bytes of records, from the opening on.
    const taken = () => written + inBatch + filling.length
    const pending = () => inBatch + filling.length
    const dropping = () => failing && (pending() >= most || lost.stdout > 0 || lost.stderr > 0)
    const hasRoom = () => failing || pending() < most

    /** Of each stream, what is in a record, written or not. */
    const encoded = (): LogPlace.Amounts => ({
      stdout: given.stdout - encoders.stdout.held(),
      stderr: given.stderr - encoders.stderr.held()
    })
    const here = () => ({ file: file.number, offset: file.size })
    let settled: Checkpoint = { place: here(), amounts: encoded() }
    let toldAt = 0
    const checkpoint = () => {
      if (pending() === 0) settled = { place: here(), amounts: encoded() }
      return settled
    }
    const tell = () => {
      toldAt = written
      for (const listen of listeners) listen()
    }
    const announceSettled = () => {
      if (written - toldAt >= tellEvery) tell()
      if (settling.length === 0) return
      const isOver = ({ target }: { readonly target: number }) => failing || written >= target
      const over = settling.filter(isOver)
      settling = settling.filter((each) => !isOver(each))
      for (const { resume, target } of over) resume(written >= target)
    }

    const time = (() => {
      let [at, text] = [-1, ""]
      return () => {
        const now = clock.currentTimeMillisUnsafe()
        if (now !== at) [at, text] = [now, DateTime.formatIso(DateTime.makeUnsafe(now))]
        return text
      }
    })()
    const announceRoom = () => {
      if (!hasRoom()) return
      const resumes = waiting
      waiting = []
      for (const resume of resumes) resume()
    }

    if (format.lines && endsTorn(file.fd)) {
      reserve(filling, 1)
      addAscii(filling, "\n")
    }

    const failed = Effect.fnUntraced(function* (code: string) {
      if (!failing) {
        failing = true
        yield* Effect.logWarning(`the log cannot be written (${code}), trying again`)
        announceRoom()
        announceSettled()
      }
      yield* Effect.sleep(retryEvery)
    })
    const recovered = Effect.suspend(() => {
      failing = false
      for (const stream of ["stdout", "stderr"] as const) {
        if (lost[stream] > 0) format.addLost(filling, time(), stream, lost[stream])
        given[stream] += lost[stream]
        lost[stream] = 0
      }
      return Effect.logInfo("the log can be written again")
    })
    /** `amounts` are those in the files so far. */
    const rotate = (limits: LogLimits, amounts: () => LogPlace.Amounts) =>
      Effect.try({ try: () => LogFiles.rotate(path, file.fd), catch: codeOf }).pipe(
        Effect.map((next) => {
          closeSync(file.fd)
          Object.assign(file, next)
          stuck = false
          settled = { place: here(), amounts: amounts() }
          tell()
          return true
        }),
        Effect.tap(() => Effect.ignore(Effect.try(() => LogFiles.prune(path, file.number, limits)))),
        Effect.catch((code) => {
          const told = stuck
          stuck = true
          return Effect.as(told ? Effect.void : Effect.logWarning(`the log cannot be rotated (${code})`), false)
        })
      )
    /** Where to stop now; a new file first where this one is full. */
    const nextStop = Effect.fnUntraced(function* (batch: ByteBatch, from: number, all: LogPlace.Amounts) {
      if (limits === null) return batch.length
      const to = fitting(batch, from, file.size, limits)
      if (to !== -1) return to
      const soFar = () => {
        const rest = LogPlace.amountsIn(batch.bytes.subarray(from, batch.length))
        return { stdout: all.stdout - rest.stdout, stderr: all.stderr - rest.stderr }
      }
      return (yield* rotate(limits, soFar)) ? fitting(batch, from, file.size, limits) : batch.length
    })
    const writeBatch = Effect.gen(function* () {
      const batch = filling
      filling = spare
      inBatch = batch.length
      const amounts = encoded()
      for (let from = 0, to = 0; from < batch.length;) {
        if (from === to) to = yield* nextStop(batch, from, amounts)
        const result = yield* writeSome(file, batch, from, to)
        if (typeof result === "string") {
          yield* failed(result)
          continue
        }
        from += result
        file.size += result
        written += result
        inBatch -= result
        yield* progress.release
      }
      batch.length = 0
      spare = batch
      settled = { place: here(), amounts }
      if (failing) yield* recovered
      announceRoom()
      announceSettled()
    })
    const giveBack = Effect.suspend(() => {
      if (filling.length === 0) [filling, spare] = [makeBatch(), makeBatch()]
      return work.await
    })
    const waitForWork = Effect.suspend(() =>
      Math.max(filling.bytes.length, spare.bytes.length) > keep
        ? Effect.timeoutOrElse(work.await, { duration: idleAfter, orElse: () => giveBack })
        : work.await
    )
    yield* Effect.gen(function* () {
      yield* waitForWork
      // Whatever else this turn of the event loop brings goes into the same batch.
      yield* Effect.yieldNow
      while (filling.length > 0) yield* writeBatch
      work.closeUnsafe()
    }).pipe(Effect.forever, Effect.forkScoped)

    /**
     * A little output goes to the file at once, in the turn in which it was read: were this process killed before the batch is written, what it has read
     * would be lost. More than that waits for its batch, for a slow disk must not hold up everything else; and so does all that goes to a file of the user's,
     * which may be where nothing answers.
     */
    const writeNow = () => {
      const { bytes, length } = filling
      if (file.write !== undefined || length > little || inBatch > 0 || failing) return
      if (limits !== null && file.size + length > limits.maxSize) return
      try {
        const count = writeSync(file.fd, bytes, 0, length)
        bytes.copyWithin(0, count, length)
        filling.length = length - count
        file.size += count
        written += count
        announceSettled()
      } catch {
        // The batch will meet the same error, and knows what to do.
      }
    }
    const changed = () => {
      if (filling.length > 0) writeNow()
      if (filling.length > 0) work.openUnsafe()
    }
    const reached = (target: number): Effect.Effect<void> =>
      Effect.suspend(() => (written >= target ? Effect.void : Effect.andThen(progress.await, reached(target))))
    const flush = Effect.suspend(() => reached(taken()))
    const stalled = Effect.gen(function* () {
      for (let silent = 0; silent < (failing ? 1 : patience);) {
        const before = written
        yield* Effect.sleep("2 seconds")
        silent = written === before ? silent + 1 : 0
      }
    })
    const patiently: LogWriter["patiently"] = (waiting) =>
      Effect.map(Effect.raceFirst(Effect.as(waiting, true), Effect.as(stalled, false)), (isDone) =>
        isDone && !gap ? "complete" : "truncated"
      )

    const add: LogWriter["add"] = (stream, bytes) => {
      if (dropping()) {
        lost[stream] += bytes.length
        gap = true
      } else {
        given[stream] += bytes.length
        encoders[stream].add(filling, time(), bytes)
      }
      changed()
      return hasRoom()
    }
    const end: LogWriter["end"] = (stream) => {
      encoders[stream].end(filling, time())
      changed()
    }
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        end("stdout")
        end("stderr")
        yield* patiently(flush)
        const missing = pending() + lost.stdout + lost.stderr
        if (missing > 0) yield* Effect.logWarning(`about ${missing} bytes of output could not be written to the log`)
      })
    )
    return {
      add,
      end,
      onRoom: (resume) => {
        waiting.push(resume)
        announceRoom()
      },
      flush,
      hasRoom,
      lose: (stream, bytes) => {
        given[stream] += bytes
        gap = true
        format.addLost(filling, time(), stream, bytes)
        changed()
      },
      onSettled: (resume) => {
        settling.push({ target: taken(), resume })
        announceSettled()
      },
      checkpoint,
      onCheckpoint: (listen) => void listeners.push(listen),
      patiently
    }
  })

/** Opens the log for appending; closing the scope writes what is left. */
export const open = (
  path: string,
  format: LogFormat = structured,
  limits: LogLimits | null = null
): Effect.Effect<LogWriter, ResourceExhausted | Unavailable, Scope.Scope> =>
  Effect.flatMap(openFile(path, format), (file) => writing(file, path, format, limits))

/** Appends the output itself to a file of the user's, which stays the caller's; closing the scope writes what is left, if the file takes it. */
export const onto = ({ fd, write }: UserFile): Effect.Effect<LogWriter, never, Scope.Scope> =>
  writing({ fd, size: 0, number: 0, write }, "", plain, null)
