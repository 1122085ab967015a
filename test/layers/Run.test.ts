import { BerthTest } from "../../src/testing.ts"
import { runSuite } from "../suites/run.ts"

runSuite({ name: "mock", layer: BerthTest.layer(), rootfs: "/rootfs", real: false })
