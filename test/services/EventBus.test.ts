import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scheduler, Stream } from "effect"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { layer as sqliteLayer } from "../../src/layers/store/SqliteStore.ts"
import { Unavailable } from "../../src/schema/Errors.ts"
import type { FailedPrecondition } from "../../src/schema/Errors.ts"
import type { Event } from "../../src/schema/Events.ts"
import { Seq } from "../../src/schema/Ids.ts"
import { EventBus } from "../../src/services/EventBus.ts"
import { layer } from "../../src/services/EventBusLayer.ts"
import * as MemoryStore from "../../src/services/MemoryStore.ts"
import { Change, MetadataStore } from "../../src/services/MetadataStore.ts"
import type { StoreFailure } from "../../src/services/MetadataStore.ts"
import { defaultRetention } from "../../src/services/StoreRules.ts"
import { containerOf, startEvent } from "../support/records.ts"

const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, index) => first + index)
const publish = (count = 1) =>
  Effect.flatMap(EventBus, (bus) =>
    bus.commit(
      [],
      range(1, count).map((pid) => startEvent("web", pid))
    )
  )
const subscribe = (after: number, follow = true): Stream.Stream<Event, StoreFailure | FailedPrecondition, EventBus> =>
  Stream.unwrap(Effect.map(EventBus, (bus) => bus.subscribe({ after: Seq.make(after), follow })))
const seqs = <E, R>(stream: Stream.Stream<Event, E, R>) =>
  Effect.map(Stream.runCollect(stream), (events) => events.map(({ seq }) => Number(seq)))

const suite = (name: string, store: Layer.Layer<MetadataStore, unknown>) =>
  describe(name, () => {
    const run = <A, E>(body: Effect.Effect<A, E, EventBus | MetadataStore>) =>
      Effect.provide(body, Layer.fresh(Layer.provideMerge(layer, store)))

    it.effect("ends without follow at what was there when it began", () =>
      run(
        Effect.gen(function* () {
          const bus = yield* EventBus
          assert.deepStrictEqual(yield* seqs(subscribe(0, false)), [])
          assert.strictEqual(Number(yield* bus.last), 0)
          yield* publish(3)
          assert.strictEqual(Number(yield* bus.last), 3)
          assert.deepStrictEqual(yield* seqs(subscribe(0, false)), [1, 2, 3])
          assert.deepStrictEqual(yield* seqs(subscribe(2, false)), [3])
          assert.deepStrictEqual(yield* seqs(subscribe(9, false)), [])
          const read = yield* seqs(subscribe(0, false).pipe(Stream.tap(() => publish())))
          assert.deepStrictEqual(read, [1, 2, 3])
        })
      )
    )

    it.effect("reads from the store what the ring has lost, in order and once", () =>
      run(
        Effect.gen(function* () {
          for (let count = 0; count < 30; count++) yield* publish(100)
          assert.deepStrictEqual(yield* seqs(subscribe(0, false)), range(1, 3_000))
          assert.deepStrictEqual(yield* seqs(subscribe(1_970, false)), range(1_971, 3_000))
        })
      )
    )

    it.effect("gives a subscriber that starts among commits every event once, wherever it starts", () =>
      run(
        Effect.gen(function* () {
          const total = 2_000
          const writers = yield* Effect.forkChild(
            Effect.forEach(
              range(1, 10),
              () => Effect.repeat(Effect.andThen(publish(4), Effect.yieldNow), { times: 49 }),
              {
                concurrency: "unbounded"
              }
            )
          )
          const readers: Array<
            readonly [number, Fiber.Fiber<ReadonlyArray<number>, StoreFailure | FailedPrecondition>]
          > = []
          const bus = yield* EventBus
          for (let after = 0; after < total; after = Number(yield* bus.last)) {
            const from = readers.length % 3 === 0 ? 0 : readers.length % 3 === 1 ? after : Math.floor(after / 2)
            const slow = readers.length % 5 === 0
            const stream = subscribe(from).pipe(
              Stream.tap(() => (slow ? Effect.yieldNow : Effect.void)),
              Stream.takeUntil(({ seq }) => seq === total)
            )
            readers.push([from, yield* Effect.forkChild(seqs(stream))])
            for (let turn = 0; turn < 3; turn++) yield* Effect.yieldNow
          }
          assert.isAbove(readers.filter(([from]) => from > 0).length, 10, "readers that started in the middle")
          yield* Fiber.join(writers)
          for (const [from, reader] of readers) {
            assert.deepStrictEqual(yield* Fiber.join(reader), range(from + 1, total))
          }
        })
      )
    )

    // Fibers that give way at every few steps (fewer than three, and Effect itself gets nowhere) meet at every place where they can.
    it.effect.each([3, 4, 5, 2_048])(
      "wakes a subscriber that waits or is about to, giving way every %i steps",
      (steps) =>
        run(
          Effect.gen(function* () {
            const seen = range(1, 30).map(() => 0)
            // Each takes a little longer to come back than the one before: some of them come while the next event is published.
            const readers = yield* Effect.forEach(seen, (_, reader) =>
              Effect.forkChild(
                Stream.runForEach(subscribe(0), ({ seq }) => {
                  seen[reader] = seq
                  return Effect.repeat(Effect.yieldNow, { times: reader })
                })
              )
            )
            for (let last = 1; last <= 12; last++) {
              yield* publish()
              for (let turn = 0; seen.some((seq) => seq < last) && turn < 10_000; turn++) yield* Effect.yieldNow
              assert.isTrue(
                seen.every((seq) => seq === last),
                `event ${last} reached ${seen.join(" ")}`
              )
            }
            yield* Fiber.interruptAll(readers)
          })
        ).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, steps))
    )

    it.effect("commits changes and events together, and refuses both together", () =>
      run(
        Effect.gen(function* () {
          const bus = yield* EventBus
          const store = yield* MetadataStore
          const change = Change.InsertContainer({ container: containerOf("web") })
          const [event] = yield* bus.commit([change], [startEvent("web")])
          assert.strictEqual(Number(event?.seq), 1)
          assert.deepInclude(yield* Effect.flip(bus.commit([change], [startEvent("web")])), { _tag: "AlreadyExists" })
          assert.strictEqual(Number(yield* bus.last), 1)
          assert.strictEqual(Number((yield* store.bounds).last), 1)
          assert.deepStrictEqual(yield* bus.commit([], []), [])
        })
      )
    )
  })

