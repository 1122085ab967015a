/**
 * The changes and events of a commit as SQL statements: data, for a store to run as its database likes. The tables refuse what contradicts them; here
 * their refusals get their names.
 */
import { DateTime } from "effect"
import type { NewEvent } from "../../schema/Events.ts"
import { Change } from "../../services/MetadataStore.ts"
import { refuse } from "../../services/StoreRules.ts"
import type { Refusal } from "../../services/StoreRules.ts"
import * as Rows from "./StoreRows.ts"

export type Value = string | number | null

export interface Statement {
  /** With `?` for each of `values`. */
  readonly text: string
  readonly values: ReadonlyArray<Value>
}

export interface ChangeStatement extends Statement {
  /** A query whose first row, where there is one, forbids the change; the refusal names its status. */
  readonly unless?: Statement & { readonly refusal: (status: string) => Refusal }
  /** Its own key is taken; the row that it refers to is missing; it touched no row. Without one of these, that is no refusal. */
  readonly taken?: () => Refusal
  readonly orphan?: () => Refusal
  readonly missing?: () => Refusal
}

export const changeStatement = Change.$match({
  InsertContainer: ({ container }): ChangeStatement => {
    const { createdAt, record, updatedAt } = Rows.containerColumns(container)
    return {
      text: "INSERT INTO containers (namespace, id, created_at, updated_at, record) VALUES (?, ?, ?, ?, ?)",
      values: [container.namespace, container.id, createdAt, updatedAt, record],
      taken: () => refuse.containerTaken(container.id)
    }
  },
  PutContainer: ({ container }): ChangeStatement => {
    const { createdAt, record, updatedAt } = Rows.containerColumns(container)
    return {
      text: "UPDATE containers SET updated_at = ?, record = ? WHERE namespace = ? AND id = ? AND created_at = ?",
      values: [updatedAt, record, container.namespace, container.id, createdAt],
      missing: () => refuse.noContainer(container.id)
    }
  },
  DeleteContainer: ({ namespace, id }): ChangeStatement => ({
    unless: {
      text: "SELECT status FROM tasks WHERE namespace = ? AND id = ?",
      values: [namespace, id],
      refusal: refuse.hasTask(id)
    },
    text: "DELETE FROM containers WHERE namespace = ? AND id = ?",
    values: [namespace, id],
    missing: () => refuse.noContainer(id)
  }),
  InsertTask: ({ record }): ChangeStatement => {
    const { createdAt, record: json, status } = Rows.taskColumns(record)
    return {
      text: "INSERT INTO tasks (namespace, id, status, created_at, record) VALUES (?, ?, ?, ?, ?)",
      values: [record.namespace, record.id, status, createdAt, json],
      taken: () => refuse.taskTaken(record.id),
      orphan: () => refuse.noContainer(record.id)
    }
  },
  PutTask: ({ record }): ChangeStatement => {
    const { createdAt, record: json, status } = Rows.taskColumns(record)
    return {
      text: "UPDATE tasks SET status = ?, created_at = ?, record = ? WHERE namespace = ? AND id = ?",
      values: [status, createdAt, json, record.namespace, record.id],
      missing: () => refuse.noTask(record.id)
    }
  },
  DeleteTask: ({ namespace, id }): ChangeStatement => ({
    text: "DELETE FROM tasks WHERE namespace = ? AND id = ?",
    values: [namespace, id]
  }),
  InsertProcess: ({ record }): ChangeStatement => {
    const { createdAt, record: json, status } = Rows.processColumns(record)
    return {
      text: "INSERT INTO processes (namespace, container_id, id, status, created_at, record) VALUES (?, ?, ?, ?, ?, ?)",
      values: [record.namespace, record.containerId, record.id, status, createdAt, json],
      taken: () => refuse.execTaken(record.id),
      orphan: () => refuse.noTask(record.containerId)
    }
  },
  PutProcess: ({ record }): ChangeStatement => {
    const { createdAt, record: json, status } = Rows.processColumns(record)
    return {
      text: `UPDATE processes SET status = ?, created_at = ?, record = ?
        WHERE namespace = ? AND container_id = ? AND id = ?`,
      values: [status, createdAt, json, record.namespace, record.containerId, record.id],
      missing: () => refuse.noExec(record.id)
    }
  },
  DeleteProcess: ({ namespace, containerId, id }): ChangeStatement => ({
    text: "DELETE FROM processes WHERE namespace = ? AND container_id = ? AND id = ?",
    values: [namespace, containerId, id]
  }),
  PutConsumer: ({ namespace, consumer: { name, seq, updatedAt } }): ChangeStatement => ({
    text: `INSERT INTO consumers (namespace, name, seq, updated_at) VALUES (?, ?, ?, ?)
      ON CONFLICT (namespace, name) DO UPDATE SET seq = excluded.seq, updated_at = excluded.updated_at
      WHERE excluded.seq > consumers.seq`,
    values: [namespace, name, seq, DateTime.formatIso(updatedAt)]
  }),
  DeleteConsumer: ({ namespace, name }): ChangeStatement => ({
    text: "DELETE FROM consumers WHERE namespace = ? AND name = ?",
    values: [namespace, name]
  })
})

/** Its row id is the event's `seq`. */
export const eventStatement = (time: DateTime.Utc, event: NewEvent): Statement => {
  const { containerId, execId, payload, topic } = Rows.eventColumns(event)
  return {
    text: "INSERT INTO events (time, namespace, topic, container_id, exec_id, payload) VALUES (?, ?, ?, ?, ?, ?)",
    values: [DateTime.formatIso(time), event.namespace, topic, containerId, execId, payload]
  }
}
