/**
 * The pipes of a pretended machine and the descriptors that name them. A pipe holds what Linux lets it hold and then makes its writer wait. It counts the open
 * ends of the container's side: when the last one is closed, a reader of output finds the end, and a writer of input nobody to write to.
 */
import type { Cause } from "effect"
import { Effect, Queue } from "effect"
import type { Descriptors } from "../../services/OciRuntime.ts"

const pageSize = 4096
const pages = 16

export type Direction = "input" | "output"

export interface Pipe {
  readonly path: string
  readonly direction: Direction
  readonly queue: Queue.Queue<Uint8Array, Cause.Done>
  /** Open ends of the container's side. */
  ends: number
}

/** What a process has open. */
export type Stdio = Readonly<Record<"stdin" | "stdout" | "stderr", Pipe | null>>

/** Writes it all; false where nobody reads any more. A reader that waits gets it at once, before time can pass. */
export const write = (pipe: Pipe, bytes: Uint8Array): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    for (let at = 0; at < bytes.length; at += pageSize) {
      if (!(yield* Queue.offer(pipe.queue, bytes.slice(at, at + pageSize)))) return false
      yield* Queue.flush(pipe.queue)
    }
    return pipe.ends > 0
  })

export const makePipes = () => {
  const fifos = new Map<string, Pipe>()
  const descriptors = new Map<number, Pipe>()
  let next = 1000

  /** Lets go of one end of the container's side. */
  const release = (pipe: Pipe) =>
    Effect.suspend(() => {
      pipe.ends--
      if (pipe.ends > 0) return Effect.void
      if (fifos.get(pipe.path) === pipe) fifos.delete(pipe.path)
      return pipe.direction === "output" ? Queue.end(pipe.queue) : Queue.shutdown(pipe.queue)
    })

  /** Opens both ends of the FIFO at `path`, which is made where no process holds one already. The descriptor is the container's end. */
  const open = Effect.fnUntraced(function* (path: string, direction: Direction) {
    const pipe: Pipe = fifos.get(path) ?? {
      path,
      direction,
      queue: yield* Queue.bounded<Uint8Array, Cause.Done>(pages),
      ends: 0
    }
    fifos.set(path, pipe)
    pipe.ends++
    const descriptor = next++
    descriptors.set(descriptor, pipe)
    const close = Effect.suspend(() => (descriptors.delete(descriptor) ? release(pipe) : Effect.void))
    return { pipe, descriptor, close }
  })

  /** Gives a process ends of its own; `null` where a descriptor is not open. */
  const hold = ({ stderr, stdin, stdout }: Descriptors): Stdio | null => {
    if ([stdin, stdout, stderr].some((descriptor) => descriptor !== null && !descriptors.has(descriptor))) return null
    const end = (descriptor: number | null) => share(descriptor === null ? null : (descriptors.get(descriptor) ?? null))
    return { stdin: end(stdin), stdout: end(stdout), stderr: end(stderr) }
  }

  /** Gives a child what its parent has. */
  const share = (pipe: Pipe | null): Pipe | null => {
    if (pipe !== null) pipe.ends++
    return pipe
  }

  /** Takes a FIFO away from its path; who has it open keeps it. */
  const unlink = (pipe: Pipe) =>
    Effect.sync(() => {
      if (fifos.get(pipe.path) === pipe) fifos.delete(pipe.path)
    })

  return { open, hold, share, release, unlink, descriptors: Effect.sync(() => Array.from(descriptors.keys())) } as const
}
export type Pipes = ReturnType<typeof makePipes>
