import { BerthTest } from "../../src/testing.ts"
import { berthSuite } from "../suites/berth.ts"

berthSuite({
  name: "mock",
  layer: BerthTest.layer(),
  capabilities: ["isolation", "exec", "pause"],
  rootfs: "/rootfs",
  real: false
})
