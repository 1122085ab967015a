/** The structured log of a process, on the side that reads it. Every reader has a cursor of its own and can delay nobody. */
import { Context } from "effect"
import type { Effect, Stream } from "effect"
import type { Unavailable } from "../schema/Errors.ts"
import type { ProcessRef } from "../schema/Ids.ts"
import type { OutputChunk } from "../schema/Process.ts"

export class OutputLog extends Context.Service<
  OutputLog,
  {
    /** Where the log of a process is; its folder exists when this returns. */
    readonly prepare: (ref: ProcessRef) => Effect.Effect<string, Unavailable>
    /**
     * The log from its start, or with `live` from its end, after an empty chunk that says where that is. With `ended`, follows it: when `ended` completes,
     * what is still unread is read and the stream ends. The log is opened when the stream starts to run, so deleting the container afterwards does not
     * cut it.
     */
    readonly read: (
      ref: ProcessRef,
      options: { readonly ended: Effect.Effect<void> | null; readonly live?: boolean }
    ) => Stream.Stream<OutputChunk, Unavailable>
    /** Removes the log of an exec, or with init's those of all its container's execs. */
    readonly remove: (ref: ProcessRef) => Effect.Effect<void>
  }
>()("berth/services/OutputLog") {}
