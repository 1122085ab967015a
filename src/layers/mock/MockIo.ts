/**
 * Standard input and output on a pretended machine. Output goes through a pipe to the memory log or to a pretended file, so that a process which nobody reads
 * waits when the pipe is full. Opening the FIFO of a process that lives takes its output over from the host before. A terminal is one pipe for both outputs,
 * with a size; there is no line editing, and no key sends a signal.
 */
import { Effect, Fiber, Layer, Queue } from "effect"
import type { Duration } from "effect"
import type { Drained, IoRequest, OpenIo } from "../../services/ProcessIo.ts"
import { processKey } from "../../schema/Ids.ts"
import { ProcessIo } from "../../services/ProcessIo.ts"
import { MemoryOutput } from "../../services/MemoryOutput.ts"
import { write } from "./MockPipes.ts"
import type { Pipe } from "./MockPipes.ts"
import type { OutputStream } from "./MockScript.ts"
import { MockWorld } from "./MockWorld.ts"

export interface IoOptions {
  /** How long `drained` waits for processes that outlive theirs and hold the pipe. */
  readonly drainDeadline?: Duration.Input
}

const make = Effect.fnUntraced(function* ({ drainDeadline = "2 seconds" }: IoOptions) {
  const { files, guard, pipes, sizes } = (yield* MockWorld).inner
  const memory = yield* MemoryOutput
  const readers = new WeakMap<Pipe, Fiber.Fiber<void>>()

  const sink =
    ({ ref, stdio: { log } }: IoRequest, stream: OutputStream) =>
    (bytes: Uint8Array) => {
      if (log._tag === "json") return memory.append(ref, stream, bytes)
      return Effect.sync(() => {
        if (log._tag === "file") files.set(log.path, [...(files.get(log.path) ?? []), bytes])
      })
    }

  /** Opens a FIFO; closing the scope closes it. It stays for the next host while a process has it open. */
  const fifo = (path: string, direction: Pipe["direction"]) =>
    Effect.acquireRelease(pipes.open(path, direction), ({ close }) => close)

  const output = Effect.fnUntraced(function* (request: IoRequest, stream: OutputStream) {
    const { close, descriptor, pipe } = yield* fifo(`${request.directory}/${stream}`, "output")
    const former = readers.get(pipe)
    if (former !== undefined) yield* Fiber.interrupt(former)
    const put = sink(request, stream)
    // What was taken from the pipe is put into the log, come what may.
    const next = Effect.uninterruptibleMask((restore) => Effect.flatMap(restore(Queue.take(pipe.queue)), put))
    const reader = yield* Effect.forkScoped(Effect.ignore(Effect.forever(next)))
    readers.set(pipe, reader)
    const unread = () => Queue.sizeUnsafe(pipe.queue) > 0
    return { descriptor, close, unread, ended: Effect.asVoid(Fiber.await(reader)) }
  })

  const openAll = Effect.fnUntraced(function* (request: IoRequest) {
    const silent = request.stdio.log._tag === "none"
    const terminal = request.terminal === true
    const stdout = silent ? null : yield* output(request, "stdout")
    const stderr = silent || terminal ? stdout : yield* output(request, "stderr")
    const stdin = request.stdio.stdin ? yield* fifo(`${request.directory}/stdin`, "input") : null
    const closeStdin = stdin === null ? Effect.void : Effect.asVoid(Queue.end(stdin.pipe.queue))
    yield* Effect.addFinalizer(() => closeStdin)
    const ended = Effect.andThen(stdout?.ended ?? Effect.void, stderr?.ended ?? Effect.void)
    const left = (): Drained => (stdout?.unread() === true || stderr?.unread() === true ? "truncated" : "complete")
    const io: OpenIo = {
      descriptors: {
        stdin: stdin?.descriptor ?? null,
        stdout: stdout?.descriptor ?? null,
        stderr: stderr?.descriptor ?? null
      },
      console: null,
      handOver: Effect.forEach([stdin, stdout, stderr], (end) => end?.close ?? Effect.void, { discard: true }),
      drained: Effect.map(Effect.timeoutOption(ended, drainDeadline), left),
      write: (bytes) => (stdin === null ? Effect.succeed(false) : write(stdin.pipe, bytes)),
      closeStdin: terminal ? Effect.void : closeStdin,
      resize: (size) =>
        Effect.sync(() => {
          if (terminal) sizes.set(processKey(request.ref), size)
          return terminal
        })
    }
    sizes.delete(processKey(request.ref))
    if (terminal && request.size) yield* io.resize(request.size)
    return io
  }, Effect.uninterruptible)

  return ProcessIo.of({
    open: Effect.fn("MockIo.open")((request) => guard("open", request.ref, [], openAll(request)))
  })
})

export const layer = (options: IoOptions = {}): Layer.Layer<ProcessIo, never, MockWorld | MemoryOutput> =>
  Layer.effect(ProcessIo, make(options))
