/**
 * Copies what a terminal shows from its master to a log. Where nobody has the terminal open any more it looks now and then whether somebody does again, as an
 * init system does to its console; the end of its process, or of its scope, ends that.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import { readSync } from "node:fs"
import { ReadStream } from "node:tty"
import { Libc } from "../posix/Libc.ts"
import { codeOf } from "../posix/Libc.ts"
import type { LogWriter } from "./LogWriter.ts"

export interface TerminalPump {
  /**
   * Call when the process has ended: completes when all that it printed itself was handed to the log. That is at the hang-up, or when the terminal has
   * nothing more to read, or after a limited amount where another process prints on. The pump goes on.
   */
  readonly drain: Effect.Effect<void>
}

/** What output goes to. */
export type Sink = Pick<LogWriter, "add" | "end" | "onRoom">

/** How often to look whether a terminal that nobody has open is open again. */
const lookEvery = "100 millis"
/** More than a terminal holds. */
const most = 1024 * 1024

/** `master` is non-blocking and stays the caller's; `buffer` is in use only within a read, so that pumps may share it. */
export const start = (
  master: number,
  sink: Sink,
  buffer: Uint8Array
): Effect.Effect<TerminalPump, never, Libc | Scope.Scope> =>
  Effect.gen(function* () {
    const libc = yield* Libc
    let total = 0
    let ended = false
    let closed = false
    yield* Effect.addFinalizer(() => Effect.sync(() => void (closed = true)))
    const take = (count: number): boolean => {
      total += count
      return sink.add("stdout", buffer.subarray(0, count))
    }

    /** Reads what is there now: the number of bytes, or why there is none. */
    const readNow = (): number | "empty" | "hung-up" => {
      // By now the descriptor may be somebody else's.
      if (closed) return "hung-up"
      try {
        const count = readSync(master, buffer, 0, buffer.length, null)
        if (count > 0) take(count)
        return count > 0 ? count : "hung-up"
      } catch (error) {
        return codeOf(error) === "EAGAIN" ? "empty" : "hung-up"
      }
    }
    const room = Effect.callback<void>((resume) => sink.onRoom(() => resume(Effect.void)))

    /** Until the hang-up. The stream closes its descriptor then, hence one of its own. */
    const copy = (fd: number) =>
      Effect.callback<void>((resume) => {
        const onread = {
          buffer,
          callback: (count: number) => {
            const more = take(count)
            if (!more) sink.onRoom(() => stream.resume())
            return more
          }
        }
        // A stream, because that is what the event loop can wait for: reads of a file would each hold a thread.
        const stream = new ReadStream(fd, { onread })
        // An error here is the hang-up.
        stream.on("error", () => {})
        stream.once("close", () => resume(Effect.void))
        stream.resume()
        return Effect.sync(() => stream.destroy())
      })

    /** Whether somebody has it open again; nobody will once its process has ended. */
    const opened = Effect.gen(function* () {
      while (true) {
        yield* room
        if (readNow() !== "hung-up") return true
        if (ended) return false
        yield* Effect.sleep(lookEvery)
      }
    })

    yield* Effect.gen(function* () {
      do {
        yield* copy(yield* libc.duplicate(master))
        sink.end("stdout")
      } while (yield* opened)
    }).pipe(
      Effect.catch((error) => Effect.logError(`a terminal can no longer be read: ${error.message}`)),
      Effect.forkScoped({ startImmediately: true })
    )

    const drain = Effect.gen(function* () {
      ended = true
      const limit = total + most
      while (total < limit) {
        yield* room
        if (typeof readNow() === "string") break
      }
      sink.end("stdout")
    })
    return { drain }
  })
