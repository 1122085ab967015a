/**
 * What is held of every process so that nothing is lost while its shim is dead. A pidfd: by it the kernel (Linux 6.15) still tells the exit status
 * of a process that ended while nobody waited for it. And the pipes that it prints into, open and never read: the kernel keeps what is in them for
 * as long as anybody has them open. The next shim reads on where the last one stopped. The daemon holds them for as long as it lives; a shim until it has
 * taken over, for the daemon may die before that.
 */
import { Effect, Option } from "effect"
import { closeSync, constants, openSync } from "node:fs"
import { join } from "node:path"
import type { HostedRecord } from "../../schema/Host.ts"
import type { ProcessRef } from "../../schema/Ids.ts"
import { processKey } from "../../schema/Ids.ts"
import type { Exit, Stdio } from "../../schema/Process.ts"
import type { Identity } from "../../schema/TaskState.ts"
import { pathOf, peek } from "../FileTaskDirectory.ts"
import { Libc } from "../posix/Libc.ts"
import * as Proc from "../posix/Proc.ts"

interface Kept {
  readonly identity: Identity
  /** Whether the pipes are open from a time at which it lived, or a shim had them open: then nothing of what it printed is gone. */
  readonly held: boolean
  readonly pidfd: Option.Option<number>
  readonly pipes: ReadonlyArray<number>
}

const { O_NONBLOCK, O_RDONLY } = constants

/** One that is not there any more, or never was, has nothing to keep. */
const openPipe = (path: string): ReadonlyArray<number> => {
  try {
    return [openSync(path, O_RDONLY | O_NONBLOCK)]
  } catch {
    return []
  }
}

const closeAll = ({ pidfd, pipes }: Kept): void => {
  for (const fd of [...Option.toArray(pidfd), ...pipes]) closeSync(fd)
}

export const make = Effect.fnUntraced(function* (options: { readonly state: string }) {
  const libc = yield* Libc
  const kept = yield* Effect.acquireRelease(
    Effect.sync(() => new Map<string, Kept>()),
    (kept) => Effect.sync(() => kept.forEach(closeAll))
  )

  const release = (ref: ProcessRef) =>
    Effect.sync(() => {
      const key = processKey(ref)
      const known = kept.get(key)
      if (known !== undefined) closeAll(known)
      kept.delete(key)
    })

  const keep = Effect.fnUntraced(function* (ref: ProcessRef, identity: Identity, { log }: Stdio, heldByShim = true) {
    const key = processKey(ref)
    if (kept.get(key)?.identity.startTime === identity.startTime) return
    yield* release(ref)
    const folder = pathOf(options.state, ref)
    const pipes = log._tag === "json" ? ["stdout", "stderr"].flatMap((name) => openPipe(join(folder, name))) : []
    const pidfd = yield* Effect.option(libc.pidfdOpen(identity.pid))
    // Only now it is sure whose descriptor that is.
    const found = yield* Proc.find(identity)
    const same = Option.isSome(found)
    const hasFiles = Option.exists(found, ({ exiting }) => !exiting)
    if (!same && Option.isSome(pidfd)) closeSync(pidfd.value)
    kept.set(key, {
      identity,
      held: (hasFiles || heldByShim) && pipes.length > 0,
      pidfd: same ? pidfd : Option.none(),
      pipes
    })
  }, Effect.uninterruptible)

  /** The exit that a host told, with what we know better where the host came too late: the status that the kernel tells us, and that output is complete. */
  const better = Effect.fnUntraced(function* (ref: ProcessRef, told: Exit, unheld: boolean = false) {
    const known = kept.get(processKey(ref))
    const { truncated: _, ...complete } = told
    const exit: Exit = unheld && known?.held === true ? complete : told
    if (exit.source !== "unknown" || known === undefined || Option.isNone(known.pidfd)) return exit
    const status = yield* Effect.option(libc.pidfdExitStatus(known.pidfd.value))
    return Option.match(Option.flatten(status), {
      onNone: () => exit,
      onSome: (exitStatus): Exit => ({ ...exit, exitStatus, source: "kernel" })
    })
  })

  /** Of a record: keeps what lives, and corrects what has ended. */
  const review = Effect.fnUntraced(function* (record: HostedRecord, fromShim = true) {
    const { exit, identity, ref, stdio, unheld = false } = record
    if (exit !== null) return { ...record, exit: yield* better(ref, exit, unheld) }
    yield* keep(ref, identity, stdio, fromShim && !unheld)
    return record
  })

  // At once: until a shim tells what it holds, this may be the only one that does.
  const peeked = yield* Effect.tap(
    peek(options.state),
    Effect.forEach((record) => review(record, false), { discard: true })
  )
  const doubtful = new Map(peeked.map(({ ref }) => [processKey(ref), ref]))

  /** What a shim says that it holds: what it was just deleting when we looked is not to be kept for ever. */
  const reviewAll = Effect.fnUntraced(function* (records: ReadonlyArray<HostedRecord>) {
    const reviewed = yield* Effect.forEach(records, (record) => review(record))
    for (const { ref } of records) doubtful.delete(processKey(ref))
    yield* Effect.forEach(Array.from(doubtful.values()), release, { discard: true })
    doubtful.clear()
    return reviewed
  })

  return { keep, release, better, reviewAll }
})
