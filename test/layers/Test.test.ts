import { Effect, Layer } from "effect"
import { BerthTest, MockWorld } from "../../src/testing.ts"
import { berthSuite } from "../suites/berth.ts"
import { hog, statsSuite } from "../suites/stats.ts"

berthSuite({
  name: "mock",
  layer: BerthTest.layer(),
  capabilities: ["isolation", "exec", "pause", "update"],
  rootfs: "/rootfs",
  real: false
})

const scripts = Layer.effectDiscard(
  Effect.gen(function* () {
    const world = yield* MockWorld
    yield* world.script({ args: hog }, { oomAfter: "50 millis", runFor: "forever" })
    yield* world.script({ args: "tail -c" }, { runFor: "forever" })
  })
)
statsSuite({
  name: "mock",
  layer: scripts.pipe(Layer.provideMerge(BerthTest.layer())),
  rootfs: "/rootfs",
  real: false
})
