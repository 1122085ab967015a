/** Calls of the runtime that go on though their callers go away: half of one would be worse than the whole. */
import { Effect, Exit, Fiber } from "effect"
import type { Scope } from "effect"
import { RuntimeFailed } from "../schema/Errors.ts"
import type { HostError } from "../services/ProcessHost.ts"
import type { Container } from "./Container.ts"

const endedMeanwhile = (runtime: string, command: string) =>
  new RuntimeFailed({
    runtime,
    command,
    exitCode: -1,
    reason: "deadline",
    detail: "the container ended while the runtime was still at work on it",
    log: []
  })

export type ToTheEnd = ReturnType<typeof makeToTheEnd>

/** Gives a function that runs a call in the scope. Only the end of its container ends it, or its deletion. */
export const makeToTheEnd = (scope: Scope.Scope) =>
  Effect.fnUntraced(function* <A>(
    { driver, underWay }: Container,
    operation: Effect.Effect<A, HostError>,
    command = "start"
  ) {
    const fiber = yield* Effect.forkIn(operation, scope)
    underWay.add(fiber)
    fiber.addObserver(() => underWay.delete(fiber))
    const exit = yield* Fiber.await(fiber)
    return Exit.hasInterrupts(exit) ? yield* endedMeanwhile(driver.info.name, command) : yield* exit
  })
