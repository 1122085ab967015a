/**
 * The states of the task and process machines, and the records that the store keeps of them. Clients never see these: `toTask` and `toProcess` turn a
 * record into what they see. An `exit` held in `Creating` or `Starting` came before the call that it must follow had answered.
 */
import { DateTime, Schema } from "effect"
import { ContainerId, ExecId, Namespace, RuntimeName } from "./Ids.ts"
import { OciProcess } from "./OciSpec.ts"
import { Exit, Process, Stdio } from "./Process.ts"
import type { TaskStatus } from "./Process.ts"
import type { Task } from "./Task.ts"

/** A process beyond doubt: pids are reused, so the start time (clock ticks since boot, /proc/PID/stat field 22) and the boot id go with it. */
export const Identity = Schema.Struct({ pid: Schema.Int, startTime: Schema.String, bootId: Schema.String })
export type Identity = typeof Identity.Type

const at = Schema.DateTimeUtcFromString
const held = { exit: Schema.NullOr(Exit) }
const live = { identity: Identity, startedAt: at }
/** What it was before: what had not begun has no identity, what was never started no time. */
const deleting = { identity: Schema.NullOr(Identity), startedAt: Schema.NullOr(at), ...held }
/** How often the removal of a task that removes itself, or was only half-made, has failed so far. */
const removing = { failedRemovals: Schema.optionalKey(Schema.Int) }

export const TaskState = Schema.TaggedUnion({
  Creating: held,
  Created: { identity: Identity },
  Starting: { identity: Identity, ...held },
  Running: live,
  Pausing: live,
  Paused: live,
  Resuming: live,
  Stopped: { identity: Identity, startedAt: Schema.NullOr(at), exit: Exit, ...removing },
  /** `paused`: it was, and is again if the deletion fails. */
  Deleting: { ...deleting, paused: Schema.optionalKey(Schema.Literal(true)), ...removing },
  Deleted: held
})
export type TaskState = typeof TaskState.Type

export const ProcessState = Schema.TaggedUnion({
  Created: {},
  Starting: held,
  Running: live,
  Stopped: { ...live, exit: Exit },
  Deleting: deleting,
  Deleted: held
})
export type ProcessState = typeof ProcessState.Type

const paths = {
  stdin: Schema.NullOr(Schema.String),
  stdout: Schema.NullOr(Schema.String),
  stderr: Schema.NullOr(Schema.String)
}

/** A task as stored. `autoRemove`: task and container delete themselves on exit. `withContainer`: also where it does not come to be, for they were made together. */
export const TaskRecord = Schema.Struct({
  namespace: Namespace,
  id: ContainerId,
  runtime: RuntimeName,
  terminal: Schema.Boolean,
  stdio: Stdio,
  paths: Schema.Struct(paths),
  autoRemove: Schema.Boolean,
  withContainer: Schema.optionalKey(Schema.Literal(true)),
  oomCount: Schema.Int,
  createdAt: at,
  state: TaskState
})
export type TaskRecord = typeof TaskRecord.Type

/** An exec process as stored. */
export const ProcessRecord = Schema.Struct({
  namespace: Namespace,
  containerId: ContainerId,
  id: ExecId,
  spec: OciProcess,
  stdio: Stdio,
  paths: Schema.Struct(paths),
  createdAt: at,
  state: ProcessState
})
export type ProcessRecord = typeof ProcessRecord.Type

const startedAt = (state: TaskState | ProcessState): DateTime.Utc | null =>
  "startedAt" in state ? state.startedAt : null
const pid = (state: TaskState | ProcessState): number | null =>
  "identity" in state && state.identity !== null ? state.identity.pid : null
/** The exit that clients may know; one that is only held is not yet announced. */
const announced = (state: TaskState | ProcessState): Exit | null =>
  "exit" in state && state._tag !== "Creating" && state._tag !== "Starting" ? state.exit : null

const truncatedOf = (exit: Exit | null) => (exit?.truncated === true ? { truncated: exit.truncated } : {})

const taskStatuses = {
  Creating: "created",
  Created: "created",
  Starting: "created",
  Running: "running",
  Pausing: "pausing",
  Paused: "paused",
  Resuming: "paused",
  Stopped: "stopped",
  Deleted: "deleted"
} as const

/** The status that clients see of a task state. */
export const taskStatus = (state: TaskState): TaskStatus => {
  if (state._tag !== "Deleting") return taskStatuses[state._tag]
  return state.exit !== null ? "stopped" : state.startedAt !== null ? "running" : "created"
}

/** A task record as clients see it. */
export const toTask = (record: TaskRecord): Task => {
  const { state } = record
  const exit = announced(state)
  return {
    namespace: record.namespace,
    id: record.id,
    containerId: record.id,
    runtime: record.runtime,
    status: taskStatus(state),
    pid: pid(state),
    exitStatus: exit?.exitStatus ?? null,
    exitedAt: exit?.exitedAt ?? null,
    oomKilled: exit?.oomKilled ?? false,
    exitSource: exit?.source ?? null,
    ...truncatedOf(exit),
    ...record.paths,
    terminal: record.terminal,
    createdAt: record.createdAt,
    startedAt: startedAt(state),
    restartCount: 0,
    oomCount: exit?.oomCount ?? record.oomCount
  }
}

const processStatuses = {
  Created: "created",
  Starting: "created",
  Running: "running",
  Stopped: "stopped",
  Deleting: "stopped",
  Deleted: "deleted"
} as const

/** A process record as clients see it. */
export const toProcess = (record: ProcessRecord): Process => {
  const { state } = record
  const exit = announced(state)
  return {
    namespace: record.namespace,
    containerId: record.containerId,
    id: record.id,
    status: processStatuses[state._tag],
    pid: pid(state),
    exitStatus: exit?.exitStatus ?? null,
    exitedAt: exit?.exitedAt ?? null,
    exitSource: exit?.source ?? null,
    ...truncatedOf(exit),
    ...record.paths,
    terminal: record.spec.terminal ?? false,
    spec: record.spec,
    createdAt: record.createdAt,
    startedAt: startedAt(state)
  }
}
