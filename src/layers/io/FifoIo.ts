/**
 * Standard streams over FIFOs. Output passes through two FIFOs to the structured log. The container's ends are open for reading and writing, so that with
 * nobody at ours, because a shim died or is replaced, a process that prints waits instead of dying of SIGPIPE; and because a FIFO has a name, the next
 * shim opens it again, and a process may open its own /dev/stdout. Input cannot be held that way, or closing it would not end it. Terminals are
 * the business of `TerminalIo.ts`.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import { closeSync, constants, lstatSync, openSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { ResourceExhausted, Unavailable } from "../../schema/Errors.ts"
import type { IoRequest, OpenIo } from "../../services/ProcessIo.ts"
import { Libc } from "../posix/Libc.ts"
import { diskFailure } from "./DiskFailure.ts"
import * as InputPipe from "./InputPipe.ts"
import * as LogWriter from "./LogWriter.ts"
import * as OutputPump from "./OutputPump.ts"
import * as PlainFile from "./PlainFile.ts"

const { O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = constants
const readSize = 64 * 1024
const what = "standard streams"

type Failure = ResourceExhausted | Unavailable

/** A descriptor that goes to the container. */
interface ContainerEnd {
  readonly fd: number
  /** May be called again. */
  readonly close: Effect.Effect<void>
}

const attempt = <A>(action: string, path: string, run: () => A): Effect.Effect<A, Failure> =>
  Effect.try({ try: run, catch: (error) => diskFailure(what, action, path, error) })

const containerEnd = (fd: number): Effect.Effect<ContainerEnd, never, Scope.Scope> => {
  let open = true
  const close = Effect.sync(() => {
    if (open) closeSync(fd)
    open = false
  })
  return Effect.acquireRelease(Effect.succeed({ fd, close }), () => close)
}

/** The most that a pipe can hold for a process without special rights. */
const pipeLimit = (): number => {
  const usual = 1024 * 1024
  try {
    return Number.parseInt(readFileSync("/proc/sys/fs/pipe-max-size", "utf8"), 10) || usual
  } catch {
    return usual
  }
}

/** Both ends of a FIFO for input. A plain open waits for the other end, so a third descriptor, which never waits, stands in for each in turn. */
const openInputEnds = (path: string): { readonly ours: number; readonly theirs: number } => {
  const standIn = openSync(path, O_RDONLY | O_NONBLOCK)
  try {
    const ours = openSync(path, O_WRONLY | O_NONBLOCK)
    try {
      return { ours, theirs: openSync(path, O_RDONLY) }
    } catch (error) {
      closeSync(ours)
      throw error
    }
  } finally {
    closeSync(standIn)
  }
}

/** Opens streams; a part of `LocalIo.ts`. */
export const make = Effect.gen(function* () {
  const libc = yield* Libc
  // One for all: it is in use only while a read is handed on, within one turn of the event loop.
  const buffer = Buffer.allocUnsafeSlow(readSize)
  const limit = pipeLimit()

  const makeFifo = (path: string) =>
    libc.mkfifo(path, 0o600).pipe(
      // One that is there was left by the host before, and has a process at its other end.
      Effect.catchIf(
        ({ code }) => code === "EEXIST" && lstatSync(path, { throwIfNoEntry: false })?.isFIFO() === true,
        () => Effect.void
      ),
      Effect.mapError((error) => diskFailure(what, "make a FIFO", path, error))
    )

  const openOutput = Effect.fnUntraced(function* (path: string, stream: "stdout" | "stderr", log: LogWriter.LogWriter) {
    yield* makeFifo(path)
    const end = yield* containerEnd(yield* attempt("open a FIFO", path, () => openSync(path, O_RDWR)))
    const fd = yield* attempt("open a FIFO", path, () => openSync(path, O_RDONLY | O_NONBLOCK))
    const { drain } = yield* OutputPump.start({ fd, stream, log, buffer, pipeLimit: limit })
    return { end, drain }
  })

  const openInput = Effect.fnUntraced(function* (path: string) {
    yield* makeFifo(path)
    const { ours, theirs } = yield* attempt("open a FIFO", path, () => openInputEnds(path))
    const end = yield* containerEnd(theirs)
    return { end, pipe: yield* InputPipe.start(ours) }
  })

  /** The container's ends of standard output and error, and what waits for the last of them. */
  const openOutputs = Effect.fnUntraced(function* ({ directory, logFile, stdio }: IoRequest) {
    switch (stdio.log._tag) {
      case "none":
        return { stdout: null, stderr: null, drained: Effect.void }
      case "file": {
        const end = yield* containerEnd(yield* PlainFile.open(stdio.log.path))
        return { stdout: end, stderr: end, drained: Effect.void }
      }
      case "json": {
        if (logFile === null) return yield* Effect.die(new Error("a structured log without its file"))
        const log = yield* LogWriter.open(logFile)
        const stdout = yield* openOutput(join(directory, "stdout"), "stdout", log)
        const stderr = yield* openOutput(join(directory, "stderr"), "stderr", log)
        const drained = log.patiently(Effect.all([stdout.drain, stderr.drain, log.flush], { discard: true }))
        return { stdout: stdout.end, stderr: stderr.end, drained }
      }
    }
  })

  return Effect.fn("FifoIo.open")(function* (request: IoRequest) {
    const { drained, stderr, stdout } = yield* openOutputs(request)
    const input = request.stdio.stdin ? yield* openInput(join(request.directory, "stdin")) : null
    const io: OpenIo = {
      descriptors: { stdin: input?.end.fd ?? null, stdout: stdout?.fd ?? null, stderr: stderr?.fd ?? null },
      handOver: Effect.forEach([input?.end, stdout, stderr], (end) => end?.close ?? Effect.void, { discard: true }),
      console: null,
      drained,
      write: (bytes) => input?.pipe.write(bytes) ?? Effect.succeed(false),
      closeStdin: input?.pipe.close ?? Effect.void,
      resize: () => Effect.succeed(false)
    }
    return io
    // Every step is short, and between opening a descriptor and taking charge of it nothing may come.
  }, Effect.uninterruptible)
})
