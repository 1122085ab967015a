/**
 * Files of cgroupfs that stay open between two reads: opening one costs four times what reading it does, and whoever watches a hundred containers reads the
 * same thousand files each second. The kernel takes a group away though its files are open, and says so at the next read. What nobody reads is closed soon.
 */
import { Effect, Latch } from "effect"
import type { Scope } from "effect"
import { closeSync, openSync, readFileSync } from "node:fs"
import { codeOf } from "../posix/Libc.ts"

/** A file, or a folder. It may be dropped without a word. */
export interface KeptFile {
  /** Has its descriptor used, which is opened where it is not. Throws what the system answers. */
  readonly use: <A>(work: (fd: number) => A) => A
  /** How often it has been opened so far. */
  readonly opened: () => number
  /** Until it is used again. */
  readonly close: () => void
}

/** The most files that are kept open, sixteen a container; others are opened for each read. */
const most = 3072

/** No more than a quarter of what this process may have open: runtimes, pipes and clients need theirs. */
const capacityOf = (): number => {
  try {
    const allowed = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]
    return allowed === undefined ? most : Math.min(most, Math.floor(Number(allowed) / 4))
  } catch {
    return most
  }
}

interface Kept {
  /** `null` while it is closed. */
  fd: number | null
  opened: number
  used: boolean
}

const useOnce = <A>(path: string, work: (fd: number) => A): A => {
  const fd = openSync(path, "r")
  try {
    return work(fd)
  } finally {
    closeSync(fd)
  }
}

/** Closes everything with the scope. */
export const make = Effect.fnUntraced(function* (
  capacity: number = capacityOf()
): Effect.fn.Return<(path: string) => KeptFile, never, Scope.Scope> {
  const open = new Set<Kept>()
  const some = yield* Latch.make()

  const close = (file: Kept) => {
    open.delete(file)
    if (file.fd !== null) closeSync(file.fd)
    file.fd = null
  }
  yield* Effect.addFinalizer(() => Effect.sync(() => open.forEach(close)))
  const sweep = Effect.suspend(() => {
    for (const file of open) {
      if (file.used) file.used = false
      else close(file)
    }
    return open.size === 0 ? some.close : Effect.void
  })
  yield* Effect.forkScoped(Effect.forever(some.whenOpen(Effect.andThen(Effect.sleep("10 seconds"), sweep))))

  const opening = (path: string): number => {
    try {
      return openSync(path, "r")
    } catch (error) {
      // What is kept is kept to be quick; somebody needs it more now.
      if (codeOf(error) !== "EMFILE" || open.size === 0) throw error
      open.forEach(close)
      return openSync(path, "r")
    }
  }

  const reopen = <A>(path: string, file: Kept, work: (fd: number) => A): A => {
    file.opened++
    if (open.size >= capacity) return useOnce(path, work)
    const fd = opening(path)
    file.fd = fd
    open.add(file)
    some.openUnsafe()
    try {
      return work(fd)
    } catch (error) {
      close(file)
      throw error
    }
  }

  return (path) => {
    const file: Kept = { fd: null, opened: 0, used: false }
    return {
      use: (work) => {
        file.used = true
        if (file.fd === null) return reopen(path, file, work)
        try {
          return work(file.fd)
        } catch (error) {
          close(file)
          // The group is gone; another of the same name may be there by now.
          if (codeOf(error) === "ENODEV") return reopen(path, file, work)
          throw error
        }
      },
      opened: () => file.opened,
      close: () => close(file)
    }
  }
})
