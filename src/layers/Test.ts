/** The services on a pretended machine: same actors, same bus, same host logic, no process, file or timer of the real one. */
import { DateTime, Effect, Layer } from "effect"
import * as Berth from "../actors/Berth.ts"
import * as LocalHost from "../host/LocalHost.ts"
import { RuntimeName } from "../schema/Ids.ts"
import { Config } from "../services/Config.ts"
import * as MemoryStore from "../services/MemoryStore.ts"
import * as MemoryTaskDirectory from "../services/MemoryTaskDirectory.ts"
import { OciRuntime } from "../services/OciRuntime.ts"
import { System } from "../services/System.ts"
import { version } from "../version.ts"
import * as Mock from "./mock/MockLayers.ts"

const config = Config.of({
  version,
  root: "/var/lib/berth",
  state: "/run/berth",
  runtime: RuntimeName.make("auto"),
  cgroupPrefix: "berth"
})

const system = Layer.effect(
  System,
  Effect.gen(function* () {
    const { list } = yield* OciRuntime
    const startedAt = yield* DateTime.now
    return System.of({
      runtimes: list,
      // A pretended machine forgets what it pretended.
      orphans: () => Effect.succeed([]),
      info: Effect.succeed({
        version,
        pid: 1,
        startedAt,
        node: "mock",
        kernel: "mock",
        cgroup: "v2",
        defaultRuntime: "mock",
        root: config.root,
        state: config.state
      })
    })
  })
)

/** Containers, Tasks, Events and System on the mock driver, and the `MockWorld` that scripts it. Time is the Clock's: under TestClock it stands still. */
export const layer = (options: Mock.Options = {}) =>
  Layer.mergeAll(Berth.layer, system).pipe(
    Layer.provide(LocalHost.layer),
    Layer.provide(Mock.layerBundles.pipe(Layer.provide(MemoryTaskDirectory.layer))),
    Layer.provide([MemoryStore.layer, Layer.succeed(Config, config)]),
    Layer.provideMerge(Mock.layer(options))
  )
