import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { makeWatchers } from "../../src/host/Watchers.ts"
import { ShimLost } from "../../src/schema/Errors.ts"
import type { HostEvent } from "../../src/schema/Host.ts"
import { exitOf } from "../support/records.ts"
import { atOnce, settled } from "../support/atOnce.ts"
import { refOf } from "../layers/mock/support.ts"

const exited = (n: number): HostEvent => ({
  _tag: "Exited",
  ref: refOf("web", `job${n}`),
  exit: exitOf(`job${n}`, n % 256)
})
const ids = (events: ReadonlyArray<HostEvent>) =>
  events.flatMap((event) => (event._tag === "Exited" ? [event.exit.id] : [event._tag]))

/** A watcher that keeps what it is told; it reads on only when it is let. */
const watcher = Effect.fnUntraced(function* (
  stream: Stream.Stream<HostEvent, ShimLost>,
  gate: Effect.Effect<void> = Effect.void
) {
  const seen: Array<HostEvent> = []
  const read = Stream.runForEach(stream, (event) =>
    Effect.andThen(
      Effect.sync(() => void seen.push(event)),
      gate
    )
  )
  const fiber = yield* Effect.forkScoped(read, { startImmediately: true })
  yield* settled
  return { seen, fiber }
})

it.effect("tells a snapshot first, then what happens after it, to each on its own", () =>
  Effect.gen(function* () {
    let snapshots = 0
    const { stream, tell } = yield* makeWatchers(() => {
      snapshots++
      return []
    })
    const first = yield* watcher(stream)
    yield* tell(exited(1))
    const second = yield* watcher(stream)
    yield* tell(exited(2))
    yield* settled
    assert.deepStrictEqual(
      [ids(first.seen), ids(second.seen), snapshots],
      [["Snapshot", "job1", "job2"], ["Snapshot", "job2"], 2]
    )
  })
)

it.effect(
  "a watcher that lags too far is cut off with ShimLost; it loses nothing before that, and the others nothing at all",
  () =>
    Effect.gen(function* () {
      const { stream, tell } = yield* makeWatchers(() => [])
      const gate = yield* Deferred.make<void>()
      const slow = yield* watcher(stream, Deferred.await(gate))
      const quick = yield* watcher(stream)
      const events = Array.from({ length: 9_000 }, (_, n) => exited(n))
      for (const [n, event] of events.entries()) {
        yield* tell(event)
        if (n % 100 === 0) yield* settled
      }
      yield* settled
      assert.deepStrictEqual(ids(quick.seen), ["Snapshot", ...ids(events)])
      assert.isUndefined(slow.fiber.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      assert.instanceOf(yield* Effect.flip(Fiber.join(slow.fiber)), ShimLost)
      const seen = ids(slow.seen)
      assert.isAbove(seen.length, 8_000)
      assert.deepStrictEqual(seen, ["Snapshot", ...ids(events)].slice(0, seen.length))
      yield* tell(exited(9_000))
      yield* settled
      assert.strictEqual(quick.seen.length, 9_002)
    })
)

it.effect("one that goes away is forgotten; the end of the host ends them all", () =>
  Effect.gen(function* () {
    const { seen, fiber } = yield* Effect.scoped(
      Effect.gen(function* () {
        const { stream, tell } = yield* makeWatchers(() => [])
        const gone = yield* watcher(stream)
        yield* Fiber.interrupt(gone.fiber)
        yield* tell(exited(1))
        const kept: Array<HostEvent> = []
        const fiber = yield* Effect.forkDetach(
          Stream.runForEach(stream, (event) => Effect.sync(() => void kept.push(event))),
          {
            startImmediately: true
          }
        )
        yield* settled
        assert.deepStrictEqual(ids(gone.seen), ["Snapshot"])
        return { seen: kept, fiber }
      })
    )
    yield* atOnce("the end", Fiber.await(fiber))
    assert.deepStrictEqual(ids(seen), ["Snapshot"])
  })
)
