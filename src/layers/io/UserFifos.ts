/**
 * FIFOs of the user's as the output of a process, which has them as its own descriptors: nothing is copied, and the end of a shim is not noticed. They are
 * opened for reading and writing, so that a reader which goes or never comes cannot kill the process: it waits when the pipe is full. What is in
 * the pipe stays readable until the process is deleted. FIFOs that are not there are made, and go with the process: what was made is written down in its own
 * folder, for whoever holds it by then. What was there before is never removed.
 */
import { Effect, Option, Schema } from "effect"
import { appendFileSync, closeSync, constants, existsSync, lstatSync, readFileSync, unlinkSync } from "node:fs"
import { join } from "node:path"
import { InvalidArgument } from "../../schema/Errors.ts"
import type { Libc } from "../posix/Libc.ts"
import { codeOf } from "../posix/Libc.ts"
import { attempt, containerEnd, makeFifo } from "./ContainerEnds.ts"
import { diskFailure, targetFailure } from "./DiskFailure.ts"
import * as UserPaths from "./UserPaths.ts"

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = constants

const field = "stdio.log.directory"
const refuse = (problem: string) => Effect.fail(new InvalidArgument({ field, problem: `folder of FIFOs: ${problem}` }))

const absent = ["ENOENT", "ENOTDIR"]

/** A line for each FIFO that was made: what it is, where it is. */
const madeIn = (folder: string) => join(folder, "fifos-made")
const Made = Schema.fromJsonString(Schema.Struct({ file: Schema.String, path: Schema.String }))
const decode = Schema.decodeUnknownOption(Made)

/** `undefined` where nothing has this name. */
const identityOf = (path: string): string | undefined => {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? undefined : `${found.dev}:${found.ino}`
}

const lookAt = (path: string) =>
  UserPaths.statOfName(path).pipe(
    Effect.catchIf(
      (error) => absent.includes(codeOf(error)),
      () => Effect.succeed(null)
    ),
    Effect.mapError((error) => targetFailure(field, "folder of FIFOs", "look at it", path, error))
  )

const writeDown = Effect.fnUntraced(function* (folder: string, path: string) {
  const found = yield* lookAt(path)
  if (found === null) return
  const made = `${JSON.stringify({ file: `${found.dev}:${found.ino}`, path })}\n`
  yield* attempt("write down a FIFO", folder, () => appendFileSync(madeIn(folder), made, { mode: 0o600 }))
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
  const found = yield* UserPaths.statOf(directory).pipe(
    Effect.catchIf(
      (error) => absent.includes(codeOf(error)),
      () => Effect.succeed(null)
    ),
    Effect.mapError((error) => targetFailure(field, "folder of FIFOs", "look at it", directory, error))
  )
  // A name that was mistyped should not become a folder that nobody reads from.
  if (found === null) return yield* refuse(`${directory} does not exist, make it first`)
  if (!found.isDirectory()) return yield* refuse(`${directory} is not a folder`)
  const missing: Array<string> = []
  for (const name of names) {
    const there = yield* lookAt(join(directory, name))
    if (there === null) missing.push(join(directory, name))
    else if (!there.isFIFO()) return yield* refuse(`its ${name} is no FIFO`)
  }
  // The folder has just answered: this is done at once.
  for (const path of missing) {
    yield* makeFifo(libc, path)
    yield* writeDown(folder, path)
  }
})

const openFifo = (path: string, flags: number) =>
  Effect.mapError(UserPaths.openFile(path, flags | O_NOFOLLOW), (error) =>
    diskFailure("standard streams", "open a FIFO", path, error)
  )

/** The container's end of an output. */
export const openOutput = Effect.fnUntraced(function* (path: string) {
  const end = yield* containerEnd(yield* openFifo(path, O_RDWR))
  // A pipe that nobody has open forgets what is in it.
  yield* Effect.acquireRelease(openFifo(path, O_RDONLY | O_NONBLOCK), (fd) => Effect.sync(() => closeSync(fd)))
  return end
}, Effect.uninterruptible)

/** Both ends of an input, for the caller to close. A plain open waits for the other end, so a third descriptor, which never waits, stands in for each in turn. */
export const openInputEnds = Effect.fnUntraced(function* (path: string) {
  const shut = (fd: number) => Effect.sync(() => closeSync(fd))
  return yield* Effect.acquireUseRelease(
    openFifo(path, O_RDONLY | O_NONBLOCK),
    () =>
      Effect.flatMap(openFifo(path, O_WRONLY | O_NONBLOCK), (ours) =>
        Effect.map(
          Effect.onError(openFifo(path, O_RDONLY), () => shut(ours)),
          (theirs) => ({ ours, theirs })
        )
      ),
    shut
  )
}, Effect.uninterruptible)
