/** A container from its creation to its removal as one call: what is asked for, and what is told of it as it happens. */
import { Schema } from "effect"
import { NewContainer } from "./Container.ts"
import { ContainerId } from "./Ids.ts"
import { Exit, OutputChunk, Stdio, TerminalSize } from "./Process.ts"

/**
 * The container to make; without an `id` it gets a random one. When it has ended it is removed, and so it is when the caller goes away, unless it is
 * `detachable`: then it goes on from its start, and removes itself at its end.
 */
export const RunRequest = Schema.Struct({
  ...NewContainer.fields,
  id: Schema.optionalKey(ContainerId),
  stdio: Schema.optionalKey(Stdio),
  size: Schema.optionalKey(TerminalSize),
  detachable: Schema.optionalKey(Schema.Boolean)
})
export type RunRequest = typeof RunRequest.Type

/** First `Started`, then its output where that goes to the structured log, then `Exited`. The end of the stream means that nothing is left of it. */
export const RunEvent = Schema.TaggedUnion({
  Started: { id: ContainerId, pid: Schema.Int },
  Output: OutputChunk.fields,
  Exited: { exit: Exit }
})
export type RunEvent = typeof RunEvent.Type
