/**
 * What is held of every process so that nothing is lost while its shim is dead. A pidfd: by it the kernel (Linux 6.15) still tells the exit status
 * of a process that ended while nobody waited for it. And the pipes that it prints into, open and never read: the kernel keeps what is in them for
 * as long as anybody has them open. The next shim reads on where the last one stopped. The daemon holds them for as long as it lives; a shim until it has
 * taken it over, for the daemon may die before that. Of what has ended nothing is held once its exit was put right. It takes only what is to spare.
 */
import { Effect, Option, Result } from "effect"
import { closeSync, constants, openSync } from "node:fs"
import { join } from "node:path"
import type { ContainerRef, HostedRecord } from "../../schema/Host.ts"
import type { ProcessRef } from "../../schema/Ids.ts"
import { containerKey, processKey } from "../../schema/Ids.ts"
import type { Exit, Stdio } from "../../schema/Process.ts"
import type { Identity } from "../../schema/TaskState.ts"
import { pathOf, peek } from "../FileTaskDirectory.ts"
import { hasRoom, spare } from "../posix/Descriptors.ts"
import { codeOf, Libc } from "../posix/Libc.ts"
import * as Proc from "../posix/Proc.ts"

interface Kept {
  readonly identity: Identity
  /** Whether the pipes are open from a time at which it lived, or a shim had them open: then nothing of what it printed is gone. */
  readonly held: boolean
  readonly pidfd: Option.Option<number>
  readonly pipes: ReadonlyArray<number>
}

const { O_NONBLOCK, O_RDONLY } = constants

