/**
 * FIFOs of the user's as the output of a process, which has them as its own descriptors: nothing is copied, and the end of a shim is not noticed. They are
 * opened for reading and writing, so that a reader which goes or never comes cannot kill the process: it waits when the pipe is full. What is in
 * the pipe stays readable until the process is deleted. FIFOs that are not there are made; none is ever removed.
 */
import { Effect } from "effect"
import { closeSync, constants, openSync, statSync } from "node:fs"
import { join } from "node:path"
import { InvalidArgument } from "../../schema/Errors.ts"
import type { Libc } from "../posix/Libc.ts"
import { attempt, containerEnd, isFifo, makeFifo } from "./ContainerEnds.ts"
import { targetFailure } from "./DiskFailure.ts"

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants

const field = "stdio.log.directory"
const refuse = (problem: string) => Effect.fail(new InvalidArgument({ field, problem: `folder of FIFOs: ${problem}` }))

/** Makes the FIFOs where they are not there. */
export const prepare = Effect.fnUntraced(function* (
  libc: Libc["Service"],
  directory: string,
  names: ReadonlyArray<string>
) {
  const found = yield* Effect.try({
    try: () => statSync(directory, { throwIfNoEntry: false }),
    catch: (error) => targetFailure(field, "folder of FIFOs", "look at it", directory, error)
  })
  // A name that was mistyped should not become a folder that nobody reads from.
  if (found === undefined) return yield* refuse(`${directory} does not exist, make it first`)
  if (!found.isDirectory()) return yield* refuse(`${directory} is not a folder`)
  for (const name of names) {
    if (isFifo(join(directory, name)) === false) return yield* refuse(`its ${name} is no FIFO`)
  }
  yield* Effect.forEach(names, (name) => makeFifo(libc, join(directory, name)), { discard: true })
})

/** The container's end of an output. */
export const openOutput = Effect.fnUntraced(function* (path: string) {
  const end = yield* containerEnd(yield* attempt("open a FIFO", path, () => openSync(path, O_RDWR | O_NOFOLLOW)))
  // A pipe that nobody has open forgets what is in it.
  yield* Effect.acquireRelease(
    attempt("open a FIFO", path, () => openSync(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW)),
    (fd) => Effect.sync(() => closeSync(fd))
  )
  return end
})
