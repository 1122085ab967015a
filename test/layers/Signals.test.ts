/** The suite of signals on the pretended machine, with either freezer. */
import { BerthTest } from "../../src/testing.ts"
import { signalSuite } from "../suites/signals.ts"

for (const freezer of ["v1", "v2"] as const) {
  signalSuite({ name: `mock, freezer ${freezer}`, layer: BerthTest.layer({ freezer }), rootfs: "/rootfs", real: false })
}
