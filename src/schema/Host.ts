/** What passes between the daemon and the process host (the shim), and what the host keeps on disk. */
import { Schema } from "effect"
import { ContainerId, ExecId, Namespace, RuntimeName } from "./Ids.ts"
import { OciProcess, VettedSpec } from "./OciSpec.ts"
import { Exit, Reaped, Stdio } from "./Process.ts"
import { Resources } from "./Resources.ts"
import { Identity } from "./TaskState.ts"

/** Names a process: init where `execId` is null. */
export const Ref = Schema.Struct({ namespace: Namespace, containerId: ContainerId, execId: Schema.NullOr(ExecId) })
export type Ref = typeof Ref.Type

/** Names a container. */
export const ContainerRef = Schema.Struct({ namespace: Namespace, containerId: ContainerId })
export type ContainerRef = typeof ContainerRef.Type

const io = { stdio: Stdio, logFile: Schema.NullOr(Schema.String) }

/**
 * `all`: to every process of the container of `ref`; `pid`: to that process of it, as the host counts. Without either: to the process that `ref` names.
 */
export const HostSignal = Schema.Struct({
  ref: Ref,
  signal: Schema.Int,
  all: Schema.Boolean,
  pid: Schema.optionalKey(Schema.Int)
})
export type HostSignal = typeof HostSignal.Type

export const CreateRequest = Schema.Struct({ ...ContainerRef.fields, runtime: RuntimeName, spec: VettedSpec, ...io })
export type CreateRequest = typeof CreateRequest.Type

/** What the host answers to `create` and `exec`. `stdin` is the path of the FIFO; `bundle` of the folder that the task lives in. */
export const Hosted = Schema.Struct({ identity: Identity, bundle: Schema.String, stdin: Schema.NullOr(Schema.String) })
export type Hosted = typeof Hosted.Type

export const ExecRequest = Schema.Struct({ ...ContainerRef.fields, execId: ExecId, process: OciProcess, ...io })
export type ExecRequest = typeof ExecRequest.Type

/** Limits of a live container that are to change; the others stay as they are. */
export const UpdateRequest = Schema.Struct({ ...ContainerRef.fields, resources: Resources })
export type UpdateRequest = typeof UpdateRequest.Type

/** The limits that the kernel holds, read before and after an update; -1 is no limit. */
export const Updated = Schema.Struct({ before: Resources, after: Resources })
export type Updated = typeof Updated.Type

/**
 * What the host knows of a process: enough for another host to take it over. `started` is set for init once the runtime has started it; `freezing` while the
 * runtime is at work on a pause or a resume, so that `paused` is not to be trusted; `terminal`, absent in records of older hosts, where the process has one. Of
 * init, and absent there too: `cgroupsPath` of the specification, and `oomCount`, the kills for want of memory that were told, with the time of the
 * last, `oomAt`, in milliseconds. `reaped` is what the kernel said
 * of its end and never says again; `exit` has to wait for the last output. `unheld`: its exit says that output is truncated, only because the host cannot know
 * that somebody else held the pipes while there was no host.
 */
export const HostedRecord = Schema.Struct({
  ref: Ref,
  runtime: RuntimeName,
  identity: Identity,
  started: Schema.Boolean,
  paused: Schema.Boolean,
  freezing: Schema.optionalKey(Schema.Boolean),
  terminal: Schema.optionalKey(Schema.Boolean),
  cgroupsPath: Schema.optionalKey(Schema.NullOr(Schema.String)),
  oomCount: Schema.optionalKey(Schema.Int),
  oomAt: Schema.optionalKey(Schema.Int),
  reaped: Schema.optionalKey(Reaped),
  unheld: Schema.optionalKey(Schema.Boolean),
  ...io,
  exit: Schema.NullOr(Exit)
})
export type HostedRecord = typeof HostedRecord.Type

/**
 * What the host tells: the whole of what it holds when somebody begins to watch, then every change. `Changed` is a start, pause or resume that came to its end
 * when whoever had asked for it was gone: all others get an answer. `count`: all kills for want of memory in the container so far; whoever knows of as many has
 * heard of it already.
 */
export const HostEvent = Schema.TaggedUnion({
  Snapshot: { records: Schema.Array(HostedRecord) },
  Exited: { ref: Ref, exit: Exit, unheld: Schema.optionalKey(Schema.Boolean) },
  Changed: { ref: ContainerRef, change: Schema.Literals(["started", "paused", "resumed"]) },
  Oom: { ref: ContainerRef, count: Schema.Int }
})
export type HostEvent = typeof HostEvent.Type

/** Every exit that a deletion found or caused; `init` is null where the container never had one. */
export const DeleteResult = Schema.Struct({
  init: Schema.NullOr(Exit),
  execs: Schema.Array(Schema.Struct({ execId: ExecId, exit: Exit }))
})
export type DeleteResult = typeof DeleteResult.Type
