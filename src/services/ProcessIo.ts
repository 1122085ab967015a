/** Standard input, output and error of processes, on the side that holds them: makes the descriptors, copies output to the log, feeds input. */
import { Context } from "effect"
import type { Effect, Scope } from "effect"
import type { InvalidArgument, ResourceExhausted, Unavailable } from "../schema/Errors.ts"
import type { ProcessRef } from "../schema/Ids.ts"
import type { Stdio, TerminalSize } from "../schema/Process.ts"
import type { Descriptors } from "./OciRuntime.ts"

/** What became of all that a process wrote: it is where its output goes, or it is known that some of it is not. */
export type Drained = "complete" | "truncated"

export interface OpenIo {
  /** For the driver; valid until `handOver`. */
  readonly descriptors: Descriptors
  /** For the driver: the path of the socket to which the runtime sends the terminal, valid until `handOver`; `null` where it makes none. */
  readonly console: string | null
  /** Closes this process's copies of the container's ends, or takes the terminal; call it when the runtime has returned, well or ill. */
  readonly handOver: Effect.Effect<void>
  /**
   * Call when the process has ended: waits until all that it wrote is where its output goes, or until a deadline where the disk or a logging program stands
   * still. Who else has the pipe open, or writes on, delays it no longer than it takes to read what a pipe can hold, and makes nothing truncated.
   */
  readonly drained: Effect.Effect<Drained>
  /** Writes to standard input; waits while the pipe is full. False where input is closed or nobody reads any more. */
  readonly write: (bytes: Uint8Array) => Effect.Effect<boolean>
  /** Ends standard input. May be called again. Does nothing to a terminal, whose input has no end but the one that its user types. */
  readonly closeStdin: Effect.Effect<void>
  /** Sizes the terminal; the last size before `handOver` is what it begins with. False where there is none, or no longer. */
  readonly resize: (size: TerminalSize) => Effect.Effect<boolean>
}

export interface IoPaths {
  readonly stdin: string | null
  readonly stdout: string | null
  readonly stderr: string | null
}

export interface IoRequest {
  readonly ref: ProcessRef
  readonly stdio: Stdio
  /** Folder for the FIFOs of this process; it exists. */
  readonly directory: string
  /** File of the structured log; `null` unless `stdio.log` is `json`. Its folder exists. */
  readonly logFile: string | null
  /** One terminal in place of the three streams; what it shows is logged as standard output. */
  readonly terminal?: boolean
  /** What the terminal begins with. */
  readonly size?: TerminalSize | null
  /** For a process that is still to be made: refused where too few descriptors would be left to make it. */
  readonly fresh?: boolean
}

export class ProcessIo extends Context.Service<
  ProcessIo,
  {
    /** Opens; closing the scope closes every descriptor. The FIFOs stay, for a process that lives on may be taken over by the next host; they go with their folder. The log stays too. */
    readonly open: (
      request: IoRequest
    ) => Effect.Effect<OpenIo, InvalidArgument | ResourceExhausted | Unavailable, Scope.Scope>
  }
>()("berth/services/ProcessIo") {}
