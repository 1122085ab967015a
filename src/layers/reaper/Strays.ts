/**
 * Orphans that became our children because we are their subreaper and that nobody has claimed. Left alone they would
 * stay zombies for ever. Reaps them, but only after they have been zombies for a while: what is to be claimed must be
 * found with its exit status.
 */
import { Clock, Effect } from "effect"
import { Children } from "../posix/Children.ts"
import { Libc } from "../posix/Libc.ts"
import * as Proc from "../posix/Proc.ts"

/** How long a zombie waits to be claimed. */
export const patience = 10_000_000_000n

/** Gives a sweep, to be run now and then. `claimed` tells the pids that somebody waits for. */
export const make = Effect.fnUntraced(function* (claimed: (pid: number) => boolean) {
  const libc = yield* Libc
  const children = yield* Children
  const since = new Map<string, bigint>()

  const sweep = Effect.fnUntraced(function* () {
    const now = yield* Clock.monotonicTimeNanos
    const seen = new Set<string>()
    for (const pid of yield* Proc.children) {
      if (claimed(pid) || children.has(pid)) continue
      const found = yield* Proc.stat(pid)
      if (found._tag === "None" || !Proc.isDead(found.value)) continue
      const key = `${pid}/${found.value.startTime}`
      const first = since.get(key) ?? now
      if (now - first >= patience) {
        yield* Effect.ignore(libc.waitpid(pid))
      } else {
        since.set(key, first)
        seen.add(key)
      }
    }
    for (const key of since.keys()) if (!seen.has(key)) since.delete(key)
  })
  return { sweep } as const
})
