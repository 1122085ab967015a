/**
 * Signals that a command takes for itself while it is attached to a container, to pass them on. Where nobody takes them, the entry of the program ends
 * the command.
 */
import { Context, Effect, Layer, Queue } from "effect"
import type { Scope } from "effect"

/** What a terminal or another process may send to end or steer a program. */
const forwarded = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGUSR1: 10, SIGUSR2: 12, SIGTERM: 15 } as const

export class Signals extends Context.Service<
  Signals,
  {
    /** Numbers of the signals that arrive, for as long as the scope is open. */
    readonly take: Effect.Effect<Queue.Dequeue<number>, never, Scope.Scope>
  }
>()("berth/cli/Signals") {
  /** Signals to this process. */
  static readonly layer = Layer.succeed(Signals)({
    take: Effect.gen(function* () {
      const queue = yield* Queue.sliding<number>(64)
      const listeners = Object.entries(forwarded).map(([name, number]) => ({
        name,
        listener: () => Queue.offerUnsafe(queue, number)
      }))
      yield* Effect.acquireRelease(
        Effect.sync(() => listeners.forEach(({ listener, name }) => process.on(name, listener))),
        () => Effect.sync(() => listeners.forEach(({ listener, name }) => process.off(name, listener)))
      )
      return queue
    })
  })
}
