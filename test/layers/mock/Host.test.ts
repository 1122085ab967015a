/** The host's own logic on the pretended machine: that the two fit together. What the host must do is tested where the host is. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as LocalHost from "../../../src/host/LocalHost.ts"
import { ExecId, RuntimeName } from "../../../src/schema/Ids.ts"
import { defaultStdio } from "../../../src/schema/Process.ts"
import * as MemoryTaskDirectory from "../../../src/services/MemoryTaskDirectory.ts"
import { ProcessHost } from "../../../src/services/ProcessHost.ts"
import { layer, layerBundles } from "../../../src/layers/mock/MockLayers.ts"
import { MockWorld } from "../../../src/layers/mock/MockWorld.ts"
import { processOf, refOf, sh, specOf, text } from "./support.ts"

const host = LocalHost.layer.pipe(
  Layer.provide(layerBundles.pipe(Layer.provide(MemoryTaskDirectory.layer))),
  Layer.provideMerge(layer())
)
const io = { stdio: defaultStdio, logFile: "/memory/log" }
const runtime = RuntimeName.make("auto")

describe("LocalHost on the mock", () => {
  it.effect("runs a container with an exec to its end and leaves nothing", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const ref = refOf("c")
      const ends = yield* host.watch.pipe(
        Stream.flatMap((event) => (event._tag === "Exited" ? Stream.make(event) : Stream.empty)),
        Stream.take(2),
        Stream.runCollect,
        Effect.forkChild
      )
      yield* TestClock.adjust(0)
      yield* host.create({ ...ref, runtime, spec: specOf(sh("echo hello; sleep 3; exit 4")), ...io })
      yield* host.start(ref)
      yield* host.exec({ ...ref, execId: ExecId.make("e"), process: processOf(["sleep", "inf"]), ...io })
      yield* TestClock.adjust("3 seconds")
      const told = (yield* Fiber.join(ends)).map(({ exit }) => [exit.id, exit.exitStatus])
      assert.deepStrictEqual(told, [
        ["e", 137],
        ["c", 4]
      ])
      assert.strictEqual(yield* text("c"), "hello\n")
      const { execs, init } = yield* host.delete(ref)
      assert.deepStrictEqual([init?.exitStatus, execs.map(({ exit }) => exit.exitStatus)], [4, [137]])
      const world = yield* MockWorld
      assert.deepStrictEqual([yield* world.containers, yield* world.descriptors], [[], []])
    }).pipe(Effect.provide(host))
  )

  it.effect("gives up a create that hangs, and the id is free again", () =>
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const world = yield* MockWorld
      const request = { ...refOf("c"), runtime, spec: specOf(["sleep", "inf"]), ...io }
      yield* world.hang("create", {}, "after")
      const creating = yield* Effect.forkChild(host.create(request))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(creating)
      assert.deepStrictEqual([yield* world.containers, yield* world.descriptors], [[], []])
      yield* world.release("create")
      yield* host.create(request)
      assert.strictEqual((yield* host.delete(request)).init?.exitStatus, 137)
    }).pipe(Effect.provide(host))
  )
})
