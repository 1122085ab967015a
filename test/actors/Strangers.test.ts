/** A container that the host holds and the store does not know, of a store that was lost: nothing that is done under its name may hurt it. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger, Stream } from "effect"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ContainerId, RuntimeName } from "../../src/schema/Ids.ts"
import { Containers } from "../../src/services/Containers.ts"
import { MemoryOutput } from "../../src/services/MemoryOutput.ts"
import { MetadataStore } from "../../src/services/MetadataStore.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { Tasks } from "../../src/services/Tasks.ts"
import { specOf } from "../layers/mock/support.ts"
import { atOnce, failure, settled } from "../support/atOnce.ts"
import { containerOf, daemon, ground, namespace } from "../support/pretended.ts"

const quiet = Layer.provide(Logger.layer([]))
const id = ContainerId.make("web")
const ref = { namespace, containerId: id }

it.effect(
  "a create under the name of a container that runs and that the store does not know spares it and its log",
  () =>
    Effect.gen(function* () {
      const [host, world] = [yield* ProcessHost, yield* MockWorld]
      const { append, outputLog } = yield* MemoryOutput
      const spec = specOf(["sleep", "inf"])
      const stdio = { stdin: false, log: { _tag: "none" } } as const
      yield* host.create({ ...ref, runtime: RuntimeName.make("auto"), spec, stdio, logFile: null })
      yield* host.start(ref)
      yield* append({ ...ref, execId: null }, "stdout", new Uint8Array([1]))
      const services = yield* atOnce("boot", daemon)
      yield* Effect.gen(function* () {
        const [containers, tasks] = [yield* Containers, yield* Tasks]
        yield* containerOf("web", "true")
        assert.match(yield* atOnce("create", failure(tasks.create({ id }))), /^AlreadyExists/)
        yield* containers.delete(id)
        assert.match(yield* atOnce("run", failure(Stream.runDrain(tasks.runStream({ id, spec })))), /^AlreadyExists/)
        yield* settled
      }).pipe(Effect.provideContext(services))
      assert.deepStrictEqual((yield* world.containers).length, 1)
      const kept = yield* Stream.runCollect(outputLog.read({ ...ref, execId: null }, { ended: null }))
      assert.strictEqual(kept.length, 1)
      assert.deepStrictEqual(yield* (yield* MetadataStore).containers(namespace), [])
    }).pipe(Effect.provide(ground().pipe(quiet)))
)
