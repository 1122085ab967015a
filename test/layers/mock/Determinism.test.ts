import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Scheduler } from "effect"
import { TestClock } from "effect/testing"
import { layer } from "../../../src/layers/mock/MockLayers.ts"
import { MockWorld } from "../../../src/layers/mock/MockWorld.ts"
import { driver, exec, running, sh, signal, SIGKILL, text } from "./support.ts"

/** Runs one ready task at a time, picked by a seeded generator. */
const seeded = (seed: number): Scheduler.Scheduler => {
  let state = seed
  const random = () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0
    return (state >>> 0) / 2 ** 32
  }
  const ready: Array<() => void> = []
  let armed = false
  const drain = () => {
    while (ready.length > 0) ready.splice(Math.floor(random() * ready.length), 1)[0]?.()
  }
  const arm = () => {
    if (armed) return
    armed = true
    setImmediate(() => {
      armed = false
      drain()
    })
  }
  return {
    executionMode: "async",
    shouldYield: () => random() < 0.3,
    makeDispatcher: () => ({
      scheduleTask: (task) => {
        ready.push(task)
        arm()
      },
      flush: drain
    })
  }
}

/** Much at once: containers that print, pause, fork, are killed and end. */
const program = Effect.gen(function* () {
  const mock = yield* driver
  const one = Effect.fnUntraced(function* (name: string, index: number) {
    const init = yield* running(name, sh("for i in 1 2 3; do echo $i; sleep 1; done; sleep 5 & wait; exit 3"))
    const beside = yield* exec(name, "e", sh("while true; do sleep 0.5; done"))
    yield* Effect.sleep(index * 700)
    yield* mock.pause(init.at)
    yield* Effect.sleep("1 second")
    yield* mock.resume(init.at)
    if (index % 2 === 0) yield* signal(init.identity, SIGKILL)
    const { exitStatus } = yield* init.exit
    yield* beside.exit
    yield* mock.delete(init.at, { force: false })
    return exitStatus
  })
  const fiber = yield* Effect.forkChild(Effect.forEach(["a", "b", "c", "d"], one, { concurrency: "unbounded" }))
  while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("100 millis")
  return { trace: yield* (yield* MockWorld).trace, output: yield* text("b") }
})

const run = (seed: number) =>
  Effect.promise(() =>
    Effect.runPromise(
      program.pipe(
        Effect.scoped,
        Effect.provide(Layer.provideMerge(layer(), TestClock.layer())),
        Effect.provideService(Scheduler.Scheduler, seeded(seed))
      )
    )
  )

describe("determinism", () => {
  it.live("the same seed gives the same run, another seed another", () =>
    Effect.gen(function* () {
      const traces = new Set<string>()
      for (const seed of [1, 2, 3, 4, 5]) {
        const first = yield* run(seed)
        assert.deepStrictEqual(yield* run(seed), first)
        assert.strictEqual(first.output, "1\n2\n3\n")
        assert.strictEqual(first.trace.filter((line) => / init \d+ ends /.test(line)).length, 4)
        traces.add(first.trace.join("\n"))
      }
      assert.isAbove(traces.size, 1)
    })
  )
})
