/** A folder on which nothing ever answers: any system call that looks into it waits. */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { Libc } from "../../src/layers/posix/Libc.ts"
import { temporaryFolder } from "./folder.ts"

const program = fileURLToPath(new URL("./hungMountHolder.ts", import.meta.url))

export const canHang = process.getuid?.() === 0 && existsSync("/dev/fuse")

/** Answers with errors and is unmounted when the scope closes. Do not look into it from the event loop. */
export const hungMount = Effect.gen(function* () {
  const libc = yield* Libc
  const folder = yield* temporaryFolder
  yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn(process.execPath, [program, folder], { stdio: ["pipe", "pipe", "inherit"] })
      await Promise.race([once(child.stdout, "data"), once(child, "exit")])
      return child
    }),
    (child) =>
      Effect.promise(async () => {
        const ended = child.exitCode === null ? once(child, "exit") : null
        child.stdin.end()
        await ended
      }).pipe(Effect.andThen(Effect.ignore(libc.unmount(folder))))
  )
  return folder
})
