/** What every metadata store has in common: how it refuses, how it stamps an event, and how long it keeps one. */
import type { DateTime, Duration } from "effect"
import { AlreadyExists, FailedPrecondition, NotFound } from "../schema/Errors.ts"
import type { Event, NewEvent } from "../schema/Events.ts"
import type { ContainerId, ExecId, Seq } from "../schema/Ids.ts"

export type Refusal = AlreadyExists | NotFound | FailedPrecondition

/** The refusals of a commit; every store answers with these. */
export const refuse = {
  containerTaken: (id: ContainerId) => new AlreadyExists({ kind: "container", id }),
  taskTaken: (id: ContainerId) => new AlreadyExists({ kind: "task", id }),
  execTaken: (id: ExecId) => new AlreadyExists({ kind: "exec", id }),
  noContainer: (id: ContainerId) => new NotFound({ kind: "container", id }),
  noTask: (id: ContainerId) => new NotFound({ kind: "task", id }),
  noExec: (id: ExecId) => new NotFound({ kind: "exec", id }),
  hasTask: (id: ContainerId) => (status: string) =>
    new FailedPrecondition({ operation: `delete container "${id}" with its task`, found: status, allowed: [] })
}

/** An event as the log keeps it. */
export const toEvent = (seq: Seq, time: DateTime.Utc, { namespace, payload }: NewEvent): Event => ({
  seq,
  time,
  namespace,
  ...payload
})

/**
 * How long events are kept. Two kinds stay whatever their age: the newest of all, so that `seq` never starts again, and the newest exit of every task that
 * still exists, so that its end can always be read. Before the oldest of the others there may be gaps; after it there is none.
 */
export interface Retention {
  /** So many of the newest. */
  readonly maxEvents: number
  /** None older than this; `null` for any age. */
  readonly maxAge: Duration.Duration | null
  /** Old ones are dropped after every so many commits, and when the store opens. */
  readonly every: number
}

export const defaultRetention: Retention = { maxEvents: 100_000, maxAge: null, every: 1_000 }
