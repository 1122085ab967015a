/**
 * Ends of processes that are not our children: taken over from a process that died, so the kernel tells nobody here. A
 * pidfd opened while they live becomes readable at their end, and the kernel (6.15) keeps the status behind it even
 * after their parent has waited for them; a zombie shows it in /proc to those who may trace it. Node cannot wait for a
 * pidfd, so all of them are polled together, one system call each round. Where descriptors are short there is none, and
 * /proc is asked until there is. A look that fails says nothing: only the kernel's word ends a process.
 */
import { Clock, DateTime, Effect, Latch, Option } from "effect"
import { closeSync } from "node:fs"
import type { Identity } from "../../schema/TaskState.ts"
import type { Reaped } from "../../schema/Process.ts"
import { hasRoom, spare } from "../posix/Descriptors.ts"
import { Libc, exitStatus } from "../posix/Libc.ts"
import * as Proc from "../posix/Proc.ts"

const interval = "50 millis"
/** How often a pidfd is asked for that could not be had, in nanoseconds. */
const openInterval = 1_000_000_000n

interface Watched {
  readonly identity: Identity
  /** None on a kernel without pidfds, or for want of descriptors: /proc is asked at each round. */
  pidfd: Option.Option<number>
  readonly end: (reaped: Reaped) => Effect.Effect<unknown>
}

const unknown: Omit<Reaped, "exitedAt"> = { exitStatus: 255, source: "unknown" }

/**
 * Starts the watch, for the scope's life. The function given calls `end` when the process has ended, at once where it
 * already has.
 */
export const make = Effect.gen(function* () {
  const libc = yield* Libc
  const watched = new Set<Watched>()
  const some = yield* Latch.make()

  // Without the right to trace, /proc shows 0 for every zombie: then only another value is the truth.
  const trusted = (word: number) => word !== 0 || process.geteuid?.() === 0

  const find = (identity: Identity) =>
    Effect.map(
      Proc.stat(identity.pid),
      Option.filter(({ startTime }) => startTime === identity.startTime)
    )

  const look = Effect.fnUntraced(function* ({ identity, pidfd }: Watched) {
    const seen = yield* Effect.option(find(identity))
    const found = Option.flatten(seen)
    if (Option.isSome(found)) {
      if (!Proc.isDead(found.value)) return Option.none()
      if (found.value.parent === process.pid) {
        const status = yield* Effect.option(libc.waitpid(identity.pid))
        if (Option.isSome(status) && Option.isSome(status.value)) {
          return Option.some({ exitStatus: status.value.value, source: "reaped" } as const)
        }
      }
      if (trusted(found.value.exitWord)) {
        return Option.some({ exitStatus: exitStatus(found.value.exitWord), source: "kernel" } as const)
      }
    }
    // Only now: once the process is gone from /proc its status is behind the pidfd.
    const kept = Option.isSome(pidfd) ? yield* Effect.option(libc.pidfdExitStatus(pidfd.value)) : Option.none()
    if (Option.isSome(kept) && Option.isSome(kept.value)) {
      return Option.some({ exitStatus: kept.value.value, source: "kernel" } as const)
    }
    return Option.isNone(seen) || Option.isSome(found) ? Option.none() : Option.some(unknown)
  })

  /** Held only where enough are left for what cannot do without. */
  const open = Effect.fnUntraced(function* (pid: number) {
    if (!(yield* hasRoom(spare))) return Option.none<number>()
    return yield* Effect.option(libc.pidfdOpen(pid))
  })

  let openedAt = 0n
  /** For those that have none. Only while its process is seen to live it is sure whose descriptor it is. */
  const openLater = Effect.gen(function* () {
    const now = yield* Clock.monotonicTimeNanos
    const without = Array.from(watched).filter(({ pidfd }) => Option.isNone(pidfd))
    if (without.length === 0 || now - openedAt < openInterval) return
    openedAt = now
    for (const entry of without) {
      const pidfd = yield* open(entry.identity.pid)
      if (Option.isNone(pidfd)) return
      const found = yield* Effect.option(find(entry.identity))
      if (Option.isSome(Option.flatten(found))) entry.pidfd = pidfd
      else closeSync(pidfd.value)
    }
  })

  const forget = (entry: Watched) =>
    Effect.sync(() => {
      if (watched.delete(entry) && Option.isSome(entry.pidfd)) closeSync(entry.pidfd.value)
    })

  const settle = Effect.fnUntraced(function* (entry: Watched) {
    const end = yield* look(entry)
    if (Option.isNone(end)) return
    yield* forget(entry)
    yield* entry.end({ ...end.value, exitedAt: yield* DateTime.now })
  })

  const round = Effect.gen(function* () {
    yield* openLater
    const fds = Array.from(watched).flatMap(({ pidfd }) => Option.toArray(pidfd))
    const ready = new Set(yield* Effect.orElseSucceed(libc.readable(fds), () => fds))
    const candidates = Array.from(watched).filter(({ pidfd }) => Option.isNone(pidfd) || ready.has(pidfd.value))
    yield* Effect.forEach(candidates, settle, { discard: true })
    if (watched.size === 0) yield* some.close
  })

  yield* Effect.forkScoped(Effect.forever(some.whenOpen(Effect.andThen(round, Effect.sleep(interval)))))
  yield* Effect.addFinalizer(() => Effect.forEach(Array.from(watched), forget, { discard: true }))

  return Effect.fnUntraced(function* (identity: Identity, end: Watched["end"]) {
    const entry: Watched = { identity, pidfd: yield* open(identity.pid), end }
    watched.add(entry)
    yield* settle(entry)
    if (watched.has(entry)) yield* some.open
  }, Effect.uninterruptible)
})
