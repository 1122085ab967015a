/** Rows of the metadata store: what is written into them, and what is read out of them. A row that cannot be read is named, never guessed at. */
import { DateTime, Effect, Result, Schema } from "effect"
import { Container } from "../../schema/Container.ts"
import { Unavailable } from "../../schema/Errors.ts"
import { Consumer, Payload } from "../../schema/Events.ts"
import type { Event, NewEvent } from "../../schema/Events.ts"
import { Namespace, Seq } from "../../schema/Ids.ts"
import { ProcessRecord, TaskRecord, taskStatus, toProcess } from "../../schema/TaskState.ts"
import { toEvent } from "../../services/StoreRules.ts"

const containerJson = Schema.fromJsonString(Container)
const taskJson = Schema.fromJsonString(TaskRecord)
const processJson = Schema.fromJsonString(ProcessRecord)
const eventRow = Schema.Struct({
  seq: Seq,
  time: Schema.DateTimeUtcFromString,
  namespace: Namespace,
  payload: Schema.fromJsonString(Payload)
})

const encodeContainer = Schema.encodeSync(containerJson)
const encodeTask = Schema.encodeSync(taskJson)
const encodeProcess = Schema.encodeSync(processJson)
const encodePayload = Schema.encodeSync(eventRow.fields.payload)

export const containerColumns = (container: Container) => ({
  createdAt: DateTime.formatIso(container.createdAt),
  updatedAt: DateTime.formatIso(container.updatedAt),
  record: encodeContainer(container)
})

export const taskColumns = (task: TaskRecord) => ({
  status: taskStatus(task.state),
  createdAt: DateTime.formatIso(task.createdAt),
  record: encodeTask(task)
})

export const processColumns = (process: ProcessRecord) => ({
  status: toProcess(process).status,
  createdAt: DateTime.formatIso(process.createdAt),
  record: encodeProcess(process)
})

export const eventColumns = ({ payload }: NewEvent) => ({
  topic: payload.topic,
  containerId: "containerId" in payload.event ? payload.event.containerId : payload.event.id,
  execId: "execId" in payload.event ? payload.event.execId : null,
  payload: encodePayload(payload)
})

const reader =
  <A>(table: string, decode: (row: unknown) => Result.Result<A, Schema.SchemaError>) =>
  (row: unknown, name: string): Effect.Effect<A, Unavailable> =>
    Effect.fromResult(
      Result.mapError(
        decode(row),
        (error) =>
          new Unavailable({
            what: "store",
            problem: `row ${name} of table ${table} cannot be read: ${error.message}`,
            mend: "restore the database from a backup, or delete that row"
          })
      )
    )

export const readContainer = reader("containers", Schema.decodeUnknownResult(containerJson))
export const readTask = reader("tasks", Schema.decodeUnknownResult(taskJson))
export const readProcess = reader("processes", Schema.decodeUnknownResult(processJson))
export const readConsumer = reader("consumers", Schema.decodeUnknownResult(Consumer))
const readEventRow = reader("events", Schema.decodeUnknownResult(eventRow))

export const readEvent = (row: { readonly seq: unknown }): Effect.Effect<Event, Unavailable> =>
  Effect.map(readEventRow(row, String(row.seq)), ({ seq, time, ...event }) => toEvent(seq, time, event))
