/** What a crash has left on the machine, and what became of it. */
import { Schema } from "effect"
import { ContainerRef } from "./Host.ts"

/**
 * `runtime`: the state that a runtime keeps of a container. `folder`: a task folder without a record. `record`: one that cannot be read. `container`: one that
 * a host holds and no task of the store has. `mount`, `cgroup`: of no task. `log`: of no container. `socket`: nobody answers on it.
 */
export const OrphanKind = Schema.Literals([
  "runtime",
  "folder",
  "record",
  "container",
  "mount",
  "cgroup",
  "log",
  "socket"
])
export type OrphanKind = typeof OrphanKind.Type

/** `found`: a repair would try to remove it. `kept`: berth does not, or could not, and `reason` says why. */
export const Orphan = Schema.Struct({
  kind: OrphanKind,
  path: Schema.String,
  owner: Schema.NullOr(ContainerRef),
  fate: Schema.Literals(["found", "removed", "kept"]),
  reason: Schema.NullOr(Schema.String)
})
export type Orphan = typeof Orphan.Type
