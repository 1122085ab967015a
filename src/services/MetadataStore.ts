/**
 * What berth knows and must not forget: containers, tasks, exec processes, the event log and how far its consumers are. Changes and the events that tell of them are data, and one
 * `commit` takes both or neither. It refuses what would contradict itself (a second container of the same id, a task without its container, deleting a
 * container that has a task); it knows nothing of what the states mean.
 */
import { Context, Data } from "effect"
import type { Effect, Option } from "effect"
import type { Container } from "../schema/Container.ts"
import type { AlreadyExists, FailedPrecondition, NotFound, ResourceExhausted, Unavailable } from "../schema/Errors.ts"
import type { Consumer, Event, NewEvent } from "../schema/Events.ts"
import type { ConsumerName, ContainerId, ExecId, Namespace, Seq } from "../schema/Ids.ts"
import type { ProcessRecord, TaskRecord } from "../schema/TaskState.ts"

/**
 * `Insert…` fails with AlreadyExists, `Put…` with NotFound; `Delete…` of a task, process or consumer that is not there does nothing. The kind in such an error is `container`, `task`
 * or, for a process, `exec`.
 */
export type Change = Data.TaggedEnum<{
  InsertContainer: { readonly container: Container }
  /** NotFound also where the container of that id is another, made at another time: a change of the former one must not take its place. */
  PutContainer: { readonly container: Container }
  /** NotFound where there is none. FailedPrecondition while the container has a task: operation `delete`, found the task's status, allowed none. */
  DeleteContainer: { readonly namespace: Namespace; readonly id: ContainerId }
  /** NotFound (kind `container`) where the container is missing. */
  InsertTask: { readonly record: TaskRecord }
  PutTask: { readonly record: TaskRecord }
  /** Deletes the task's exec processes too. */
  DeleteTask: { readonly namespace: Namespace; readonly id: ContainerId }
  /** NotFound (kind `task`) where the task is missing. */
  InsertProcess: { readonly record: ProcessRecord }
  PutProcess: { readonly record: ProcessRecord }
  DeleteProcess: { readonly namespace: Namespace; readonly containerId: ContainerId; readonly id: ExecId }
  /** A place that lies before the one that is kept changes nothing. */
  PutConsumer: { readonly namespace: Namespace; readonly consumer: Consumer }
  DeleteConsumer: { readonly namespace: Namespace; readonly name: ConsumerName }
}>
export const Change = Data.taggedEnum<Change>()

/** ResourceExhausted: the disk is full. Unavailable: the store cannot be read or written. */
export type StoreFailure = ResourceExhausted | Unavailable
export type CommitFailure = AlreadyExists | NotFound | FailedPrecondition | StoreFailure

export class MetadataStore extends Context.Service<
  MetadataStore,
  {
    /** Applies all changes in order and appends all events, or does nothing. Returns the events with their `seq` and time. */
    readonly commit: (
      changes: ReadonlyArray<Change>,
      events: ReadonlyArray<NewEvent>
    ) => Effect.Effect<ReadonlyArray<Event>, CommitFailure>
    readonly container: (namespace: Namespace, id: ContainerId) => Effect.Effect<Option.Option<Container>, StoreFailure>
    /** By id; of one namespace. What cannot be read is logged and left out, so that the others are read. */
    readonly containers: (namespace: Namespace) => Effect.Effect<ReadonlyArray<Container>, StoreFailure>
    /** One task with its processes, or all of every namespace: what an actor starts from. */
    readonly task: (
      namespace: Namespace,
      id: ContainerId
    ) => Effect.Effect<Option.Option<TaskWithProcesses>, StoreFailure>
    /** By namespace and id; the processes of each by id. What cannot be read is logged and left out, so that the others are read. */
    readonly tasks: Effect.Effect<ReadonlyArray<TaskWithProcesses>, StoreFailure>
    /** At most `limit` events after `after`, oldest first. Old events are dropped in time (`StoreRules.ts`), so that there may be gaps between them. */
    readonly events: (after: Seq, limit: number) => Effect.Effect<ReadonlyArray<Event>, StoreFailure>
    /** By name; of one namespace. */
    readonly consumers: (namespace: Namespace) => Effect.Effect<ReadonlyArray<Consumer>, StoreFailure>
    /** The oldest and the newest `seq` that the log holds; both 0 before the first event. The newest event is never dropped. */
    readonly bounds: Effect.Effect<{ readonly first: Seq; readonly last: Seq }, StoreFailure>
  }
>()("berth/services/MetadataStore") {}

export interface TaskWithProcesses {
  readonly task: TaskRecord
  readonly processes: ReadonlyArray<ProcessRecord>
}
