/**
 * The event log's entries: an envelope round a payload, one payload schema per topic. Topics are containerd's. Every task event carries `containerId`;
 * those that may concern an exec carry `execId` too, `null` for the init process.
 */
import { Schema, Tuple } from "effect"
import { Labels, Runtime } from "./Container.ts"
import { ConsumerName, ContainerId, ExecId, Namespace, Seq } from "./Ids.ts"
import { Exit } from "./Process.ts"

const entry = <const Topic extends string, F extends Schema.Struct.Fields>(topic: Topic, event: F) =>
  Schema.Struct({ topic: Schema.Literal(topic), event: Schema.Struct(event) })

const task = { containerId: ContainerId }
const exec = { containerId: ContainerId, execId: ExecId }

/** What happened, without when and where. */
export const Payload = Schema.Union([
  entry("/containers/create", { id: ContainerId, runtime: Runtime, labels: Labels }),
  entry("/containers/update", { id: ContainerId, labels: Labels }),
  entry("/containers/delete", { id: ContainerId }),
  entry("/tasks/create", { ...task, pid: Schema.Int, bundle: Schema.String, terminal: Schema.Boolean }),
  entry("/tasks/start", { ...task, pid: Schema.Int }),
  entry("/tasks/paused", task),
  entry("/tasks/resumed", task),
  entry("/tasks/oom", task),
  entry("/tasks/exit", { ...task, execId: Schema.NullOr(ExecId), ...Exit.fields }),
  entry("/tasks/delete", { ...task, pid: Schema.NullOr(Schema.Int), exitStatus: Schema.NullOr(Schema.Int) }),
  entry("/tasks/exec-added", exec),
  entry("/tasks/exec-started", { ...exec, pid: Schema.Int })
])
export type Payload = typeof Payload.Type
export type Topic = Payload["topic"]

/** Where and when it happened. Missing until the log has taken the event: `seq` is the log's to give. */
export interface NewEvent {
  readonly namespace: Namespace
  readonly payload: Payload
}

const envelope = { seq: Seq, time: Schema.DateTimeUtcFromString, namespace: Namespace }

/** An event as clients see it: `{ seq, time, namespace, topic, event }`. */
export const Event = Payload.mapMembers(Tuple.map(Schema.fieldsAssign(envelope)))
export type Event = typeof Event.Type

/** A reader whose place the daemon keeps: it is done with every event up to `seq`. */
export const Consumer = Schema.Struct({
  name: ConsumerName,
  seq: Seq,
  updatedAt: Schema.DateTimeUtcFromString
})
export type Consumer = typeof Consumer.Type
