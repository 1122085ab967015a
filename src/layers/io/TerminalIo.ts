/**
 * One terminal for a process, in place of three streams. The runtime makes it and sends its master to a socket of ours; here the master is held, read into the
 * log, written and sized. It cannot be handed to another process: when this one ends, the kernel hangs the terminal up. What the process itself does with its
 * terminal, echo or control characters for example, is the kernel's and its own.
 */
import { Effect, Exit, Option, Scope, Semaphore } from "effect"
import { closeSync, mkdtempSync, rmdirSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { isatty } from "node:tty"
import { Unavailable } from "../../schema/Errors.ts"
import { limitsOf } from "../../schema/LogTarget.ts"
import type { TerminalSize } from "../../schema/Process.ts"
import type { IoRequest, OpenIo } from "../../services/ProcessIo.ts"
import { codeOf, Libc } from "../posix/Libc.ts"
import { maxSocketPath } from "../posix/TerminalCalls.ts"
import { diskFailure, unavailable } from "./DiskFailure.ts"
import { structuredTerminal } from "./LogFormat.ts"
import * as LogWriter from "./LogWriter.ts"
import { nowhere } from "./Nowhere.ts"
import * as PlainFile from "./PlainFile.ts"
import * as TerminalPump from "./TerminalPump.ts"

const what = "terminal"
const readSize = 64 * 1024
/** How soon to try again where a process does not read what was typed, in milliseconds: first, and in the long run. */
const [soon, late] = [2, 100]

const openLog = Effect.fnUntraced(function* ({ logFile, stdio }: IoRequest) {
  switch (stdio.log._tag) {
    case "none":
      return nowhere
    case "file":
      return yield* LogWriter.onto(yield* PlainFile.open(stdio.log.path))
    case "fifo":
    case "binary":
      return yield* new Unavailable({
        what,
        problem: `it cannot log to "${stdio.log._tag}"`,
        mend: "log to json, file or none"
      })
    case "json":
      if (logFile === null) return yield* Effect.die(new Error("a structured log without its file"))
      return yield* LogWriter.open(logFile, structuredTerminal, limitsOf(stdio.log))
  }
})

/** A path for the socket: beside the streams of other processes, or where that is too long for a socket, in a folder of its own. */
const socketPath = (directory: string): string => {
  const path = join(directory, "console")
  return Buffer.byteLength(path) <= maxSocketPath ? path : join(mkdtempSync(join(tmpdir(), "berth-")), "console")
}

const removeSocket = (path: string, directory: string) =>
  Effect.ignore(
    Effect.try(() => {
      rmSync(path, { force: true })
      if (dirname(path) !== directory) rmdirSync(dirname(path))
    })
  )

/** Opens terminals; a part of `LocalIo.ts`. */
export const make = Effect.gen(function* () {
  const libc = yield* Libc
  // One for all: it is in use only while a read is handed on, within one turn of the event loop.
  const buffer = Buffer.allocUnsafeSlow(readSize)

  /** The socket, for as long as the runtime runs. */
  const listen = Effect.fnUntraced(function* (directory: string) {
    const path = yield* Effect.acquireRelease(
      Effect.try({
        try: () => {
          const path = socketPath(directory)
          // One that is there was left by the shim before.
          rmSync(path, { force: true })
          return path
        },
        catch: (error) => diskFailure(what, "make a folder for its socket", directory, error)
      }),
      (path) => removeSocket(path, directory)
    )
    const fd = yield* Effect.acquireRelease(
      Effect.mapError(libc.listenUnix(path), (error) => unavailable(what, "make a socket", error)),
      (fd) => Effect.sync(() => closeSync(fd))
    )
    return { fd, path }
  })

  /** What the runtime has sent; none where it has sent nothing, or what is no terminal. */
  const receive = (listener: number) =>
    Effect.acquireUseRelease(
      libc.accept(listener),
      (connection) => libc.receiveDescriptor(connection),
      (connection) => Effect.sync(() => closeSync(connection))
    ).pipe(
      Effect.map((received) => {
        if (Option.isNone(received) || isatty(received.value)) return received
        closeSync(received.value)
        return Option.none<number>()
      }),
      Effect.orElseSucceed(() => Option.none<number>())
    )

  return Effect.fn("TerminalIo.open")(function* (request: IoRequest) {
    const scope = yield* Effect.scope
    const log = yield* openLog(request)
    const socketScope = yield* Scope.fork(scope)
    const socket = yield* Scope.provide(listen(request.directory), socketScope)
    const typing = yield* Semaphore.make(1)
    let wanted: TerminalSize | null = request.size ?? null
    let terminal: { readonly fd: number; readonly drain: Effect.Effect<void> } | null = null
    let ended = false

    const setSize = (fd: number, size: TerminalSize) => Effect.isSuccess(libc.setWindowSize(fd, size))

    /** Closed behind the pump, which reads from it. */
    const hold = Effect.fnUntraced(function* (fd: number) {
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          terminal = null
          closeSync(fd)
        })
      )
      yield* libc.setNonBlocking(fd)
      if (wanted !== null) yield* setSize(fd, wanted)
      const { drain } = yield* TerminalPump.start(fd, log, buffer).pipe(Effect.provideService(Libc, libc))
      terminal = { fd, drain }
    })

    let handedOver = false
    const handOver = Effect.gen(function* () {
      if (handedOver) return
      handedOver = true
      const fd = yield* receive(socket.fd)
      yield* Scope.close(socketScope, Exit.void)
      if (Option.isSome(fd)) yield* Scope.provide(hold(fd.value), scope)
    }).pipe(
      Effect.catch((error) => Effect.logWarning(`the terminal cannot be used: ${error.message}`)),
      Effect.uninterruptible
    )

    const drained = Effect.suspend(() => {
      ended = true
      return terminal === null
        ? Effect.succeed("complete" as const)
        : log.patiently(Effect.andThen(terminal.drain, log.flush))
    })

    /** The number of bytes that the terminal took, 0 where it has no room, `null` where it is gone. */
    const writeSome = (bytes: Uint8Array): number | null => {
      if (terminal === null || ended) return null
      try {
        return writeSync(terminal.fd, bytes)
      } catch (error) {
        return codeOf(error) === "EAGAIN" ? 0 : null
      }
    }
    const write = Effect.fnUntraced(function* (bytes: Uint8Array) {
      let delay = soon
      for (let at = 0; at < bytes.length;) {
        const count = writeSome(bytes.subarray(at))
        if (count === null) return false
        if (count === 0) yield* Effect.sleep(delay)
        delay = count === 0 ? Math.min(delay * 2, late) : soon
        at += count
      }
      return true
    })

    const io: OpenIo = {
      descriptors: { stdin: null, stdout: null, stderr: null },
      console: socket.path,
      handOver,
      drained,
      write: (bytes) => (request.stdio.stdin ? typing.withPermit(write(bytes)) : Effect.succeed(false)),
      closeStdin: Effect.void,
      resize: (size) =>
        Effect.suspend(() => {
          wanted = size
          if (terminal !== null) return ended ? Effect.succeed(false) : setSize(terminal.fd, size)
          return Effect.succeed(!handedOver)
        })
    }
    return io
    // Every step but those on paths of the user's, which can be interrupted, is short; and between opening a descriptor and taking charge of it nothing may come.
  }, Effect.uninterruptible)
})
