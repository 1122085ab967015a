/** The structured log of a process, on the side that reads it. Every reader has a cursor of its own and can delay nobody. */
import { Context } from "effect"
import type { DateTime, Effect, Stream } from "effect"
import type { Unavailable } from "../schema/Errors.ts"
import type { ProcessRef } from "../schema/Ids.ts"
import type { OutputChunk } from "../schema/Process.ts"

export interface ReadOptions {
  /** Follows the log until it completes; `null` reads what is there. */
  readonly ended: Effect.Effect<void> | null
  /** From the end, after an empty chunk that says where that is. */
  readonly live?: boolean
  /** Only so many of the newest lines; without effect beside `live`. */
  readonly tail?: number | null
  /** Only what was read at this time or later. */
  readonly since?: DateTime.Utc | null
  /** Only one of the streams; `null` is both. */
  readonly stream?: OutputChunk["stream"] | null
}

export class OutputLog extends Context.Service<
  OutputLog,
  {
    /** Where the log of a process is; its folder exists when this returns. */
    readonly prepare: (ref: ProcessRef) => Effect.Effect<string, Unavailable>
    /**
     * The log from its start or where the options say. With `ended`, follows it: when `ended` completes, what is still unread is read and the stream ends.
     * A rotation is not seen, except by who is so slow that output was removed before it was read: a line on standard error tells of it. The log is opened when the stream starts to run, so deleting the container afterwards does not
     * cut it.
     */
    readonly read: (ref: ProcessRef, options: ReadOptions) => Stream.Stream<OutputChunk, Unavailable>
    /** Removes the log of an exec, or with init's those of all its container's execs. */
    readonly remove: (ref: ProcessRef) => Effect.Effect<void>
  }
>()("berth/services/OutputLog") {}
