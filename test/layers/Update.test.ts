import * as Test from "../../src/layers/Test.ts"
import { updateSuite } from "../suites/update.ts"

updateSuite({ name: "mock", layer: Test.layer(), rootfs: "/rootfs", real: false })
