/**
 * Copies what a process prints from our end of its FIFO to its log. It stops reading while the log is behind, so that the process waits, and it reads only
 * what it can hand on at once, so that nothing is ever in its hands.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import { readSync } from "node:fs"
import { Socket } from "node:net"
import { codeOf } from "../posix/Libc.ts"
import type { OutputStream } from "./LogFormat.ts"
import type { LogWriter } from "./LogWriter.ts"

/** What this pump needs of a log. */
export type Sink = Pick<LogWriter, "add" | "end" | "onRoom">

export interface OutputPump {
  /**
   * Call when the process has ended: completes when all that it printed itself was handed to the log. What a process that has ended has left is in the pipe,
   * so this ends at the end of file, or when the pipe is empty, or after as many bytes as a pipe can hold; a grandchild that holds the pipe, or even
   * prints on, delays it no longer than that. The pump goes on.
   */
  readonly drain: Effect.Effect<void>
}

export interface PumpOptions {
  /** Our end, non-blocking; the pump closes it. */
  readonly fd: number
  readonly stream: OutputStream
  readonly log: Sink
  /** Where reads go. Pumps may share it: it is in use only within a read. */
  readonly buffer: Uint8Array
  /** How many bytes a pipe can hold. */
  readonly pipeLimit: number
}

/** Copies until the end of file or until the scope closes. */
export const start = (options: PumpOptions): Effect.Effect<OutputPump, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { buffer, fd, log, stream } = options
    let total = 0
    let ended = false

    const take = (count: number): boolean => {
      total += count
      return log.add(stream, buffer.subarray(0, count))
    }
    const onread = {
      buffer,
      callback: (count: number) => {
        const more = take(count)
        if (!more) log.onRoom(() => socket.resume())
        return more
      }
    }
    // A socket, because that is what the event loop can wait for: reads of a file would each hold a thread.
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => new Socket({ fd, readable: true, writable: false, onread })),
      (socket) =>
        Effect.sync(() => {
          ended = true
          socket.destroy()
        })
    )
    const finish = () => {
      if (ended) return
      ended = true
      log.end(stream)
    }
    socket.on("end", finish)
    socket.on("error", finish)

    /** Reads what is there now: the number of bytes, 0 at the end of file, or `null` where the pipe is empty. */
    const readNow = (): number | null => {
      try {
        const count = readSync(fd, buffer, 0, buffer.length, null)
        if (count > 0) take(count)
        return count
      } catch (error) {
        return codeOf(error) === "EAGAIN" ? null : 0
      }
    }
    const drain = Effect.gen(function* () {
      const limit = total + options.pipeLimit
      const isDone = () => ended || socket.destroyed || total >= limit
      while (!isDone()) {
        yield* Effect.callback<void>((resume) => log.onRoom(() => resume(Effect.void)))
        // The wait may have been long: the descriptor may be closed by now, and be somebody else's.
        if (ended || socket.destroyed) return
        const count = readNow()
        if (count === null || count === 0) break
      }
      if (!ended) log.end(stream)
    })
    return { drain }
  })
