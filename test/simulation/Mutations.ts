/** Berth with something taken away, as layers around the real parts: what the simulation is for, it must find. */
import { DateTime, Effect, Option } from "effect"
import { toEvent } from "../../src/services/StoreRules.ts"
import { ProcessReaper } from "../../src/services/ProcessReaper.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import { Seq } from "../../src/schema/Ids.ts"
import { hasRecord } from "./Machine.ts"
import type { Mutation } from "./Simulation.ts"

/** The exit record is written down some time after it was told, if the host lives to do it. */
const tellBeforeSaving: Mutation = {
  directory: (inner) =>
    TaskDirectory.of({
      ...inner,
      save: (record) =>
        record.exit === null
          ? inner.save(record)
          : Effect.asVoid(Effect.forkDetach(Effect.ignore(Effect.delay(inner.save(record), "5 seconds"))))
    })
}

/** Subscribers are told of events, and callers answered, before the store has them. */
const publishBeforeCommit: Mutation = {
  store: (inner) => {
    let ahead: number | null = null
    return {
      ...inner,
      commit: (changes, fresh) =>
        Effect.gen(function* () {
          const last: number = ahead ?? (yield* inner.bounds).last
          ahead = last + fresh.length
          const time = yield* DateTime.now
          yield* Effect.forkDetach(Effect.ignore(Effect.delay(inner.commit(changes, fresh), "20 millis")))
          return fresh.map((event, index) => toEvent(Seq.make(last + index + 1), time, event))
        })
    }
  }
}

/** A process is known by its pid alone. */
const pidAlone: Mutation = {
  reaper: (inner, world) => {
    const { machine } = world.inner
    const anonymous = { startTime: "0", bootId: "0" }
    return ProcessReaper.of({
      ...inner,
      claim: (pid) =>
        Effect.map(inner.claim(pid), (child) => ({ ...child, identity: { ...child.identity, ...anonymous } })),
      isAlive: ({ pid }) => Effect.sync(() => machine.table.get(pid)?.ended === false),
      identify: (pid) =>
        Effect.map(
          inner.identify(pid),
          Option.map((identity) => ({ ...identity, ...anonymous }))
        ),
      signal: ({ pid }, signal) => {
        const now = machine.table.get(pid)?.identity
        return now === undefined ? Effect.succeed(false) : inner.signal(now, signal)
      }
    })
  }
}

/** What a failed create has made stays where it is. */
const noRollback: Mutation = {
  directory: (inner) =>
    TaskDirectory.of({
      ...inner,
      remove: (ref) =>
        Effect.flatMap(ref.execId === null ? hasRecord(inner, ref) : Effect.succeed(true), (known) =>
          known ? inner.remove(ref) : Effect.void
        )
    })
}

export const mutations: Readonly<Record<string, Mutation>> = {
  "an exit is told before it is saved": tellBeforeSaving,
  "events are published before they are committed": publishBeforeCommit,
  "a process is known by its pid alone": pidAlone,
  "a create that fails is not rolled back": noRollback
}
