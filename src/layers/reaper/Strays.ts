/**
 * Orphans that became our children because we are their subreaper and that nobody waits for. They must not stay: the end of a pid namespace's init waits
 * until every zombie of that namespace is reaped. Nor may they be reaped at once: Node waits for its own children, in the same turn of the event loop.
 * What a stray's status was is kept for a while, for the claim that comes late.
 */
import { Clock, Effect, Option } from "effect"
import { Children } from "../posix/Children.ts"
import { Libc } from "../posix/Libc.ts"
import * as Proc from "../posix/Proc.ts"

/** How long a zombie waits for whoever may wait for it, in nanoseconds. */
export const patience = 150_000_000n
/** How long its status is kept. */
export const memory = 30_000_000_000n

export interface Stray {
  readonly startTime: string
  readonly exitStatus: number
}

/** Gives a sweep, to be run when a child ends that nobody waits for. `claimed` tells the pids that somebody waits for. */
export const make = Effect.fnUntraced(function* (claimed: (pid: number) => boolean) {
  const libc = yield* Libc
  const children = yield* Children
  const since = new Map<string, bigint>()
  const reaped = new Map<number, Stray & { readonly at: bigint }>()

  /** True while a zombie is left that was too young. */
  const sweep = Effect.fnUntraced(function* () {
    const now = yield* Clock.monotonicTimeNanos
    const seen = new Set<string>()
    for (const pid of yield* Proc.children) {
      if (claimed(pid) || children.has(pid)) continue
      const found = yield* Proc.stat(pid)
      if (found._tag === "None" || !Proc.isDead(found.value)) continue
      const { startTime } = found.value
      const key = `${pid}/${startTime}`
      const first = since.get(key) ?? now
      if (now - first < patience) {
        since.set(key, first)
        seen.add(key)
        continue
      }
      const status = yield* Effect.option(libc.waitpid(pid))
      if (Option.isSome(status) && Option.isSome(status.value)) {
        reaped.set(pid, { startTime, exitStatus: status.value.value, at: now })
      }
    }
    for (const key of since.keys()) if (!seen.has(key)) since.delete(key)
    for (const [pid, { at }] of reaped) if (now - at > memory) reaped.delete(pid)
    return seen.size > 0
  })

  /** The stray that had this pid, once: for a process that is not there any more. */
  const recall = (pid: number): Option.Option<Stray> => {
    const found = reaped.get(pid)
    reaped.delete(pid)
    return Option.fromUndefinedOr(found)
  }

  return { recall, sweep } as const
})
