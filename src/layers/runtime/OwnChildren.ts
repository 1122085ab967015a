/**
 * The pids that this process has spawned through Node. Node waits for them itself, so the reaper must leave them alone,
 * zombie or not.
 */
import { Context, Layer } from "effect"

export class OwnChildren extends Context.Service<OwnChildren, Set<number>>()("berth/layers/runtime/OwnChildren") {
  static readonly layer = Layer.sync(OwnChildren, () => new Set<number>())
}
