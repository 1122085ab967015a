/**
 * Standard streams over FIFOs. Output passes through two FIFOs to the structured log. The container's ends are open for reading and writing, so that with
 * nobody at ours, because a shim died or is replaced, a process that prints waits instead of dying of SIGPIPE; and because a FIFO has a name, the next
 * shim opens it again, and a process may open its own /dev/stdout. Input cannot be held that way, or closing it would not end it. Terminals are
 * the business of `TerminalIo.ts`.
 */
import { Effect, Option, Scope } from "effect"
import { closeSync, constants, openSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { limitsOf } from "../../schema/LogTarget.ts"
import type { Drained, IoRequest, OpenIo } from "../../services/ProcessIo.ts"
import { Libc } from "../posix/Libc.ts"
import { attempt, containerEnd, makeFifo, openInputEnds } from "./ContainerEnds.ts"
import * as InputPipe from "./InputPipe.ts"
import { structured } from "./LogFormat.ts"
import type { OutputStream } from "./LogFormat.ts"
import * as LoggerProgram from "./LoggerProgram.ts"
import * as LogWriter from "./LogWriter.ts"
import { nowhere } from "./Nowhere.ts"
import * as OutputPump from "./OutputPump.ts"
import * as PlainFile from "./PlainFile.ts"
import * as SpoolPump from "./SpoolPump.ts"
import * as UserFifos from "./UserFifos.ts"

const { O_NONBLOCK, O_RDONLY, O_RDWR } = constants
const readSize = 64 * 1024

/** The most that a pipe can hold for a process without special rights. */
const pipeLimit = (): number => {
  const usual = 1024 * 1024
  try {
    return Number.parseInt(readFileSync("/proc/sys/fs/pipe-max-size", "utf8"), 10) || usual
  } catch {
    return usual
  }
}

/** Opens streams; a part of `LocalIo.ts`. */
export const make = Effect.gen(function* () {
  const libc = yield* Libc
  // One for all: it is in use only while a read is handed on, within one turn of the event loop.
  const buffer = Buffer.allocUnsafeSlow(readSize)
  const limit = pipeLimit()

  /** The container's end of a FIFO of our own. */
  const openEnd = Effect.fnUntraced(function* (path: string) {
    yield* makeFifo(libc, path)
    return yield* containerEnd(yield* attempt("open a FIFO", path, () => openSync(path, O_RDWR)))
  })

  const openOurs = (path: string) => attempt("open a FIFO", path, () => openSync(path, O_RDONLY | O_NONBLOCK))

  const openOutput = Effect.fnUntraced(function* (
    { directory, logFile }: { readonly directory: string; readonly logFile: string },
    stream: OutputStream,
    log: LogWriter.LogWriter
  ) {
    const path = join(directory, stream)
    const end = yield* openEnd(path)
    const options = { fd: yield* openOurs(path), stream, log, buffer, pipeLimit: limit }
    // A worker, for example, cannot wait for a pipe but by reading it.
    const pipes = yield* Effect.option(libc.pipes)
    const { drain } = Option.isSome(pipes)
      ? yield* SpoolPump.start({ ...options, logFile, path: `${path}.spool`, pipes: pipes.value })
      : yield* OutputPump.start(options)
    return { end, drain }
  })

  /** How much there is in the FIFOs that nobody has read. Our own ends of them keep that there: a pipe that nobody has open forgets what is in it. */
  const unreadOf = Effect.fnUntraced(function* (directory: string) {
    const fds = yield* Effect.forEach(["stdout", "stderr"], (name) =>
      Effect.acquireRelease(openOurs(join(directory, name)), (fd) => Effect.sync(() => closeSync(fd)))
    )
    const counts = Effect.forEach(fds, libc.unread)
    return { unread: Effect.map(counts, (counts) => counts.reduce((sum, count) => sum + count, 0)) }
  })

  const openInput = Effect.fnUntraced(function* ({ directory, stdio: { log } }: IoRequest) {
    const path = join(log._tag === "fifo" ? log.directory : directory, "stdin")
    if (log._tag !== "fifo") yield* makeFifo(libc, path)
    const { ours, theirs } = yield* log._tag === "fifo"
      ? UserFifos.openInputEnds(path)
      : attempt("open a FIFO", path, () => openInputEnds(path))
    const end = yield* containerEnd(theirs)
    return { end, pipe: yield* InputPipe.start(ours) }
  })

  /** The container's ends of standard output and error, and what waits for the last of them. */
  const openOutputs = Effect.fnUntraced(function* ({ directory, logFile, ref, stdio }: IoRequest) {
    // What the process writes with a descriptor of its own is there when it has ended.
    const complete = Effect.succeed<Drained>("complete")
    switch (stdio.log._tag) {
      case "none":
        return { stdout: null, stderr: null, drained: complete }
      case "file": {
        const end = yield* PlainFile.open(stdio.log.path)
        return { stdout: end, stderr: end, drained: complete }
      }
      case "json": {
        if (logFile === null) return yield* Effect.die(new Error("a structured log without its file"))
        const log = yield* LogWriter.open(logFile, structured, limitsOf(stdio.log))
        const stdout = yield* openOutput({ directory, logFile }, "stdout", log)
        const stderr = yield* openOutput({ directory, logFile }, "stderr", log)
        const drained = log.patiently(Effect.all([stdout.drain, stderr.drain, log.flush], { discard: true }))
        return { stdout: stdout.end, stderr: stderr.end, drained }
      }
      case "fifo": {
        const names = ["stdout", "stderr", ...(stdio.stdin ? ["stdin"] : [])]
        yield* UserFifos.prepare(libc, { directory: stdio.log.directory, folder: directory, names })
        const stdout = yield* UserFifos.openOutput(join(stdio.log.directory, "stdout"))
        const stderr = yield* UserFifos.openOutput(join(stdio.log.directory, "stderr"))
        return { stdout, stderr, drained: complete }
      }
      case "binary": {
        const { args = [], path } = stdio.log
        const [stdout, stderr] = [yield* openEnd(join(directory, "stdout")), yield* openEnd(join(directory, "stderr"))]
        const scope = yield* Effect.scope
        const discardOne = Effect.fnUntraced(function* (stream: OutputStream) {
          const fd = yield* openOurs(join(directory, stream))
          yield* OutputPump.start({ fd, stream, log: nowhere, buffer, pipeLimit: limit })
        })
        const discard = Effect.forEach(["stdout", "stderr"] as const, (name) => Scope.provide(discardOne(name), scope))
        const program = { ref, path, args, directory, discard: Effect.asVoid(discard) }
        const { unread } = yield* unreadOf(directory)
        const { drained } = yield* LoggerProgram.start({ ...program, unread })
        return { stdout, stderr, drained }
      }
    }
  })

  return Effect.fn("FifoIo.open")(function* (request: IoRequest) {
    const { drained, stderr, stdout } = yield* openOutputs(request)
    const input = request.stdio.stdin ? yield* openInput(request) : null
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
    // Every step but those on paths of the user's, which can be interrupted, is short; and between opening a descriptor and taking charge of it nothing may come.
  }, Effect.uninterruptible)
})
