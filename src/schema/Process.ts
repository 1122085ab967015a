/** Processes and how they end. */
import { Effect, Schema } from "effect"
import { Bytes } from "./Bytes.ts"
import { ContainerId, ExecId, Namespace } from "./Ids.ts"
import { LogTarget } from "./LogTarget.ts"
import { OciProcess } from "./OciSpec.ts"
import { Int64 } from "./OpenStruct.ts"

/** How berth knows an exit status, best first: see `docs/decisions`. */
export const ExitSource = Schema.Literals(["reaped", "kernel", "inferred", "unknown"])
export type ExitSource = typeof ExitSource.Type

/** Absent, or true: what does not know of it, such as a shim of an earlier version, says nothing. */
export const truncated = Schema.optionalKey(Schema.Literal(true))

/** Of an exit that was written down before berth knew such a thing. */
const untold = Effect.succeed(null)

/** What the kernel says of the end of a process: its exit code or 128 + signal. It says so once. */
export const Reaped = Schema.Struct({
  exitStatus: Schema.Int,
  exitedAt: Schema.DateTimeUtcFromString,
  source: ExitSource
})
export type Reaped = typeof Reaped.Type

/**
 * The end of a process. `exitStatus` is its code, or 128 + signal; 255 where the source is `unknown`. `exitedAt` is when berth learnt of it, which is later
 * than the end where it ended while berth did not run. `id` is the container's, or the exec's. `oomKilled`:
 * it ended by SIGKILL just when the kernel had killed in its container for want of memory. `oomCount`: how many such kills there were in all, and
 * `memoryPeak`: the most memory in use at a time, in bytes; both of the whole container, so `null` for an exec, and where they are not known.
 * `truncated`: not all that it wrote is where its output goes, as far as berth knows: absent where nothing is known to be missing.
 */
export const Exit = Schema.Struct({
  id: Schema.String,
  pid: Schema.Int,
  exitStatus: Reaped.fields.exitStatus,
  exitedAt: Reaped.fields.exitedAt,
  oomKilled: Schema.Boolean,
  source: Reaped.fields.source,
  oomCount: Schema.NullOr(Schema.Int).pipe(Schema.withDecodingDefaultKey(untold)),
  memoryPeak: Schema.NullOr(Int64).pipe(Schema.withDecodingDefaultKey(untold)),
  truncated
})
export type Exit = typeof Exit.Type

/** Status of an init process (a task) as clients see it. */
export const TaskStatus = Schema.Literals(["created", "running", "pausing", "paused", "stopped", "deleted"])
export type TaskStatus = typeof TaskStatus.Type

/** Status of an exec process. */
export const ProcessStatus = Schema.Literals(["created", "running", "stopped", "deleted"])
export type ProcessStatus = typeof ProcessStatus.Type

/** Where the output of a process goes and where its input comes from; `null` is /dev/null. */
export const Stdio = Schema.Struct({
  /** Keep standard input open for `WriteStdin`; otherwise it reads end-of-file. */
  stdin: Schema.Boolean,
  log: LogTarget
})
export type Stdio = typeof Stdio.Type

/** Output to the structured log, no input. */
export const defaultStdio: Stdio = { stdin: false, log: { _tag: "json" } }

const characters = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 }))

/** The size of a terminal in characters. */
export const TerminalSize = Schema.Struct({ width: characters, height: characters })
export type TerminalSize = typeof TerminalSize.Type

/** A process that runs beside the init process of its container. */
export const Process = Schema.Struct({
  namespace: Namespace,
  containerId: ContainerId,
  id: ExecId,
  status: ProcessStatus,
  pid: Schema.NullOr(Schema.Int),
  exitStatus: Schema.NullOr(Schema.Int),
  exitedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  exitSource: Schema.NullOr(ExitSource),
  truncated,
  stdin: Schema.NullOr(Schema.String),
  stdout: Schema.NullOr(Schema.String),
  stderr: Schema.NullOr(Schema.String),
  terminal: Schema.Boolean,
  spec: OciProcess,
  createdAt: Schema.DateTimeUtcFromString,
  startedAt: Schema.NullOr(Schema.DateTimeUtcFromString)
})
export type Process = typeof Process.Type

/** A piece of output. `at` is when the shim read it. */
export const OutputChunk = Schema.Struct({
  stream: Schema.Literals(["stdout", "stderr"]),
  at: Schema.DateTimeUtcFromString,
  bytes: Bytes
})
export type OutputChunk = typeof OutputChunk.Type
