/** The files of the user that output is appended to as it is: only regular ones, by an absolute path. */
import { Effect } from "effect"
import { closeSync, constants, fstatSync, openSync } from "node:fs"
import { isAbsolute } from "node:path"
import { InvalidArgument } from "../../schema/Errors.ts"
import type { ResourceExhausted, Unavailable } from "../../schema/Errors.ts"
import { targetFailure } from "./DiskFailure.ts"

const { O_APPEND, O_CREAT, O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants

/** `null` where the path leads to something else. It is opened twice, as opening a FIFO could wait, and the container's own descriptor must be one that can. */
const openFile = (path: string): number | null => {
  const probe = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK, 0o640)
  try {
    return fstatSync(probe).isFile() ? openSync(`/proc/self/fd/${probe}`, O_WRONLY | O_APPEND) : null
  } finally {
    closeSync(probe)
  }
}

const field = "stdio.log.path"
const refuse = (problem: string) => new InvalidArgument({ field, problem: `log file: ${problem}` })

/** A descriptor to append with; the caller closes it. */
export const open = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<number, InvalidArgument | ResourceExhausted | Unavailable> {
  if (!isAbsolute(path)) return yield* refuse("the path must be absolute")
  const fd = yield* Effect.try({
    try: () => openFile(path),
    catch: (error) => targetFailure(field, "log file", "open it", path, error)
  })
  return fd ?? (yield* refuse("it is not a regular file"))
})
