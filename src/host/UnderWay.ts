/** Calls of the runtime that go on though whoever asked for them goes away: half of a call would be worse than the whole. */
import { Effect, Exit as Outcome, Fiber } from "effect"
import { RuntimeFailed } from "../schema/Errors.ts"
import type { HostEvent } from "../schema/Host.ts"
import type { HostError } from "../services/ProcessHost.ts"
import type { Container } from "./Container.ts"

export type Change = Extract<HostEvent, { readonly _tag: "Changed" }>["change"]

/** What the runtime is asked for, by what comes of it. Who asks for an update hears of it; nobody else needs to. */
const commands = { started: "start", paused: "pause", resumed: "resume", updated: "update" } as const

const endedMeanwhile = (runtime: string, command: string) =>
  new RuntimeFailed({
    runtime,
    command,
    exitCode: -1,
    reason: "deadline",
    detail: "the container ended while the runtime was still at work on it",
    log: []
  })

export type ToTheEnd = Effect.Success<ReturnType<typeof makeToTheEnd>>

/** Only the end of its container ends such a call, or its deletion. What comes of one whose caller is gone is told to whoever watches. */
export const makeToTheEnd = Effect.fnUntraced(function* (tell: (event: HostEvent) => Effect.Effect<void>) {
  const scope = yield* Effect.scope

  return Effect.fnUntraced(function* <A>(
    { driver, init, underWay }: Container,
    operation: Effect.Effect<A, HostError>,
    change: keyof typeof commands | null = null
  ) {
    let [alone, done] = [false, false]
    const news = Effect.suspend(() =>
      alone && done && change !== null && change !== "updated"
        ? tell({ _tag: "Changed", ref: init.record.ref, change })
        : Effect.void
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
    return Outcome.hasInterrupts(exit)
      ? yield* endedMeanwhile(driver.info.name, change === null ? "resume" : commands[change])
      : yield* exit
  })
})
