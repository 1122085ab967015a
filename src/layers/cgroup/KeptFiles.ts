/**
 * Files of cgroupfs that stay open between two reads: opening one costs four times what reading it does, and whoever watches a hundred containers reads the
 * same thousand files each second. The kernel takes a group away though its files are open, and says so at the next read. What nobody reads is closed soon.
 */
import { Effect, Latch } from "effect"
import type { Scope } from "effect"
import { closeSync, openSync, readSync } from "node:fs"
import { codeOf } from "../posix/Libc.ts"

/** Fills the buffer as far as one read does, and gives the number of bytes. Throws what the system answers. */
export type Read = (path: string, buffer: Buffer) => number

/** The most files that are kept open; others are opened for each read. */
const capacity = 2048

interface Kept {
  readonly fd: number
  used: boolean
}

const readOnce: Read = (path, buffer) => {
  const fd = openSync(path, "r")
  try {
    return readSync(fd, buffer, 0, buffer.length, 0)
  } finally {
    closeSync(fd)
  }
}

/** Closes everything with the scope. */
export const make: Effect.Effect<Read, never, Scope.Scope> = Effect.gen(function* () {
  const files = yield* Effect.acquireRelease(
    Effect.sync(() => new Map<string, Kept>()),
    (files) => Effect.sync(() => files.forEach(({ fd }) => closeSync(fd)))
  )
  const some = yield* Latch.make()

  const close = (path: string, { fd }: Kept) => {
    files.delete(path)
    closeSync(fd)
  }
  const sweep = Effect.suspend(() => {
    for (const [path, kept] of files) {
      if (kept.used) kept.used = false
      else close(path, kept)
    }
    return files.size === 0 ? some.close : Effect.void
  })
  yield* Effect.forkScoped(Effect.forever(some.whenOpen(Effect.andThen(Effect.sleep("10 seconds"), sweep))))

  return (path, buffer) => {
    const known = files.get(path)
    if (known !== undefined) {
      try {
        known.used = true
        return readSync(known.fd, buffer, 0, buffer.length, 0)
      } catch (error) {
        close(path, known)
        // The group is gone; another of the same name may be there by now.
        if (codeOf(error) !== "ENODEV") throw error
      }
    }
    if (files.size >= capacity) return readOnce(path, buffer)
    const kept = { fd: openSync(path, "r"), used: true }
    files.set(path, kept)
    some.openUnsafe()
    try {
      return readSync(kept.fd, buffer, 0, buffer.length, 0)
    } catch (error) {
      close(path, kept)
      throw error
    }
  }
})
