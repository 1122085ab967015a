/**
 * Pauses and resumes of containers, and what a frozen container needs to die: the freezer of cgroup v1 holds back even SIGKILL. While the runtime is at work the
 * record says so, for a host that dies meanwhile leaves what nobody can name: the next one lets such a container go on (`Adoption.ts`).
 */
import { Effect, Exit as Outcome } from "effect"
import type { HostEvent } from "../schema/Host.ts"
import type { Identity } from "../schema/TaskState.ts"
import type { DriverError } from "../services/OciRuntime.ts"
import type { HostError } from "../services/ProcessHost.ts"
import { ProcessReaper } from "../services/ProcessReaper.ts"
import { TaskDirectory } from "../services/TaskDirectory.ts"
import type { Container } from "./Container.ts"
import * as LiveProcess from "./LiveProcess.ts"

/** How long a death may take before its container is let go on, and how long it is let. */
const patience = { frozen: 5, thawed: 100 }
const interval = "10 millis"

/** `toTheEnd` runs what must not stop half-way, whoever goes away. */
export const makeFreezer = Effect.fnUntraced(function* (
  toTheEnd: (container: Container, operation: Effect.Effect<void, HostError>) => Effect.Effect<void, HostError>,
  tell: (event: HostEvent) => Effect.Effect<void>
) {
  const reaper = yield* ProcessReaper
  const directory = yield* TaskDirectory

  /** One at a time, and only where it is not so already. */
  const become = (container: Container, paused: boolean, work: Effect.Effect<void, DriverError>) =>
    Effect.gen(function* () {
      const { init } = container
      if (init.record.paused === paused) return
      // Of a pause that is not written down no later host would know, and nobody could end it.
      if (paused) yield* LiveProcess.mark(directory, init, { freezing: true })
      else yield* LiveProcess.note(directory, init, { freezing: true })
      yield* Effect.onExit(work, (exit) =>
        // Of a call that is cut off nobody knows what it did.
        Outcome.hasInterrupts(exit)
          ? Effect.void
          : LiveProcess.note(
              directory,
              init,
              Outcome.isSuccess(exit) ? { paused, freezing: false } : { freezing: false }
            )
      )
    }).pipe(container.freezer.withPermit)

  const pause = (container: Container) => {
    const { driver, target } = container
    const thaw = Effect.ignore(driver.resume(target))
    container.maybeFrozen = true
    const work = Effect.tapError(driver.pause(target), () => thaw)
    return become(
      container,
      true,
      Effect.andThen(
        work,
        Effect.suspend(() => (container.doomed ? thaw : Effect.void))
      )
    )
  }

  const resume = (container: Container) =>
    become(
      container,
      false,
      Effect.tap(container.driver.resume(container.target), () =>
        Effect.sync(() => void (container.maybeFrozen = false))
      )
    )

  /** After SIGKILL to its init: nothing of it is to be paused any more. */
  const letAllDie = (container: Container) =>
    Effect.suspend(() => {
      container.doomed = true
      return container.maybeFrozen ? Effect.ignore(container.driver.resume(container.target)) : Effect.void
    })

  const isGone = (identity: Identity) =>
    // Of which it cannot be told, it is not.
    Effect.orElseSucceed(
      Effect.map(reaper.signal(identity, 0), (lives) => !lives),
      () => false
    )
  const gone = (identity: Identity, times: number) =>
    Effect.gen(function* () {
      for (let time = 0; time < times; time++) {
        if (yield* isGone(identity)) return true
        yield* Effect.sleep(interval)
      }
      return yield* isGone(identity)
    })

  /** It could not be frozen again, and whoever watches takes it for paused. */
  const goesOn = Effect.fnUntraced(function* ({ driver, init, target }: Container) {
    yield* Effect.ignore(driver.resume(target))
    yield* LiveProcess.note(directory, init, { paused: false, freezing: false })
    const { containerId, namespace } = target
    yield* tell({ _tag: "Changed", ref: { namespace, containerId }, change: "resumed" })
  })

  /** After SIGKILL to one process beside init: where the freezer holds the death back, the container runs for as long as the death takes. */
  const letDie = Effect.fnUntraced(function* (container: Container, identity: Identity) {
    const { driver, init, target } = container
    if (!init.record.paused || (yield* gone(identity, patience.frozen))) return
    const moment = Effect.gen(function* () {
      // It may have been resumed meanwhile.
      if (!init.record.paused) return
      yield* LiveProcess.note(directory, init, { freezing: true })
      yield* Effect.tapError(driver.resume(target), () => LiveProcess.note(directory, init, { freezing: false }))
      yield* gone(identity, patience.thawed)
      yield* Effect.tapError(driver.pause(target), () => goesOn(container))
      yield* LiveProcess.note(directory, init, { freezing: false })
    }).pipe(container.freezer.withPermit)
    yield* Effect.catch(toTheEnd(container, moment), (error) =>
      Effect.logWarning(`a process of the paused "${target.containerId}" may not have ended: ${error.message}`)
    )
  })

  return { pause, resume, letAllDie, letDie } as const
})

export type Freezer = Effect.Success<ReturnType<typeof makeFreezer>>
