/**
 * The end of a process kept by the kernel while nobody of ours lives: its pidfd, mounted on a file. A mount needs no process that has it open, and as long as
 * it is there the kernel (Linux 6.15) tells of what it mounts with which status it ended. Where the kernel or the rights do not allow that there is
 * no pin, and nothing to recall.
 */
import { Effect, Option } from "effect"
import { closeSync, existsSync, openSync, rmSync, writeFileSync } from "node:fs"
import type { Identity } from "../../schema/TaskState.ts"
import { unavailable } from "../io/DiskFailure.ts"
import { codeOf, Libc } from "../posix/Libc.ts"
import * as Proc from "../posix/Proc.ts"

const close = (fd: number) => Effect.sync(() => closeSync(fd))

/** None where there is no pin. Fails where that cannot be told. */
const opened = (path: string) =>
  Effect.suspend(() => {
    try {
      return Effect.succeedSome(openSync(path, "r"))
    } catch (error) {
      return codeOf(error) === "ENOENT"
        ? Effect.succeed(Option.none<number>())
        : Effect.fail(unavailable("pin of a process", "open it", error))
    }
  })

export const remove = Effect.fnUntraced(function* (libc: Libc["Service"], path: string) {
  if (!existsSync(path)) return
  yield* Effect.ignore(libc.unmount(path))
  yield* Effect.ignore(Effect.try(() => rmSync(path, { force: true })))
})

export const make = Effect.gen(function* () {
  const libc = yield* Libc

  const mount = (pidfd: number, { pid, startTime }: Identity, path: string) =>
    Effect.gen(function* () {
      // Only now it is sure whose descriptor that is. A child that nobody has waited for keeps its pid.
      if (!Option.exists(yield* Proc.stat(pid), (found) => found.startTime === startTime)) return
      yield* Effect.try(() => writeFileSync(path, "", { mode: 0o600 }))
      yield* Effect.onError(libc.mountDescriptor(pidfd, path), () => remove(libc, path))
    })

  return {
    pin: (identity: Identity, path: string) =>
      Effect.ignore(
        Effect.acquireUseRelease(libc.pidfdOpen(identity.pid), (pidfd) => mount(pidfd, identity, path), close)
      ),
    recall: (path: string) =>
      Effect.acquireUseRelease(
        opened(path),
        Option.match({
          onNone: () => Effect.succeed(Option.none<number>()),
          // Of a plain file, or on a kernel that does not keep it, nothing is known.
          onSome: (fd) => Effect.orElseSucceed(libc.pidfdExitStatus(fd), () => Option.none<number>())
        }),
        Option.match({ onNone: () => Effect.void, onSome: close })
      ),
    unpin: (path: string) => remove(libc, path)
  }
})
