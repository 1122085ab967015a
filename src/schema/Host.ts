/** What passes between the daemon and the process host (the shim), and what the host keeps on disk. */
import { Schema } from "effect"
import { ContainerId, ExecId, Namespace, RuntimeName } from "./Ids.ts"
import { OciProcess, VettedSpec } from "./OciSpec.ts"
import { Exit, Stdio } from "./Process.ts"
import { Resources } from "./Resources.ts"
import { Identity } from "./TaskState.ts"

/** Names a process: init where `execId` is null. */
export const Ref = Schema.Struct({ namespace: Namespace, containerId: ContainerId, execId: Schema.NullOr(ExecId) })
export type Ref = typeof Ref.Type

/** Names a container. */
export const ContainerRef = Schema.Struct({ namespace: Namespace, containerId: ContainerId })
export type ContainerRef = typeof ContainerRef.Type

const io = { stdio: Stdio, logFile: Schema.NullOr(Schema.String) }

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
 * What the host knows of a process: enough for another host to take it over. `started` is set for init once the runtime has started it; `terminal`, absent
 * in records of older hosts, where the process has one.
 */
export const HostedRecord = Schema.Struct({
  ref: Ref,
  runtime: RuntimeName,
  identity: Identity,
  started: Schema.Boolean,
  paused: Schema.Boolean,
  terminal: Schema.optionalKey(Schema.Boolean),
  ...io,
  exit: Schema.NullOr(Exit)
})
export type HostedRecord = typeof HostedRecord.Type

/** What the host tells: the whole of what it holds when somebody begins to watch, then every change. */
export const HostEvent = Schema.TaggedUnion({
  Snapshot: { records: Schema.Array(HostedRecord) },
  Exited: { ref: Ref, exit: Exit },
  Oom: { ref: ContainerRef }
})
export type HostEvent = typeof HostEvent.Type

/** Every exit that a deletion found or caused; `init` is null where the container never had one. */
export const DeleteResult = Schema.Struct({
  init: Schema.NullOr(Exit),
  execs: Schema.Array(Schema.Struct({ execId: ExecId, exit: Exit }))
})
export type DeleteResult = typeof DeleteResult.Type
