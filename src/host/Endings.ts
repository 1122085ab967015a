/**
 * What must have happened before the end of a process is told: no exec outlives its init, kills for want of memory are told, and the runtime forgets the
 * container (the rest of an exit's way is in `LiveProcess.ts`).
 */
import { Cause, Deferred, Effect, Exit as Outcome, Fiber, Scope } from "effect"
import type { HostEvent } from "../schema/Host.ts"
import type { ExecId } from "../schema/Ids.ts"
import { containerKey, processKey } from "../schema/Ids.ts"
import type { Exit, Reaped } from "../schema/Process.ts"
import type { Child } from "../services/ProcessReaper.ts"
import { pinIn, ProcessReaper } from "../services/ProcessReaper.ts"
import { TaskDirectory } from "../services/TaskDirectory.ts"
import * as Accounting from "./Accounting.ts"
import type { Container } from "./Container.ts"
import type { Live } from "./LiveProcess.ts"
import * as LiveProcess from "./LiveProcess.ts"
import { untilKnown } from "./UntilKnown.ts"

const sigkill = 9
/** How long the runtime may go on with a container whose init has ended. */
const endPatience = "1 second"

export const makeEndings = Effect.fnUntraced(function* (options: {
  readonly containers: ReadonlyMap<string, Container>
  readonly tell: (event: HostEvent) => Effect.Effect<void>
}) {
  const { containers } = options
  const reaper = yield* ProcessReaper
  const directory = yield* TaskDirectory

  /** No exec of the container is left, and each one's exit is told. */
  const execsGone = (execs: Map<ExecId, Live>) =>
    Effect.suspend(() => {
      const left = Array.from(execs.values()).filter(({ told }) => !Deferred.isDoneUnsafe(told))
      /** One that we may not end outlives its init: that is no reason to say nothing of the end of init. */
      const kill = ({ record: { identity, ref }, told }: Live) =>
        untilKnown(
          `end ${processKey(ref)}`,
          reaper.signal(identity, sigkill).pipe(
            Effect.as(true),
            Effect.catchTag("PermissionDenied", ({ message }) =>
              Effect.as(Effect.logWarning(`${processKey(ref)} goes on without its init: ${message}`), false)
            )
          )
        ).pipe(Effect.flatMap((ends) => (ends ? Deferred.await(told) : Effect.void)))
      return Effect.forEach(left, kill, { concurrency: "unbounded", discard: true })
    })

  /**
   * The runtime forgets a container as soon as it has ended, not when somebody deletes it: what has ended holds no cgroup, and a deletion finds the
   * slowest part of its work done. Where the runtime refuses, the deletion asks again.
   */
  const forget = Effect.fnUntraced(function* ({ driver, forgotten, target, underWay }: Container) {
    for (const fiber of underWay) {
      // A runtime that hangs while its container has ended would hide that end from everybody.
      yield* Effect.timeoutOrElse(Fiber.await(fiber), { duration: endPatience, orElse: () => Fiber.interrupt(fiber) })
    }
    const done = yield* Effect.exit(driver.delete(target, { force: false }))
    yield* Deferred.succeed(forgotten, Outcome.isSuccess(done))
  })

  /** Tells the end of a process; `execs` are those of the container whose init it is. */
  return (live: Live, child: Child, execs: Map<ExecId, Live> | null) => {
    const container = containers.get(containerKey(live.record.ref))
    const before = (reaped: Reaped) => {
      if (container === undefined) return Effect.succeed(Accounting.unknown)
      if (execs === null) return container.accounting.endOfExec(reaped)
      return container.accounting.cgroup.ended.pipe(
        Effect.andThen(execsGone(execs)),
        // The count and the peak go with the cgroup, which the runtime takes away.
        Effect.andThen(container.accounting.endOfInit(reaped)),
        Effect.tap(() => Effect.forkIn(forget(container), live.scope))
      )
    }
    const tell = (exit: Exit, unheld: boolean) =>
      options.tell({ _tag: "Exited", ref: live.record.ref, exit, ...(unheld ? { unheld } : {}) })
    // Whoever deletes it waits for the runtime, and has to ask that itself where nobody does any more.
    const givenUp =
      execs === null || container === undefined
        ? Effect.void
        : Scope.addFinalizer(live.scope, Deferred.succeed(container.forgotten, false))
    const unpin = reaper.unpin(pinIn(directory.directory(live.record.ref)))
    /** No defect of what only adds to an exit may swallow it. */
    const anyway = (reaped: Reaped) =>
      Effect.catchCauseIf(before(reaped), Cause.hasDies, (cause) =>
        Effect.as(
          Effect.logError(`what is known of the end of ${processKey(live.record.ref)} is incomplete`, cause),
          Accounting.unknown
        )
      )
    const end = Effect.andThen(LiveProcess.conclude(directory, live, child, anyway, tell), unpin)
    return Effect.andThen(givenUp, Effect.forkIn(end, live.scope))
  }
})
