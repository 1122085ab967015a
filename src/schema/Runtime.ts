/** What a driver says of itself. */
import { Schema } from "effect"
import { RuntimeName } from "./Ids.ts"

/** What a driver can do; asking for what it lacks is `Unsupported`. `isolation`: it makes containers, not mere processes. */
export const Capability = Schema.Literals(["isolation", "exec", "pause", "terminal", "update", "checkpoint", "stats"])
export type Capability = typeof Capability.Type

/** `available` false: `problem` says why it does not work on this host. `default`: what `auto` means here. */
export const DriverInfo = Schema.Struct({
  name: RuntimeName,
  binary: Schema.NullOr(Schema.String),
  version: Schema.NullOr(Schema.String),
  capabilities: Schema.Array(Capability),
  available: Schema.Boolean,
  problem: Schema.NullOr(Schema.String),
  mend: Schema.NullOr(Schema.String),
  default: Schema.Boolean
})
export type DriverInfo = typeof DriverInfo.Type
