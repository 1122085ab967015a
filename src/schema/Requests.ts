/** What clients ask of containers, tasks and events: the arguments of the services, and the payloads of the RPCs, which are the same thing. */
import { Schema } from "effect"
import { Bytes } from "./Bytes.ts"
import { ConsumerName, ContainerId, ExecId, Seq } from "./Ids.ts"
import { OciProcess } from "./OciSpec.ts"
import { Exit, Stdio, TerminalSize } from "./Process.ts"
import { Resources } from "./Resources.ts"
import { StopStage } from "./Task.ts"

const id = ContainerId
/** Init where it is absent or `null`. */
const execId = Schema.optionalKey(Schema.NullOr(ExecId))
const signal = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 64 }))
/** At most a day for whatever waits. */
const milliseconds = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 86_400_000 }))
const filters = Schema.optionalKey(Schema.Array(Schema.String.check(Schema.isMaxLength(4096))))

export const ById = Schema.Struct({ id })
export const ByProcess = Schema.Struct({ id, execId })
export type ByProcess = typeof ByProcess.Type

/** Filters in containerd's language (`schema/Filter.ts`); one of them must match. */
export const ListRequest = Schema.Struct({ filters })
export type ListRequest = typeof ListRequest.Type

/** `autoRemove`: on exit the task and its container delete themselves. `size`: of the terminal, where the process has one. */
export const CreateTask = Schema.Struct({
  id,
  stdio: Schema.optionalKey(Stdio),
  size: Schema.optionalKey(TerminalSize),
  autoRemove: Schema.optionalKey(Schema.Boolean)
})
export type CreateTask = typeof CreateTask.Type

/** Of those named, each once; of every task where none is named. */
export const StatsRequest = Schema.Struct({
  ids: Schema.optionalKey(Schema.Array(id).check(Schema.isMaxLength(10_000)))
})
export type StatsRequest = typeof StatsRequest.Type

/** `all`: every process of the container, not only the one named. `pid`: that process of it, as the host counts; neither with `execId` nor with `all`. */
export const SignalRequest = Schema.Struct({
  id,
  execId,
  pid: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4_194_304 }))),
  signal,
  all: Schema.optionalKey(Schema.Boolean)
})
export type SignalRequest = typeof SignalRequest.Type

/** `signal`, then SIGKILL after `timeoutMillis`; by default what the container was made with, or else SIGTERM and 10 s. */
export const StopRequest = Schema.Struct({
  id,
  signal: Schema.optionalKey(signal),
  timeoutMillis: Schema.optionalKey(milliseconds)
})
export type StopRequest = typeof StopRequest.Type

export const StopResult = Schema.Struct({ stage: StopStage, exit: Exit })
export type StopResult = typeof StopResult.Type

/** Changes what it names and leaves the rest; an annotation that is `null` is removed. With neither it only reads the limits. */
export const UpdateTask = Schema.Struct({
  id,
  resources: Schema.optionalKey(Resources),
  annotations: Schema.optionalKey(
    Schema.Record(
      Schema.NonEmptyString.check(Schema.isMaxLength(1024)),
      Schema.NullOr(Schema.String.check(Schema.isMaxLength(65_536)))
    )
  )
})
export type UpdateTask = typeof UpdateTask.Type

/** `resources`: the limits as the kernel holds them now, rounded as it does; -1 is no limit. `annotations`: all that the container has. */
export const UpdateResult = Schema.Struct({
  id,
  resources: Resources,
  annotations: Schema.Record(Schema.String, Schema.String)
})
export type UpdateResult = typeof UpdateResult.Type

/** For ever without `timeoutMillis`. */
export const WaitRequest = Schema.Struct({ id, execId, timeoutMillis: Schema.optionalKey(milliseconds) })
export type WaitRequest = typeof WaitRequest.Type

/** `force` kills what runs; without it the task must be created or stopped. */
export const DeleteTask = Schema.Struct({ id, force: Schema.optionalKey(Schema.Boolean) })
export type DeleteTask = typeof DeleteTask.Type

/** `size`: of the terminal, where the process has one. */
export const ExecTask = Schema.Struct({
  id,
  execId: ExecId,
  process: OciProcess,
  stdio: Schema.optionalKey(Stdio),
  size: Schema.optionalKey(TerminalSize)
})
export type ExecTask = typeof ExecTask.Type

export const DeleteExec = Schema.Struct({ id, execId: ExecId, force: Schema.optionalKey(Schema.Boolean) })
export type DeleteExec = typeof DeleteExec.Type

/** The last size asked for counts, before the start too. */
export const ResizeRequest = Schema.Struct({ id, execId, ...TerminalSize.fields })
export type ResizeRequest = typeof ResizeRequest.Type

/**
 * From the start of the log. `follow`: until the process has ended and all its output is read. `live`: only what comes from now on; the first chunk is then
 * empty, and says that nothing printed after it will be missed. `tail`: the newest lines only, of those that are selected; the log is read from its end for
 * that. `since`: only what was read at that time or later. `stream`: one of the two.
 */
export const OutputRequest = Schema.Struct({
  id,
  execId,
  follow: Schema.optionalKey(Schema.Boolean),
  live: Schema.optionalKey(Schema.Boolean),
  tail: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000_000 }))),
  since: Schema.optionalKey(Schema.DateTimeUtcFromString),
  stream: Schema.optionalKey(Schema.Literals(["stdout", "stderr"]))
})
export type OutputRequest = typeof OutputRequest.Type

/** At most 64 KiB a call. */
export const StdinRequest = Schema.Struct({
  id,
  execId,
  bytes: Bytes.check(Schema.makeFilter((bytes) => (bytes.length <= 65_536 ? undefined : "at most 64 KiB a call")))
})
export type StdinRequest = typeof StdinRequest.Type

/** Events after `after`, since `since` and after what `consumer` has acknowledged, whichever is latest; by default all that the log still holds. */
export const SubscribeRequest = Schema.Struct({
  after: Schema.optionalKey(Seq),
  consumer: Schema.optionalKey(ConsumerName),
  since: Schema.optionalKey(Schema.DateTimeUtcFromString),
  follow: Schema.optionalKey(Schema.Boolean),
  filters
})
export type SubscribeRequest = typeof SubscribeRequest.Type

/** The consumer is done with every event up to this one. */
export const Acknowledgement = Schema.Struct({ consumer: ConsumerName, seq: Seq })
export type Acknowledgement = typeof Acknowledgement.Type

/** The process that holds the containers. It can be of another version than the daemon, until its last container is gone. */
export const ShimInfo = Schema.Struct({ version: Schema.String, protocol: Schema.Int, pid: Schema.Int })
export type ShimInfo = typeof ShimInfo.Type

/** What `berth version` and `berth info` show. `shim` is absent in the answers of older daemons, null where there is none. */
export const ServerInfo = Schema.Struct({
  version: Schema.String,
  pid: Schema.Int,
  startedAt: Schema.DateTimeUtcFromString,
  node: Schema.String,
  kernel: Schema.String,
  cgroup: Schema.Literals(["v1", "v2", "hybrid"]),
  defaultRuntime: Schema.NullOr(Schema.String),
  root: Schema.String,
  state: Schema.String,
  shim: Schema.optionalKey(Schema.NullOr(ShimInfo))
})
export type ServerInfo = typeof ServerInfo.Type
