/** The descriptors that go to a container, and how FIFOs are made and opened for that. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { closeSync, constants, lstatSync, openSync } from "node:fs"
import type { InvalidArgument, ResourceExhausted, Unavailable } from "../../schema/Errors.ts"
import type { Libc } from "../posix/Libc.ts"
import { diskFailure } from "./DiskFailure.ts"

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants
const what = "standard streams"

export type Failure = InvalidArgument | ResourceExhausted | Unavailable

/** A descriptor that goes to the container. */
export interface ContainerEnd {
  readonly fd: number
  /** May be called again. */
  readonly close: Effect.Effect<void>
}

export const attempt = <A>(action: string, path: string, run: () => A): Effect.Effect<A, Failure> =>
  Effect.try({ try: run, catch: (error) => diskFailure(what, action, path, error) })

export const containerEnd = (fd: number): Effect.Effect<ContainerEnd, never, Scope.Scope> => {
  let open = true
  const close = Effect.sync(() => {
    if (open) closeSync(fd)
    open = false
  })
  return Effect.acquireRelease(Effect.succeed({ fd, close }), () => close)
}

/** Whether what has this name is a FIFO; `undefined` where nothing has it. */
export const isFifo = (path: string): boolean | undefined => lstatSync(path, { throwIfNoEntry: false })?.isFIFO()

/** Makes a FIFO; one that is there already is as good: the host before left it, or its user made it. */
export const makeFifo = (libc: Libc["Service"], path: string): Effect.Effect<void, Failure> =>
  libc.mkfifo(path, 0o600).pipe(
    Effect.catchIf(
      ({ code }) => code === "EEXIST" && isFifo(path) === true,
      () => Effect.void
    ),
    Effect.mapError((error) => diskFailure(what, "make a FIFO", path, error))
  )

/** Both ends of a FIFO for input. A plain open waits for the other end, so a third descriptor, which never waits, stands in for each in turn. */
export const openInputEnds = (path: string): { readonly ours: number; readonly theirs: number } => {
  const standIn = openSync(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW)
  try {
    const ours = openSync(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW)
    try {
      return { ours, theirs: openSync(path, O_RDONLY | O_NOFOLLOW) }
    } catch (error) {
      closeSync(ours)
      throw error
    }
  } finally {
    closeSync(standIn)
  }
}
