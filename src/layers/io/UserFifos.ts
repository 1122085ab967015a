/**
 * FIFOs of the user's as the output of a process, which has them as its own descriptors: nothing is copied, and the end of a shim is not noticed. They are
 * opened for reading and writing, so that a reader which goes or never comes cannot kill the process: it waits when the pipe is full. What is in
 * the pipe stays readable until the process is deleted. FIFOs that are not there are made, and go with the process: what was made is written down in its own
 * folder, for whoever holds it by then. What was there before is never removed.
 */
import { Effect, Option, Schema } from "effect"
import {
  appendFileSync,
  closeSync,
  constants,
  existsSync,
  lstatSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync
} from "node:fs"
import { join } from "node:path"
import { InvalidArgument } from "../../schema/Errors.ts"
import type { Libc } from "../posix/Libc.ts"
import { attempt, containerEnd, isFifo, makeFifo } from "./ContainerEnds.ts"
import { targetFailure } from "./DiskFailure.ts"

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants

const field = "stdio.log.directory"
const refuse = (problem: string) => Effect.fail(new InvalidArgument({ field, problem: `folder of FIFOs: ${problem}` }))

/** A line for each FIFO that was made: what it is, where it is. */
const madeIn = (folder: string) => join(folder, "fifos-made")
const Made = Schema.fromJsonString(Schema.Struct({ file: Schema.String, path: Schema.String }))
const decode = Schema.decodeUnknownOption(Made)

/** `undefined` where nothing has this name. */
const identityOf = (path: string): string | undefined => {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? undefined : `${found.dev}:${found.ino}`
}

const writeDown = (folder: string, path: string) =>
  attempt("write down a FIFO", folder, () => {
    const file = identityOf(path)
    if (file !== undefined) appendFileSync(madeIn(folder), `${JSON.stringify({ file, path })}\n`, { mode: 0o600 })
  })

/** Removes the FIFOs that were made for the process of this folder; something else that has got their name stays. */
export const removeMade = (folder: string): void => {
  if (!existsSync(madeIn(folder))) return
  for (const line of readFileSync(madeIn(folder), "utf8").split("\n")) {
    const made = Option.getOrUndefined(decode(line))
    try {
      if (made !== undefined && identityOf(made.path) === made.file) unlinkSync(made.path)
    } catch {
      // Its folder is its user's, and may be gone or closed to us.
    }
  }
}

/** Makes the FIFOs where they are not there; `folder` is the process's own. */
export const prepare = Effect.fnUntraced(function* (
  libc: Libc["Service"],
  {
    directory,
    folder,
    names
  }: {
    readonly directory: string
    readonly folder: string
    readonly names: ReadonlyArray<string>
  }
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
  for (const name of names) {
    const path = join(directory, name)
    const isNew = identityOf(path) === undefined
    yield* makeFifo(libc, path)
    if (isNew) yield* writeDown(folder, path)
  }
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