suite("EventBus on MemoryStore", MemoryStore.layer)
suite("EventBus on SqliteStore", sqliteLayer({ filename: ":memory:" }))

describe("EventBus", () => {
  const run = <A, E>(body: Effect.Effect<A, E, EventBus | MetadataStore>, store = MemoryStore.layer) =>
    Effect.provide(body, Layer.fresh(Layer.provideMerge(layer, store)))

  it.effect("starts from 0 with the oldest event that is left", () =>
    run(
      Effect.gen(function* () {
        for (let count = 0; count < 30; count++) yield* publish(100)
        assert.deepStrictEqual(yield* seqs(subscribe(0, false)), range(1_501, 3_000))
      }),
      MemoryStore.layerWith({ ...defaultRetention, maxEvents: 1_500, every: 1 })
    )
  )

  it.effect("goes on from a log that has events already", () =>
    Effect.gen(function* () {
      yield* Effect.flatMap(MetadataStore, (store) => store.commit([], [startEvent("a"), startEvent("b")]))
      yield* Effect.gen(function* () {
        yield* publish()
        assert.deepStrictEqual(yield* seqs(subscribe(0).pipe(Stream.take(3))), [1, 2, 3])
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.provide(MemoryStore.layer))
  )

  it.effect("is not interrupted half-way: what is committed is published", () =>
    Effect.gen(function* () {
      const inside = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const slow = Layer.effect(
        MetadataStore,
        Effect.map(MetadataStore, (store) => ({
          ...store,
          commit: (...args: Parameters<typeof store.commit>) =>
            Effect.tap(store.commit(...args), () =>
              Effect.andThen(Deferred.succeed(inside, undefined), Deferred.await(go))
            )
        }))
      ).pipe(Layer.provide(MemoryStore.layer))
      yield* Effect.gen(function* () {
        const reader = yield* Effect.forkChild(seqs(subscribe(0).pipe(Stream.take(1))))
        const writer = yield* Effect.forkChild(publish())
        yield* Deferred.await(inside)
        const queued = yield* Effect.forkChild(publish())
        yield* Effect.yieldNow
        const interrupting = yield* Effect.forkChild(Fiber.interruptAll([queued, writer]))
        yield* Effect.repeat(Effect.yieldNow, { times: 10 })
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(interrupting)
        assert.deepStrictEqual(yield* Fiber.join(reader), [1])
        // The one that had only queued up never began.
        assert.strictEqual(Number(yield* Effect.flatMap(EventBus, (bus) => bus.last)), 1)
      }).pipe(Effect.provide(Layer.provideMerge(layer, slow)))
    })
  )

  it.effect("gives readers the failure of the store, and goes on with the next commit", () =>
    Effect.gen(function* () {
      const broken = new Unavailable({ what: "store", problem: "broken", mend: null })
      const store = Layer.effect(
        MetadataStore,
        Effect.map(MetadataStore, (store) => ({ ...store, events: () => Effect.fail(broken) }))
      ).pipe(Layer.provide(MemoryStore.layer))
      yield* Effect.gen(function* () {
        for (let count = 0; count < 12; count++) yield* publish(100)
        assert.strictEqual(yield* Effect.flip(seqs(subscribe(0, false))), broken)
        assert.deepStrictEqual(yield* seqs(subscribe(1_190, false)), range(1_191, 1_200))
      }).pipe(Effect.provide(Layer.provideMerge(layer, store)))
    })
  )

  it.effect("never runs a subscriber's code within a commit", () =>
    run(
      Effect.gen(function* () {
        let seen = 0
        const reader = yield* Effect.forkChild(Stream.runForEach(subscribe(0), () => Effect.sync(() => seen++)))
        yield* Effect.repeat(Effect.yieldNow, { times: 20 })
        yield* Effect.tap(publish(), () => Effect.sync(() => assert.strictEqual(seen, 0)))
        yield* Effect.repeat(Effect.yieldNow, { times: 20 })
        assert.strictEqual(seen, 1)
        yield* Fiber.interrupt(reader)
      })
    )
  )

  /** Bytes in use after a full collection. */
  const heap = Effect.sync(() => {
    setFlagsFromString("--expose-gc")
    const collect: unknown = runInNewContext("gc")
    if (typeof collect === "function") collect()
    return process.memoryUsage().heapUsed
  })

  /** Counts the steps of all fibers on it. */
  class Counting extends Scheduler.MixedScheduler {
    steps = 0
    override shouldYield(fiber: Fiber.Fiber<unknown, unknown>) {
      this.steps++
      return super.shouldYield(fiber)
    }
  }

  it.live("is neither slowed down nor filled up by a hundred subscribers that do not read", () => {
    const scheduler = new Counting()
    return run(
      Effect.gen(function* () {
        const commits = 10_000
        const writing = Effect.gen(function* () {
          const before = scheduler.steps
          for (let count = 0; count < commits; count++) yield* publish()
          return scheduler.steps - before
        })
        yield* writing
        const alone = yield* writing
        assert.isAbove(alone, commits)
        const before = yield* heap
        const release = yield* Deferred.make<void>()
        const last = Number(yield* Effect.flatMap(EventBus, (bus) => bus.last))
        const readers = yield* Effect.forEach(range(1, 100), () =>
          Effect.forkChild(
            Stream.runFold(
              subscribe(last).pipe(Stream.take(5_000)),
              () => 0,
              (count, event) => (event.seq > last ? count + 1 : count)
            ).pipe((reading) => Effect.andThen(Deferred.await(release), reading))
          )
        )
        const stuck = yield* Effect.forEach(range(1, 100), () =>
          Effect.forkChild(Stream.runForEach(subscribe(last), () => Deferred.await(release)))
        )
        const watched = yield* writing
        const after = yield* heap
        // Each begins, and that is all: a step of each at each commit would be a million.
        assert.isBelow(watched - alone, 10_000, `${alone} steps alone, ${watched} watched`)
        // A queue of 10,000 references for each of 100 subscribers would be 8 MB.
        assert.isBelow(after - before, 4_000_000)
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.interruptAll(stuck)
        for (const reader of readers) assert.deepStrictEqual(yield* Fiber.await(reader), Exit.succeed(5_000))
      }),
      MemoryStore.layerWith({ ...defaultRetention, maxEvents: 10_500, every: 100 })
    ).pipe(Effect.provideService(Scheduler.Scheduler, scheduler))
  })

  it.effect("says so where events behind a place are gone, and starts over from 0", () =>
    run(
      Effect.gen(function* () {
        yield* publish(2_000)
        yield* publish()
        const refused = yield* Effect.flip(seqs(subscribe(5, false)))
        assert.strictEqual(
          refused.message,
          "cannot go on after event 5: it is further back than the log, which goes on at 902"
        )
        assert.deepStrictEqual(yield* seqs(subscribe(0, false)), range(902, 2_001))
        assert.deepStrictEqual(yield* seqs(subscribe(901, false)), range(902, 2_001))
      }),
      MemoryStore.layerWith({ ...defaultRetention, maxEvents: 1_100, every: 1 })
    )
  )

  it.live("tells a reader that is overtaken", () =>
    run(
      Effect.gen(function* () {
        yield* publish(3)
        const read = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        const reader = yield* Effect.forkChild(
          Stream.runForEach(subscribe(1), ({ seq }) =>
            seq === 3 ? Effect.andThen(Deferred.succeed(read, undefined), Deferred.await(go)) : Effect.void
          )
        )
        yield* Deferred.await(read)
        yield* publish(2_000)
        yield* publish()
        yield* Deferred.succeed(go, undefined)
        const ended = yield* Effect.flip(Fiber.join(reader))
        assert.match(ended.message, /after event 3: .* goes on at 905$/)
      }),
      MemoryStore.layerWith({ ...defaultRetention, maxEvents: 1_100, every: 1 })
    )
  )
})
