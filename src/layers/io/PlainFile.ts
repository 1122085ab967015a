/** The files of the user that output is appended to as it is: only regular ones, by an absolute path. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { constants } from "node:fs"
import { isAbsolute } from "node:path"
import { InvalidArgument } from "../../schema/Errors.ts"
import type { ResourceExhausted, Unavailable } from "../../schema/Errors.ts"
import { targetFailure } from "./DiskFailure.ts"
import * as UserPaths from "./UserPaths.ts"

const { O_APPEND, O_CREAT, O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants

/** `null` where the path leads to something else. It is opened twice, as opening a FIFO could wait, and the container's own descriptor must be one that can. */
const openFile = (path: string): Effect.Effect<number | null, unknown> =>
  Effect.acquireUseRelease(
    UserPaths.openFile(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK, 0o640),
    (probe) =>
      Effect.flatMap(UserPaths.statOpen(probe), (found) =>
        found.isFile() ? UserPaths.openFile(`/proc/self/fd/${probe}`, O_WRONLY | O_APPEND) : Effect.succeed(null)
      ),
    UserPaths.closeLater
  )

const field = "stdio.log.path"
const refuse = (problem: string) => new InvalidArgument({ field, problem: `log file: ${problem}` })

/** To append to; closed with the scope, unless that was done before. */
export const open = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<UserPaths.UserFile, InvalidArgument | ResourceExhausted | Unavailable, Scope.Scope> {
  if (!isAbsolute(path)) return yield* refuse("the path must be absolute")
  const fd = yield* Effect.mapError(openFile(path), (error) => targetFailure(field, "log file", "open it", path, error))
  if (fd === null) return yield* refuse("it is not a regular file")
  return yield* Effect.acquireRelease(UserPaths.userFile(fd), ({ close }) => close)
}, Effect.uninterruptible)
