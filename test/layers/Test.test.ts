import { BerthTest } from "../../src/testing.ts"
import { berthSuite } from "../suites/berth.ts"

berthSuite({ name: "mock", layer: BerthTest.layer(), rootfs: "/rootfs", real: false })
