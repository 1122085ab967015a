/** Kills a container's processes and waits until their exits are told. */
import { Deferred, Effect, Fiber } from "effect"
import type { ProcessReaper } from "../services/ProcessReaper.ts"
import type { Container } from "./Container.ts"

export const sigkill = 9

/** How long a deletion waits for processes that it killed; past it the runtime is asked to force. */
export const killPatience = "10 seconds"

/** Kills what is left and waits until its exits are told, or patience ends. */
export const endAll = Effect.fnUntraced(function* (
  reaper: ProcessReaper["Service"],
  { driver, init, maybeFrozen, target, underWay }: Container
) {
  yield* Effect.forEach(Array.from(underWay), Fiber.interrupt, { discard: true })
  if (init.record.exit !== null) return
  yield* reaper.signal(init.record.identity, sigkill)
  // A frozen process takes no signal on cgroup v1.
  if (maybeFrozen) yield* Effect.ignore(driver.resume(target))
  yield* Deferred.await(init.told).pipe(Effect.timeoutOption(killPatience))
})
