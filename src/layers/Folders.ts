/** Makes folders one by one. Node's own recursive way never returns where a file system refuses new folders, such as /proc. */
import { Effect } from "effect"
import { mkdirSync, statSync } from "node:fs"
import { dirname } from "node:path"
import { InvalidArgument } from "../schema/Errors.ts"
import { codeOf } from "./posix/Libc.ts"

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

const makeAll = (path: string, mode: number): void => {
  if (isFolder(path)) return
  const parent = dirname(path)
  if (parent !== path) makeAll(parent, mode)
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    // Somebody else may have been faster.
    if (!isFolder(path)) throw error
  }
}

const reasons: { readonly [code: string]: string } = {
  ENOENT: "no folder can be made there",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  EEXIST: "there is a file",
  ENOTDIR: "there is a file",
  ENOSPC: "the disk is full"
}

/** Why nothing could be made, in words where there are some. */
export const reasonOf = (error: unknown): string => reasons[codeOf(error)] ?? codeOf(error)

/** An absolute path; what exists stays as it is. `field` is what the error names. */
export const ensure = (field: string, path: string, mode = 0o700): Effect.Effect<void, InvalidArgument> =>
  Effect.try({
    try: () => makeAll(path, mode),
    catch: (error) => new InvalidArgument({ field, problem: `cannot make the folder "${path}": ${reasonOf(error)}` })
  })
