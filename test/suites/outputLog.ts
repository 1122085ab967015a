/** What every OutputLog must do, whatever is behind it. */
import { assert, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Stream } from "effect"
import type { Scope } from "effect"
import { ContainerId, ExecId, Namespace } from "../../src/schema/Ids.ts"
import type { ProcessRef } from "../../src/schema/Ids.ts"
import type { OutputChunk } from "../../src/schema/Process.ts"
import { OutputLog } from "../../src/services/OutputLog.ts"

/** The writing side. What `append` has taken is there for readers when it returns. */
export class Output extends Context.Service<
  Output,
  {
    readonly append: (
      ref: ProcessRef,
      stream: OutputChunk["stream"],
      text: string
    ) => Effect.Effect<void, never, Scope.Scope>
  }
>()("test/suites/Output") {}

const namespace = Namespace.make("test")
const init: ProcessRef = { namespace, containerId: ContainerId.make("web"), execId: null }
const exec: ProcessRef = { ...init, execId: ExecId.make("one") }

const shown = (chunks: ReadonlyArray<OutputChunk>) =>
  chunks.map(({ bytes, stream }) => `${stream}: ${Buffer.from(bytes).toString()}`)

const read = (ref: ProcessRef, ended: Effect.Effect<void> | null = null, live = false) =>
  Stream.unwrap(OutputLog.useSync((log) => log.read(ref, { ended, live })))
const readAll = (ref: ProcessRef) => Effect.map(Stream.runCollect(read(ref)), shown)

/** A reader that runs, what it has read, and the end of what it reads. */
const follow = Effect.fnUntraced(function* (ref: ProcessRef, live = false) {
  const ended = yield* Deferred.make<void>()
  const chunks: Array<OutputChunk> = []
  const fiber = yield* Effect.forkChild(
    Stream.runForEach(read(ref, Deferred.await(ended), live), (chunk) => Effect.sync(() => chunks.push(chunk)))
  )
  const until = (count: number): Effect.Effect<void> =>
    Effect.suspend(() =>
      chunks.length >= count ? Effect.void : Effect.andThen(Effect.sleep("2 millis"), until(count))
    )
  const finish = Effect.andThen(Deferred.succeed(ended, undefined), Fiber.join(fiber))
  return { fiber, finish, seen: () => shown(chunks), until }
})

/** The suite over an adapter; each case gets it anew. */
export const outputLogSuite = (layer: Layer.Layer<OutputLog | Output>): void => {
  const live = <E>(name: string, test: Effect.Effect<void, E, OutputLog | Output | Scope.Scope>) =>
    it.live(name, () => Effect.provide(test, layer))
  const append = (ref: ProcessRef, stream: OutputChunk["stream"], text: string) =>
    Output.use((output) => output.append(ref, stream, text))
  const prepare = (ref: ProcessRef) => OutputLog.use((log) => log.prepare(ref))

  live(
    "reads from the start, each process for itself",
    Effect.gen(function* () {
      for (const ref of [init, exec]) yield* prepare(ref)
      yield* append(init, "stdout", "one\n")
      yield* append(init, "stderr", "two\n")
      yield* append(exec, "stdout", "three\n")
      assert.deepStrictEqual(yield* readAll(init), ["stdout: one\n", "stderr: two\n"])
      assert.deepStrictEqual(yield* readAll(init), ["stdout: one\n", "stderr: two\n"])
      assert.deepStrictEqual(yield* readAll(exec), ["stdout: three\n"])
    })
  )

  live(
    "is empty where there is no log",
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* readAll(init), [])
      assert.deepStrictEqual(shown(yield* Stream.runCollect(read(init, Effect.void))), [])
    })
  )

  live(
    "follows until the process has ended, and reads what is left then",
    Effect.gen(function* () {
      yield* prepare(init)
      yield* append(init, "stdout", "before\n")
      const reader = yield* follow(init)
      yield* reader.until(1)
      yield* append(init, "stdout", "live 1\n")
      yield* reader.until(2)
      yield* append(init, "stderr", "live 2\n")
      yield* reader.until(3)
      yield* append(init, "stdout", "left\n")
      yield* reader.finish
      yield* append(init, "stdout", "too late\n")
      assert.deepStrictEqual(reader.seen(), [
        "stdout: before\n",
        "stdout: live 1\n",
        "stderr: live 2\n",
        "stdout: left\n"
      ])
    })
  )

  live(
    "gives who asks for it only what comes from now on, and says from when",
    Effect.gen(function* () {
      yield* prepare(init)
      yield* append(init, "stdout", "before\n")
      const reader = yield* follow(init, true)
      yield* reader.until(1)
      assert.deepStrictEqual(reader.seen(), ["stdout: "])
      yield* append(init, "stderr", "after\n")
      yield* reader.finish
      assert.deepStrictEqual(reader.seen(), ["stdout: ", "stderr: after\n"])
      assert.deepStrictEqual(shown(yield* Stream.runCollect(read(init, null, true))), ["stdout: "])
    })
  )

  live(
    "gives every reader everything",
    Effect.gen(function* () {
      yield* prepare(init)
      const readers = yield* Effect.all([follow(init), follow(init)])
      for (let i = 0; i < 50; i++) yield* append(init, "stdout", `${i}\n`)
      const expected = Array.from({ length: 50 }, (_, i) => `${i}\n`).join("")
      for (const reader of readers) {
        yield* reader.finish
        // In how many pieces it comes is a matter of time.
        const whole = reader.seen().map((piece) => piece.replace("stdout: ", ""))
        assert.strictEqual(whole.join(""), expected)
      }
    })
  )

  live(
    "waits for a log that is not there yet",
    Effect.gen(function* () {
      const reader = yield* follow(exec)
      yield* Effect.sleep("20 millis")
      yield* prepare(exec)
      yield* append(exec, "stdout", "here\n")
      yield* reader.until(1)
      yield* reader.finish
      assert.deepStrictEqual(reader.seen(), ["stdout: here\n"])
    })
  )

  live(
    "is not cut by removal, which takes the logs of execs along and leaves others",
    Effect.gen(function* () {
      const other: ProcessRef = { ...init, containerId: ContainerId.make("web-2") }
      for (const ref of [init, exec, other]) {
        yield* prepare(ref)
        yield* append(ref, "stdout", "one\n")
      }
      const reader = yield* follow(init)
      yield* reader.until(1)
      yield* OutputLog.use((log) => log.remove(init))
      assert.deepStrictEqual(yield* readAll(init), [])
      assert.deepStrictEqual(yield* readAll(exec), [])
      assert.deepStrictEqual(yield* readAll(other), ["stdout: one\n"])
      yield* OutputLog.use((log) => log.remove(init))
      yield* reader.finish
      assert.deepStrictEqual(reader.seen(), ["stdout: one\n"])

      yield* prepare(init)
      yield* append(init, "stdout", "a new one\n")
      assert.deepStrictEqual(yield* readAll(init), ["stdout: a new one\n"])
    })
  )

  live(
    "can be left at any time",
    Effect.gen(function* () {
      yield* prepare(init)
      yield* append(init, "stdout", "one\n")
      const reader = yield* follow(init)
      yield* reader.until(1)
      yield* Fiber.interrupt(reader.fiber)
      yield* append(init, "stdout", "two\n")
      assert.deepStrictEqual(reader.seen(), ["stdout: one\n"])
      assert.deepStrictEqual(yield* readAll(init), ["stdout: one\n", "stdout: two\n"])
    })
  )
}
