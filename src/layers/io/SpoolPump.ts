/**
 * Copies what a process prints from our end of its FIFO to its structured log, every byte once, whenever this process is killed. Output goes from the pipe to a
 * spool, from there to the log, and leaves the spool when it is logged; the next host finds in spool and log how far this one got. It stops while the log is
 * behind, so that the process waits. Where there can be no spool, as on a full disk, it reads the pipe itself: then a kill may lose what was just read.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import { closeSync, readSync } from "node:fs"
import { codeOf } from "../posix/Libc.ts"
import type { PipeCalls, Readiness } from "../posix/PipeCalls.ts"
import type { LogWriter } from "./LogWriter.ts"
import * as LogPlace from "./LogPlace.ts"
import * as OutputPump from "./OutputPump.ts"
import * as Spool from "./Spool.ts"

export interface SpoolOptions extends OutputPump.PumpOptions {
  readonly log: LogWriter
  readonly pipes: PipeCalls
  /** Of the spool. */
  readonly path: string
  /** Of the log. */
  readonly logFile: string
}

/** From so many bytes on a spool is emptied as soon as all of them are logged, */
const emptyFrom = 64 * 1024
/** and with so many of them the pump waits for that. */
const most = 1024 * 1024

/** Copies until the end of file or until the scope closes; first what the host before has taken from the pipe and not logged. */
export const start = (options: SpoolOptions): Effect.Effect<OutputPump.OutputPump, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { buffer, fd, log, logFile, path, pipes, stream } = options
    let spool: Spool.Spool | null = null
    /** The position in the stream at which the log was opened, and that behind all that was taken. */
    let [opened, taken] = [0, 0]
    /** Whether the spool lacks what was taken last. */
    let gap = false
    let usable = true
    let ceiling = most
    let ended = false
    let readiness: Readiness | null = null

    const logged = () => {
      const { amounts, place } = log.checkpoint()
      return { position: opened + amounts[stream], place }
    }
    const empty = (spool: Spool.Spool) => {
      const { place, position } = logged()
      Spool.reset(spool, taken, position, place)
      gap = false
      ceiling = most
    }
    const emptyIfLogged = (spool: Spool.Spool): boolean => {
      if (logged().position < taken) return false
      empty(spool)
      return true
    }

    /** Hands on what the host before has left in its spool. */
    const recover = () => {
      const found = Spool.find(path)
      if (found === null) return
      spool = found.spool
      const { header } = found
      const before = header.logged + LogPlace.amountsBehind(logFile, header.place)[stream]
      const end = header.start + spool.size
      opened = before
      taken = Math.max(before, end)
      // Was taken on a full disk, and never came to the log.
      if (before < header.start) log.lose(stream, header.start - before)
      for (let position = Math.max(before, header.start); position < end;) {
        const at = Spool.headerBytes + position - header.start
        const count = readSync(spool.fd, buffer, 0, Math.min(buffer.length, end - position), at)
        if (count === 0) break
        log.add(stream, buffer.subarray(0, count))
        position += count
      }
      gap = before > end
    }

    /** The spool, with room in it; `null` where there is none to be had. */
    const prepare = (): Spool.Spool | null => {
      if (!usable) return null
      try {
        if (spool === null) {
          const { place, position } = logged()
          spool = Spool.create(path, taken, position, place)
        }
        return gap && !emptyIfLogged(spool) ? null : spool
      } catch {
        return null
      }
    }
    const isFull = () => usable && spool !== null && !gap && spool.size >= ceiling

    const readPipe = (): number | null => {
      try {
        const count = readSync(fd, buffer, 0, buffer.length, null)
        taken += count
        gap = spool !== null
        return count
      } catch (error) {
        return codeOf(error) === "EAGAIN" ? null : 0
      }
    }
    /** Fills the buffer: the number of bytes, 0 at the end of file, or `null` where the pipe is empty. */
    const fill = (): number | null => {
      const into = prepare()
      if (into === null) return readPipe()
      const at = Spool.headerBytes + into.size
      const count = pipes.move(fd, into.fd, at, buffer.length)
      if (count === "EAGAIN") return null
      if (typeof count === "string") {
        usable = count === "ENOSPC" || count === "EDQUOT"
        return readPipe()
      }
      into.size += count
      taken += count
      return readSync(into.fd, buffer, 0, count, at)
    }
    const take = (): number | null => {
      const count = fill()
      if (count === null || count === 0) return count
      log.add(stream, buffer.subarray(0, count))
      if (spool !== null && spool.size >= emptyFrom) emptyIfLogged(spool)
      return count
    }
    /** Once all that was taken is logged, or cannot be. */
    const makeRoom = (isLogged: boolean) => {
      if (spool === null || emptyIfLogged(spool)) return
      if (!isLogged) return empty(spool)
      // A part of a character is held back until its rest comes, which takes a little more room, but not for ever.
      if (ceiling < 2 * most) ceiling += buffer.length
      else log.end(stream)
    }
    const room = (resume: () => void) =>
      log.onRoom(() => {
        if (!isFull()) return resume()
        log.onSettled((isLogged) => {
          if (ended) return
          makeRoom(isLogged)
          room(resume)
        })
      })

    const closeSpool = () => {
      ended = true
      if (spool !== null) closeSync(spool.fd)
      spool = null
    }
    /** Who has ended may be kept for long, and is to hold no descriptor of it. */
    const finish = () => {
      if (readiness === null || ended) return closeSpool()
      closeSpool()
      readiness.close()
      closeSync(fd)
    }
    const onReadable = () => {
      let count: number | null
      try {
        count = take()
      } catch {
        count = 0
      }
      if (count === 0) {
        finish()
        log.end(stream)
      } else if (!log.hasRoom() || isFull()) {
        readiness?.sleep()
        room(() => !ended && readiness?.awake())
      }
    }
    yield* Effect.addFinalizer(() => Effect.sync(finish))
    yield* Effect.try(recover).pipe(
      Effect.catch(({ cause }) => Effect.logWarning(`what was left of an output cannot be read: ${codeOf(cause)}`))
    )
    readiness = pipes.watch(fd, onReadable)
    if (readiness === null) return yield* OutputPump.start(options)
    log.onCheckpoint(() => {
      if (spool === null || ended) return
      const { place, position } = logged()
      Spool.note(spool, position, place)
    })
    room(() => !ended && readiness?.awake())

    const drain = Effect.gen(function* () {
      const limit = taken + options.pipeLimit
      while (!ended && taken < limit) {
        yield* Effect.callback<void>((resume) => room(() => resume(Effect.void)))
        // The wait may have been long: the descriptor may be closed by now, and be somebody else's.
        if (ended) return
        const count = take()
        if (count === null || count === 0) break
      }
      if (!ended) log.end(stream)
    })
    return { drain }
  })
