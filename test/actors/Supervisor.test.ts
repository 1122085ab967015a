import { assert, it } from "@effect/vitest"
import { Cause, Clock, Effect, Exit, Fiber, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import { supervised } from "../../src/actors/Supervisor.ts"
import { steppingBy } from "../support/wallClock.ts"

const options = { intensity: 3, period: "30 seconds" } as const
const quiet = Effect.provide(Logger.layer([]))

/** A child that crashes at each of these times, in seconds, then succeeds. */
const crashingAt = (...seconds: ReadonlyArray<number>) => {
  let starts = 0
  const child = Effect.gen(function* () {
    const at = seconds[starts++]
    const before = seconds[starts - 2] ?? 0
    if (at === undefined) return "done"
    yield* Effect.sleep(`${at - before} seconds`)
    return yield* Effect.die(`crash ${starts}`)
  })
  return { child, starts: () => starts }
}

const runBy = Effect.fnUntraced(function* (clock: Effect.Effect<Clock.Clock>, ...seconds: ReadonlyArray<number>) {
  const { child, starts } = crashingAt(...seconds)
  const watched = Effect.provideServiceEffect(supervised(child, options), Clock.Clock, clock)
  const fiber = yield* Effect.forkChild(quiet(watched))
  yield* TestClock.adjust("10 minutes")
  return { exit: yield* Fiber.await(fiber), starts: starts() }
})
const run = (...seconds: ReadonlyArray<number>) => runBy(Clock.Clock, ...seconds)

it.effect("a success and a failure pass through, without a restart", () =>
  Effect.gen(function* () {
    let starts = 0
    const once = <A, E>(effect: Effect.Effect<A, E>) =>
      Effect.andThen(
        Effect.sync(() => void starts++),
        effect
      )
    assert.strictEqual(yield* supervised(once(Effect.succeed("fine")), options), "fine")
    assert.strictEqual(yield* Effect.flip(supervised(once(Effect.fail("typed")), options)), "typed")
    assert.strictEqual(starts, 2)
  })
)

it.effect("an interruption passes through, without a restart", () =>
  Effect.gen(function* () {
    let starts = 0
    const child = Effect.andThen(
      Effect.sync(() => void starts++),
      Effect.never
    )
    const fiber = yield* Effect.forkChild(supervised(child, options), { startImmediately: true })
    yield* Fiber.interrupt(fiber)
    assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
    assert.strictEqual(starts, 1)
    const within = yield* Effect.exit(
      supervised(
        Effect.andThen(
          Effect.sync(() => void starts++),
          Effect.interrupt
        ),
        options
      )
    )
    assert.isTrue(Exit.hasInterrupts(within))
    assert.strictEqual(starts, 2)
  })
)

it.effect("as many crashes as the intensity are survived", () =>
  Effect.gen(function* () {
    const { exit, starts } = yield* run(1, 2, 3)
    assert.deepStrictEqual([exit, starts], [Exit.succeed("done"), 4])
  })
)

it.effect("one more escalates with the last cause", () =>
  Effect.gen(function* () {
    const { exit, starts } = yield* run(1, 2, 3, 4)
    assert.strictEqual(starts, 4)
    assert.strictEqual(Exit.isFailure(exit) && Cause.squash(exit.cause), "crash 4")
  })
)

it.effect("crashes that are further apart than the period are counted anew, without end", () =>
  Effect.gen(function* () {
    const { exit, starts } = yield* run(...Array.from({ length: 30 }, (_, n) => (n + 1) * 11))
    assert.deepStrictEqual([exit, starts], [Exit.succeed("done"), 31])
  })
)

it.effect("the period slides: what counts is any such time, not one that began with the first crash", () =>
  Effect.gen(function* () {
    const { exit, starts } = yield* run(1, 28, 32, 33, 34)
    assert.isTrue(Exit.hasDies(exit))
    assert.strictEqual(starts, 5)
  })
)

it.effect("a wall clock that is set, forwards or backwards, changes nothing of the period", () =>
  Effect.gen(function* () {
    const hour = 3_600_000
    const forwards = yield* runBy(steppingBy(hour), 1, 2, 3, 4)
    assert.deepStrictEqual([Exit.hasDies(forwards.exit), forwards.starts], [true, 4])
    const apart = Array.from({ length: 10 }, (_, n) => (n + 1) * 31)
    const backwards = yield* runBy(steppingBy(-hour), ...apart)
    assert.deepStrictEqual([backwards.exit, backwards.starts], [Exit.succeed("done"), 11])
  })
)

it.effect("a crash is in the log, with its cause", () =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = Logger.make(({ cause, logLevel }) => void lines.push(`${logLevel}: ${Cause.pretty(cause)}`))
    const { child } = crashingAt(0)
    yield* supervised(child, options).pipe(Effect.provide(Logger.layer([logger]) satisfies Layer.Layer<never>))
    assert.strictEqual(lines.length, 1)
    assert.match(lines.join(), /^Error: .*crash 1/)
  })
)
