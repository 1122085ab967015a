/** For tests of programs that use berth: the same services without a machine. */
import { layer } from "./layers/Test.ts"

/** `BerthTest.layer()` provides Containers, Tasks, Events, System, and `MockWorld` to script what processes do. */
export const BerthTest = { layer } as const

export type { Options } from "./layers/mock/MockLayers.ts"
export type { Script } from "./layers/mock/MockScript.ts"
export { MockWorld } from "./layers/mock/MockWorld.ts"
