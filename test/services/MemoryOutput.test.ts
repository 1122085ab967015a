import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { ContainerId, Namespace } from "../../src/schema/Ids.ts"
import { MemoryOutput } from "../../src/services/MemoryOutput.ts"
import { OutputLog } from "../../src/services/OutputLog.ts"
import { Output, outputLogSuite } from "../suites/outputLog.ts"

const output = Layer.effect(
  Output,
  Effect.map(MemoryOutput, (memory) =>
    Output.of({ append: (ref, stream, text) => memory.append(ref, stream, new TextEncoder().encode(text)) })
  )
)

describe("MemoryOutput", () => {
  outputLogSuite(Layer.provideMerge(output, MemoryOutput.layer))

  it.effect("ends readers that follow when told that nothing more comes", () =>
    Effect.gen(function* () {
      const ref = { namespace: Namespace.make("test"), containerId: ContainerId.make("a"), execId: null }
      const memory = yield* MemoryOutput
      const log = yield* OutputLog
      yield* log.prepare(ref)
      const reader = yield* Effect.forkChild(Stream.runCollect(log.read(ref, { ended: Effect.never })))
      const bytes = new TextEncoder().encode("one")
      yield* memory.append(ref, "stdout", bytes)
      bytes.fill(0)
      yield* memory.end(ref)
      const [chunk, ...more] = yield* Fiber.join(reader)
      assert.strictEqual(new TextDecoder().decode(chunk?.bytes), "one")
      assert.deepStrictEqual(more, [])
    }).pipe(Effect.provide(MemoryOutput.layer))
  )
})