/** One that is not there any more, or never was, has nothing to keep. All of the others or none: half of them would pass for the whole. */
const openPipes = (paths: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<number>, string> =>
  Effect.suspend(() => {
    const fds: Array<number> = []
    for (const path of paths) {
      try {
        fds.push(openSync(path, O_RDONLY | O_NONBLOCK))
      } catch (error) {
        const code = codeOf(error)
        if (code === "ENOENT" || code === "ENXIO") continue
        for (const fd of fds) closeSync(fd)
        return Effect.fail(code)
      }
    }
    return Effect.succeed(fds)
  })

const closeAll = ({ pidfd, pipes }: Pick<Kept, "pidfd" | "pipes">): void => {
  for (const fd of [...Option.toArray(pidfd), ...pipes]) closeSync(fd)
}

/** One that may still live. */
interface Living {
  readonly ref: ProcessRef
  readonly identity: Identity
  readonly stdio: Stdio
  /** Whether a shim has had its pipes open from a time at which it lived. */
  readonly heldByShim: boolean
}

/** One that has ended, as its host tells it. */
interface Ended {
  readonly ref: ProcessRef
  readonly exit: Exit
  /** Whether that host did not have its pipes open while it lived, so that output may be gone. */
  readonly unheld: boolean
}

export const make = Effect.fnUntraced(function* (options: { readonly state: string }) {
  const libc = yield* Libc
  const kept = yield* Effect.acquireRelease(
    Effect.sync(() => new Map<string, Kept>()),
    (kept) =>
      Effect.sync(() => {
        kept.forEach(closeAll)
        // A number that is closed may be somebody else's at once.
        kept.clear()
      })
  )
  /** How those have ended that nothing is held of any more; until they are deleted, for a host may tell it again. */
  const settled = new Map<string, Exit>()

  const letGo = (key: string): void => {
    const known = kept.get(key)
    if (known !== undefined) closeAll(known)
    kept.delete(key)
  }
  const forget = (key: string): void => {
    letGo(key)
    settled.delete(key)
  }

  /** Of one process that is deleted. */
  const release = (ref: ProcessRef) => Effect.sync(() => forget(processKey(ref)))

  /** Of a container that is deleted: init and every exec. */
  const releaseContainer = (ref: ContainerRef) =>
    Effect.sync(() => {
      const init = containerKey(ref)
      for (const key of [...kept.keys(), ...settled.keys()]) {
        if (key === init || key.startsWith(`${init}/`)) forget(key)
      }
    })

  let said = false
  /** It is an insurance only: of what is not held nothing is claimed, and the next word of a shim has it tried again. */
  const cannot = (ref: ProcessRef, problem: string) =>
    Effect.suspend(() => {
      if (said) return Effect.void
      said = true
      return Effect.logWarning(`nothing is held of ${processKey(ref)}, and perhaps of others: ${problem}`)
    })

  const keep = Effect.fnUntraced(function* ({ heldByShim, identity, ref, stdio: { log } }: Living) {
    const key = processKey(ref)
    // The answer to a call may be handled after the end of what it has started.
    if (kept.get(key)?.identity.startTime === identity.startTime || settled.get(key)?.pid === identity.pid) return
    forget(key)
    // What takes over needs its own before anything of this is let go.
    if (!(yield* hasRoom(2 * spare + 3))) return yield* cannot(ref, "no descriptor is to spare")
    const folder = pathOf(options.state, ref)
    const opened = yield* Effect.result(
      openPipes(log._tag === "json" ? ["stdout", "stderr"].map((name) => join(folder, name)) : [])
    )
    if (Result.isFailure(opened)) return yield* cannot(ref, opened.failure)
    const pipes = opened.success
    const pidfd = yield* Effect.option(libc.pidfdOpen(identity.pid))
    // Only now it is sure whose descriptor that is.
    const looked = yield* Effect.result(Proc.find(identity))
    if (Result.isFailure(looked)) {
      closeAll({ pidfd, pipes })
      return yield* cannot(ref, looked.failure.message)
    }
    const found = looked.success
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

  /** What was told, with what we know better where the host came too late: the status that the kernel tells us, and that output is complete. */
  const better = Effect.fnUntraced(function* (known: Kept, { exit: told, unheld }: Ended) {
    const { truncated: _, ...complete } = told
    const exit: Exit = unheld && known.held ? complete : told
    if (exit.source !== "unknown" || Option.isNone(known.pidfd)) return exit
    const status = yield* Effect.option(libc.pidfdExitStatus(known.pidfd.value))
    return Option.match(Option.flatten(status), {
      onNone: () => exit,
      onSome: (exitStatus): Exit => ({ ...exit, exitStatus, source: "kernel" })
    })
  })

  /** The exit of a process, put right. From then on nothing is held of it. */
  const settle = Effect.fnUntraced(function* (ended: Ended) {
    const key = processKey(ended.ref)
    const known = kept.get(key)
    const before = settled.get(key)
    if (known === undefined && before?.pid === ended.exit.pid) return before
    const exit = known === undefined ? ended.exit : yield* better(known, ended)
    letGo(key)
    settled.set(key, exit)
    return exit
  }, Effect.uninterruptible)

  // At once: until a shim tells what it holds, this may be the only one that does.
  const peeked = (yield* peek(options.state)).filter(({ exit }) => exit === null)
  yield* Effect.forEach(peeked, (record) => keep({ ...record, heldByShim: false }), { discard: true })
  const doubtful = new Set(peeked.map(({ ref }) => processKey(ref)))

  const review = Effect.fnUntraced(function* (record: HostedRecord) {
    const { exit, ref, unheld = false } = record
    if (exit !== null) return { ...record, exit: yield* settle({ ref, exit, unheld }) }
    yield* keep({ ...record, heldByShim: !unheld })
    return record
  })

  /** What a shim says that it holds: what it was just deleting when we looked is not to be kept for ever, nor how it has ended. */
  const reviewAll = Effect.fnUntraced(function* (records: ReadonlyArray<HostedRecord>) {
    const reviewed = yield* Effect.forEach(records, review)
    const there = new Set(records.map(({ ref }) => processKey(ref)))
    for (const key of [...doubtful, ...settled.keys()]) if (!there.has(key)) forget(key)
    doubtful.clear()
    return reviewed
  })

  return { keep, release, releaseContainer, settle, reviewAll }
})
