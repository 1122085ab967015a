/**
 * What the kernel accounts for one hosted container, and its kills for want of memory told once each, however they come to be known: a watch hears of them
 * while init lives, a look before the end of a process finds what the watch has not heard of yet. How many were told is in the record of init, so that the
 * next host goes on from there.
 */
import { Clock, DateTime, Effect, Option, Scope, Semaphore, Stream } from "effect"
import type { HostEvent } from "../schema/Host.ts"
import type { Exit } from "../schema/Process.ts"
import type { Cgroup } from "../services/Cgroups.ts"
import type { Reaped } from "../schema/Process.ts"
import type { TaskDirectory } from "../services/TaskDirectory.ts"
import type { Live } from "./LiveProcess.ts"
import * as LiveProcess from "./LiveProcess.ts"

/** The part of an exit that the kernel's accounts tell. */
export type Ending = Pick<Exit, "oomKilled" | "oomCount" | "memoryPeak">

/** Where there are no accounts. */
export const unknown: Ending = { oomKilled: false, oomCount: null, memoryPeak: null }

/** 128 + SIGKILL. */
const sigkilled = 137
/** Who is killed for want of memory has ended within moments; a SIGKILL that comes later has another reason. Milliseconds. */
const soon = 5000

export interface Accounting {
  readonly cgroup: Cgroup
  /** Tells of kills from before this host's time. Whoever lives on was not killed by them. */
  readonly catchUp: Effect.Effect<void>
  /** For as long as the scope of init is open, every kill is told soon after it. */
  readonly watch: Effect.Effect<unknown>
  /** To be asked when init has ended, before the runtime takes the group away. What was not told yet is told first. */
  readonly endOfInit: (reaped: Reaped) => Effect.Effect<Ending>
  /** The same when an exec has ended. Numbers of the whole container are not its own. */
  readonly endOfExec: (reaped: Reaped) => Effect.Effect<Ending>
}

export const make = (options: {
  readonly cgroup: Cgroup
  readonly init: Live
  readonly directory: TaskDirectory["Service"]
  readonly tell: (event: HostEvent) => Effect.Effect<void>
}): Accounting => {
  const { cgroup, directory, init, tell } = options
  const { containerId, namespace } = init.record.ref
  const turns = Semaphore.makeUnsafe(1)
  const told = () => init.record.oomCount ?? 0
  let roseAt = init.record.oomAt ?? Number.NEGATIVE_INFINITY

  /** The kills so far, all of them told; `null` where they are not known. */
  const look = Effect.gen(function* () {
    const count = Option.getOrNull(yield* Effect.option(cgroup.oomKills))
    if (count === null || count <= told()) return count
    roseAt = yield* Clock.currentTimeMillis
    yield* LiveProcess.note(directory, init, { oomCount: count, oomAt: roseAt })
    yield* tell({ _tag: "Oom", ref: { namespace, containerId }, count })
    return count
  }).pipe(turns.withPermit)

  const isVictim = ({ exitStatus, exitedAt }: Reaped) =>
    exitStatus === sigkilled && roseAt > DateTime.toEpochMillis(exitedAt) - soon

  return {
    cgroup,
    catchUp: Effect.map(look, () => void (roseAt = Number.NEGATIVE_INFINITY)),
    watch: Effect.suspend(() =>
      Effect.andThen(
        // Also where its end never came to be known.
        Scope.addFinalizer(init.scope, cgroup.ended),
        Effect.forkIn(
          Stream.runForEach(cgroup.watchOom(told()), () => look),
          init.scope
        )
      )
    ),
    endOfInit: Effect.fnUntraced(function* (reaped: Reaped) {
      const count = yield* look
      const memoryPeak = Option.getOrNull(yield* Effect.option(cgroup.memoryPeak))
      // A group that is gone already takes its count with it, not what was told.
      const oomCount = init.record.oomCount === undefined ? count : Math.max(told(), count ?? 0)
      return { oomKilled: isVictim(reaped), oomCount, memoryPeak }
    }),
    endOfExec: (reaped) => Effect.map(look, () => ({ ...unknown, oomKilled: isVictim(reaped) }))
  }
}
