/** Calls of the runtime that go on though whoever asked for them goes away: half of a call would be worse than the whole. */
import { Effect, Exit as Outcome, Fiber } from "effect"
import { RuntimeFailed } from "../schema/Errors.ts"
import type { HostEvent } from "../schema/Host.ts"
import type { HostError } from "../services/ProcessHost.ts"
import type { Container } from "./Container.ts"

export type Change = Extract<HostEvent, { readonly _tag: "Changed" }>["change"]

const endedMeanwhile = (runtime: string) =>
  new RuntimeFailed({
    runtime,
    command: "start",
    exitCode: -1,
    reason: "deadline",
    detail: "the container ended while the runtime was still at work on it",
    log: []
  })

/** Only the end of its container ends such a call, or its deletion. What comes of one whose caller is gone is told to whoever watches. */
export const makeToTheEnd = Effect.fnUntraced(function* (tell: (event: HostEvent) => Effect.Effect<void>) {
  const scope = yield* Effect.scope

  return Effect.fnUntraced(function* (
    { driver, init, underWay }: Container,
    operation: Effect.Effect<void, HostError>,
    change: Change | null = null
  ) {
    let [alone, done] = [false, false]
    const news = Effect.suspend(() =>
      alone && done && change !== null ? tell({ _tag: "Changed", ref: init.record.ref, change }) : Effect.void
    )
    const finishing = Effect.tap(operation, () => {
      done = true
      return news
    })
    const fiber = yield* Effect.forkIn(finishing, scope)
    underWay.add(fiber)
    fiber.addObserver(() => underWay.delete(fiber))
    const exit = yield* Effect.onInterrupt(Fiber.await(fiber), () => {
      alone = true
      return news
    })
    return Outcome.hasInterrupts(exit) ? yield* endedMeanwhile(driver.info.name) : yield* exit
  })
})
