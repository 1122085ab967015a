import { Effect, Layer } from "effect"
import { ContainerId, Namespace } from "../../../src/schema/Ids.ts"
import type { Target } from "../../../src/services/OciRuntime.ts"
import { layer } from "../../../src/layers/mock/MockLayers.ts"
import { MockWorld } from "../../../src/layers/mock/MockWorld.ts"
import { Bundles, driverSuite } from "../../suites/driver.ts"
import { specOf } from "./support.ts"

/** Bundles of the pretended machine are no more than their specifications. */
const bundles = Layer.effect(
  Bundles,
  Effect.map(MockWorld, ({ install }) => {
    let made = 0
    return Bundles.of({
      make: (args) =>
        Effect.gen(function* () {
          const id = `c${++made}`
          const target: Target = {
            namespace: Namespace.make("suite"),
            containerId: ContainerId.make(id),
            bundle: `/bundles/${id}`
          }
          yield* install(target.bundle, specOf(args))
          return target
        })
    })
  })
)

const machine = (options: Parameters<typeof layer>[0]) => bundles.pipe(Layer.provideMerge(layer(options)))

driverSuite(
  "mock",
  { runtime: "mock", capabilities: ["isolation", "exec", "pause", "update"], pidsOfTwo: 1 },
  machine({})
)
driverSuite(
  "mock that can do little",
  { runtime: "mock", capabilities: [], pidsOfTwo: 1 },
  machine({ capabilities: [] })
)
