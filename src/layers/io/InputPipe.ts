/**
 * Our end of the standard input of a process. Bytes go to the event loop, never to a thread that could wait on a full pipe for ever. It makes no
 * difference between a process that is slow to read and one that never does: `write` waits, and whoever calls decides for how long.
 */
import { Effect, Latch } from "effect"
import type { Scope } from "effect"
import { Socket } from "node:net"

export interface InputPipe {
  /** True when the bytes are in the pipe; false where it is closed, or nobody reads. Interrupted, it may still write them. */
  readonly write: (bytes: Uint8Array) => Effect.Effect<boolean>
  /** Ends the input behind what was written before. */
  readonly close: Effect.Effect<void>
}

/** So much may wait in memory for the process to read. */
const most = 1024 * 1024

/** Takes charge of a descriptor that is open for writing and does not block. */
export const start = (fd: number): Effect.Effect<InputPipe, never, Scope.Scope> =>
  Effect.gen(function* () {
    const room = Latch.makeUnsafe(true)
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => new Socket({ fd, readable: false, writable: true })),
      (socket) => Effect.sync(() => socket.destroy())
    )
    const measure = () => {
      if (socket.writable && socket.writableLength >= most) room.closeUnsafe()
      else room.openUnsafe()
    }
    // Nobody reads any more; the write that finds out says so.
    socket.on("error", measure)
    socket.on("close", measure)

    const send = (bytes: Uint8Array) =>
      Effect.callback<boolean>((resume) => {
        socket.write(bytes, (error) => {
          measure()
          resume(Effect.succeed(error === null || error === undefined))
        })
        measure()
      })
    const write: InputPipe["write"] = (bytes) =>
      Effect.gen(function* () {
        while (socket.writable && socket.writableLength >= most) yield* room.await
        return socket.writable ? yield* send(bytes) : false
      })
    return { write, close: Effect.sync(() => socket.end()) }
  })
