/** Every operation in every state, on the pretended machine. */
import { BerthTest } from "../../src/testing.ts"
import { stateSuite } from "../suites/states.ts"

stateSuite({ name: "mock", layer: BerthTest.layer({ freezer: "v1" }), rootfs: "/rootfs", real: false })
