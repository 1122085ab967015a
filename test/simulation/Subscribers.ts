/** Clients that follow the event log, each from somewhere, and go on where they were when their daemon dies. What they get must be the log, whole and in order. */
import { DateTime, Effect, Exit, Stream } from "effect"
import type { Event } from "../../src/schema/Events.ts"
import { Seq } from "../../src/schema/Ids.ts"
import { Events } from "../../src/services/Events.ts"
import type { DaemonLives } from "./DaemonLives.ts"
import type { Domain, Kernel } from "./Kernel.ts"
import type { Ledger } from "./Ledger.ts"
import { show } from "./Ledger.ts"

export const make = (
  kernel: Kernel,
  clients: Domain,
  daemons: DaemonLives,
  ledger: Ledger,
  wrong: (what: string) => void
) => {
  const cursors: Array<{ last: number }> = []

  const follow = (own: { last: number }, name: string): void => {
    const receive = (event: Event) => {
      if (event.seq !== own.last + 1) wrong(`${name} got event ${event.seq} after ${own.last}`)
      const kept = ledger.at(event.seq)
      if (kept === undefined) wrong(`${name} was told of what is not in the log: ${show(event)}`)
      else if (show(kept) !== show(event) || !DateTime.Equivalence(kept.time, event.time)) {
        wrong(`${name} was told "${show(event)}", and the log says "${show(kept)}"`)
      }
      own.last = event.seq
    }
    const subscription = Effect.flatMap(Events, (events) =>
      Stream.runForEach(events.subscribe({ after: Seq.make(own.last), follow: true }), (event) =>
        Effect.sync(() => receive(event))
      )
    )
    daemons.ask(subscription, (exit) => {
      if (Exit.isSuccess(exit)) wrong(`${name}: a stream that follows has ended`)
      kernel.after(clients, 50, () => follow(own, name))
    })
  }

  return {
    add: () => {
      const own = { last: kernel.random.chance(0.5) ? 0 : kernel.random.int(0, ledger.last()) }
      cursors.push(own)
      follow(own, `subscriber ${cursors.length}`)
    },
    /** Whether every one of them has it all. */
    behind: () => cursors.flatMap(({ last }, index) => (last === ledger.last() ? [] : [`${index + 1} is at ${last}`]))
  }
}
