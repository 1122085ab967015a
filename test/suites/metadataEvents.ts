/** What every metadata store must do with its events: numbers, times, and which of the old ones it drops. A part of `metadataStore.ts`. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { ContainerId, Seq } from "../../src/schema/Ids.ts"
import { Change, MetadataStore } from "../../src/services/MetadataStore.ts"
import type { StoreFailure } from "../../src/services/MetadataStore.ts"
import type { Retention } from "../../src/services/StoreRules.ts"
import { containerOf, exitEvent, namespaceOf, startEvent, taskOf } from "../support/records.ts"

const ns = namespaceOf()
const id = ContainerId.make
const origin = Seq.make(0)
const insert = (name: string) => Change.InsertContainer({ container: containerOf(name) })
const insertTask = (name: string) => Change.InsertTask({ record: taskOf(name) })

/** The numbers of all events that are kept. */
export const seqs = Effect.gen(function* () {
  const store = yield* MetadataStore
  return (yield* store.events(origin, 1_000)).map(({ seq }) => Number(seq))
})

/** Runs a body on a fresh store. */
export type Run = <A, E>(
  body: Effect.Effect<A, E, MetadataStore>,
  retention?: Partial<Retention>
) => Effect.Effect<A, E | StoreFailure>

export const metadataEvents = (run: Run) => {
  describe("events", () => {
    it.effect("are numbered from 1 and stamped with the time of their commit", () =>
      run(
        Effect.gen(function* () {
          const store = yield* MetadataStore
          assert.deepStrictEqual(yield* store.bounds, { first: Seq.make(0), last: Seq.make(0) })
          assert.deepStrictEqual(yield* store.events(origin, 10), [])
          assert.deepStrictEqual(yield* store.commit([], []), [])
          yield* TestClock.setTime(1_000)
          const first = yield* store.commit([], [startEvent("web"), exitEvent("web", "sh", "other")])
          yield* TestClock.setTime(2_500)
          const second = yield* store.commit([], [exitEvent("web")])
          const stamp = (seq: number, time: number) => ({ seq: Seq.make(seq), time: DateTime.makeUnsafe(time) })
          const expected = [
            { ...stamp(1, 1_000), namespace: ns, ...startEvent("web").payload },
            { ...stamp(2, 1_000), namespace: namespaceOf("other"), ...exitEvent("web", "sh").payload },
            { ...stamp(3, 2_500), namespace: ns, ...exitEvent("web").payload }
          ]
          assert.deepStrictEqual<unknown>([...first, ...second], expected)
          assert.deepStrictEqual<unknown>(yield* store.events(origin, 10), expected)
          assert.deepStrictEqual<unknown>(yield* store.events(Seq.make(1), 1), expected.slice(1, 2))
          assert.deepStrictEqual(yield* store.events(Seq.make(3), 10), [])
          assert.deepStrictEqual(yield* store.bounds, { first: Seq.make(1), last: Seq.make(3) })
        })
      )
    )

    /** Old events are dropped in the background. */
    const settled = Effect.repeat(Effect.yieldNow, { times: 100 })

    it.effect("are dropped by number, but for the last exits of tasks that are still there", () =>
      run(
        Effect.gen(function* () {
          const store = yield* MetadataStore
          yield* store.commit([insert("web"), insertTask("web"), insert("gone"), insertTask("gone")], [])
          // seq 1 to 5: of web only 3 is kept, of gone 4 until its task goes.
          yield* store.commit(
            [],
            [startEvent("web"), exitEvent("web"), exitEvent("web"), exitEvent("gone"), exitEvent("web", "sh")]
          )
          for (let count = 6; count <= 28; count++) yield* store.commit([], [startEvent("web")])
          yield* settled
          assert.deepStrictEqual(yield* seqs, [3, 4, ...Array.from({ length: 10 }, (_, index) => 19 + index)])
          assert.deepStrictEqual(yield* store.bounds, { first: Seq.make(3), last: Seq.make(28) })
          assert.deepStrictEqual(
            (yield* store.events(Seq.make(3), 2)).map(({ seq }) => Number(seq)),
            [4, 19]
          )
          yield* store.commit([Change.DeleteTask({ namespace: ns, id: id("gone") })], [])
          for (let count = 29; count <= 32; count++) yield* store.commit([], [startEvent("web")])
          yield* settled
          assert.deepStrictEqual((yield* seqs).slice(0, 3), [3, 23, 24])
        }),
        { maxEvents: 10, every: 5 }
      )
    )

    it.effect("are dropped by age, but for the newest", () =>
      run(
        Effect.gen(function* () {
          const store = yield* MetadataStore
          yield* store.commit([], [startEvent("a"), startEvent("a")])
          yield* TestClock.adjust("50 minutes")
          yield* store.commit([], [startEvent("a")])
          yield* settled
          assert.deepStrictEqual(yield* seqs, [1, 2, 3])
          yield* TestClock.adjust("20 minutes")
          yield* store.commit([], [startEvent("a")])
          yield* store.commit([], [])
          yield* settled
          assert.deepStrictEqual(yield* seqs, [3, 4])
          yield* TestClock.adjust("1 day")
          yield* store.commit([], [])
          yield* store.commit([], [])
          yield* settled
          assert.deepStrictEqual(yield* seqs, [4])
          yield* store.commit([], [startEvent("a")])
          assert.deepStrictEqual(yield* store.bounds, { first: Seq.make(4), last: Seq.make(5) })
        }),
        { maxAge: Duration.hours(1), every: 2 }
      )
    )
  })
}
