/**
 * The metadata store in SQLite: one commit is one transaction, and the tables' own constraints refuse what would contradict itself. Its statements ask only
 * for what other databases can do too.
 */
import { Clock, DateTime, Effect, Layer, Option, Queue, Result } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql"
import { Unavailable } from "../../schema/Errors.ts"
import type { Container } from "../../schema/Container.ts"
import type { Event } from "../../schema/Events.ts"
import { containerKey, Seq } from "../../schema/Ids.ts"
import type { ContainerId, Namespace } from "../../schema/Ids.ts"
import type { ProcessRecord } from "../../schema/TaskState.ts"
import { MetadataStore } from "../../services/MetadataStore.ts"
import type { Change, StoreFailure, TaskWithProcesses } from "../../services/MetadataStore.ts"
import { defaultRetention, toEvent } from "../../services/StoreRules.ts"
import type { Retention } from "../../services/StoreRules.ts"
import type { Refusal } from "../../services/StoreRules.ts"
import { layer as clientLayer, Transactions } from "./SqliteClient.ts"
import type { SqliteOptions, Statements } from "./SqliteClient.ts"
import { diskSize, storeFailure, toSqlError } from "./SqliteFailure.ts"
import { migrate } from "./migrations.ts"
import { changeStatement, eventStatement } from "./StoreChanges.ts"
import type { ChangeStatement } from "./StoreChanges.ts"
import { prune } from "./StoreRetention.ts"
import * as Rows from "./StoreRows.ts"

/** A few dozen kilobytes each. */
const maxRecent = 32

interface TaskRow {
  readonly namespace: string
  readonly id: string
  readonly task: string
  readonly exec: string | null
  readonly process: string
}

/** Of all of them, one that cannot be read must not keep the others from being read: `berth doctor` finds it. */
const leftOut = (error: Unavailable) => Effect.as(Effect.logError(`left out: ${error.message}`), Option.none())

/** Rows of a task joined with its processes, in order, to one value a task. */
const gather = Effect.fnUntraced(function* (
  rows: ReadonlyArray<TaskRow>,
  otherwise: (error: Unavailable) => Effect.Effect<Option.Option<never>, Unavailable>
) {
  const found: Array<TaskWithProcesses & { readonly processes: Array<ProcessRecord> }> = []
  const read = <A>(row: Effect.Effect<A, Unavailable>) => Effect.catch(Effect.asSome(row), otherwise)
  let current = ""
  let processes: Array<ProcessRecord> | null = null
  for (const { namespace, id, task, exec, process } of rows) {
    const name = `${namespace}/${id}`
    if (name !== current) {
      const record = yield* read(Rows.readTask(task, name))
      processes = Option.isSome(record) ? [] : null
      if (Option.isSome(record) && processes !== null) found.push({ task: record.value, processes })
    }
    current = name
    if (exec === null || processes === null) continue
    const record = yield* read(Rows.readProcess(process, `${name}/${exec}`))
    if (Option.isSome(record)) processes.push(record.value)
  }
  return found
})

/** The containers written last, for the task that is usually made of one right after it: a specification is long to read. */
const recentContainers = () => {
  const kept = new Map<string, Container>()
  const put = (container: Container) => {
    const key = containerKey({ namespace: container.namespace, containerId: container.id })
    kept.delete(key)
    kept.set(key, container)
    const oldest = kept.size > maxRecent ? kept.keys().next().value : undefined
    if (oldest !== undefined) kept.delete(oldest)
  }
  return {
    get: (namespace: Namespace, containerId: ContainerId) => kept.get(containerKey({ namespace, containerId })),
    /** Of a change that is committed. */
    note: (change: Change) => {
      if (change._tag === "InsertContainer" || change._tag === "PutContainer") put(change.container)
      if (change._tag === "DeleteContainer") {
        kept.delete(containerKey({ namespace: change.namespace, containerId: change.id }))
      }
    }
  }
}

/** Null where the change is made. Throws what is no refusal. */
const refusalOf = (
  statements: Statements,
  { missing, orphan, taken, text, unless, values }: ChangeStatement
): Refusal | null => {
  const against = unless === undefined ? undefined : statements.first(unless.text, unless.values)
  if (unless !== undefined && against !== undefined) return unless.refusal(String(against.status))
  try {
    const { rows } = statements.run(text, values)
    return rows === 0 ? (missing?.() ?? null) : null
  } catch (cause) {
    const { _tag } = toSqlError("change", cause).reason
    const refusal = _tag === "UniqueViolation" ? taken : _tag === "ConstraintError" ? orphan : undefined
    if (refusal === undefined) throw cause
    return refusal()
  }
}

/** The store on a client whose database has the tables. `diskLimit` is the size that a full disk is reported with. */
export const make = Effect.fnUntraced(function* (retention: Retention, diskLimit: () => number) {
  const sql = yield* SqlClient.SqlClient
  const { transact } = yield* Transactions
  const clock = yield* Clock.Clock
  const failed = (error: SqlError.SqlError) => Effect.fail(storeFailure(diskLimit)(error))
  const pruning = yield* Queue.sliding<void>(1)
  const recent = recentContainers()
  let commits = 0

  const commit: MetadataStore["Service"]["commit"] = Effect.fn("MetadataStore.commit")(
    function* (changes, fresh) {
      const events = yield* transact((statements): Result.Result<ReadonlyArray<Event>, Refusal> => {
        for (const change of changes) {
          const refusal = refusalOf(statements, changeStatement(change))
          if (refusal !== null) return Result.fail(refusal)
        }
        // Read with the write lock held, so that times go with `seq`.
        const time = DateTime.makeUnsafe(clock.currentTimeMillisUnsafe())
        return Result.succeed(
          fresh.map((event) => {
            const { text, values } = eventStatement(time, event)
            return toEvent(Seq.make(statements.run(text, values).id), time, event)
          })
        )
      })
      changes.forEach(recent.note)
      commits += 1
      if (commits % retention.every === 0) yield* Queue.offer(pruning, undefined)
      return events
    },
    Effect.catchTag("SqlError", failed)
  )

  yield* Queue.take(pruning).pipe(
    Effect.andThen(prune(sql, retention)),
    Effect.catchCause((cause) => Effect.logWarning("old events could not be dropped", cause)),
    Effect.forever,
    Effect.forkScoped
  )
  yield* Queue.offer(pruning, undefined)

  return MetadataStore.of({
    commit,
    container: Effect.fn("MetadataStore.container")(
      function* (namespace, id) {
        const known = recent.get(namespace, id)
        if (known !== undefined) return Option.some(known)
        const [row] = yield* sql<{ readonly record: unknown }>`
        SELECT record FROM containers WHERE namespace = ${namespace} AND id = ${id}`
        if (row === undefined) return Option.none()
        return Option.some(yield* Rows.readContainer(row.record, `${namespace}/${id}`))
      },
      Effect.catchTag("SqlError", failed)
    ),
    containers: Effect.fn("MetadataStore.containers")(
      function* (namespace) {
        const rows = yield* sql<{ readonly id: string; readonly record: unknown }>`
        SELECT id, record FROM containers WHERE namespace = ${namespace} ORDER BY id`
        const read = yield* Effect.forEach(rows, ({ id, record }) =>
          Effect.catch(Effect.asSome(Rows.readContainer(record, `${namespace}/${id}`)), leftOut)
        )
        return read.flatMap(Option.toArray)
      },
      Effect.catchTag("SqlError", failed)
    ),
    task: Effect.fn("MetadataStore.task")(
      function* (namespace, id) {
        const rows = yield* sql<TaskRow>`
        SELECT t.namespace, t.id, t.record AS task, p.id AS exec, p.record AS process
        FROM tasks AS t LEFT JOIN processes AS p ON p.namespace = t.namespace AND p.container_id = t.id
        WHERE t.namespace = ${namespace} AND t.id = ${id} ORDER BY p.id`
        return Option.fromUndefinedOr((yield* gather(rows, Effect.fail)).at(0))
      },
      Effect.catchTag("SqlError", failed)
    ),
    tasks: Effect.gen(function* () {
      const rows = yield* sql<TaskRow>`
        SELECT t.namespace, t.id, t.record AS task, p.id AS exec, p.record AS process
        FROM tasks AS t LEFT JOIN processes AS p ON p.namespace = t.namespace AND p.container_id = t.id
        ORDER BY t.namespace, t.id, p.id`
      return yield* gather(rows, leftOut)
    }).pipe(Effect.catchTag("SqlError", failed), Effect.withSpan("MetadataStore.tasks")),
    events: Effect.fn("MetadataStore.events")(
      function* (after, limit) {
        const rows = yield* sql<{ readonly seq: number }>`
        SELECT seq, time, namespace, payload FROM events WHERE seq > ${after} ORDER BY seq LIMIT ${limit}`
        return yield* Effect.forEach(rows, Rows.readEvent)
      },
      Effect.catchTag("SqlError", failed)
    ),
    consumers: Effect.fn("MetadataStore.consumers")(
      function* (namespace) {
        const rows = yield* sql<{ readonly name: string }>`
        SELECT name, seq, updated_at AS updatedAt FROM consumers WHERE namespace = ${namespace} ORDER BY name`
        return yield* Effect.forEach(rows, (row) => Rows.readConsumer(row, `${namespace}/${row.name}`))
      },
      Effect.catchTag("SqlError", failed)
    ),
    bounds: Effect.gen(function* () {
      const [row] = yield* sql<{ readonly first: number | null; readonly last: number | null }>`
        SELECT (SELECT min(seq) FROM events) AS first, (SELECT max(seq) FROM events) AS last`
      return { first: Seq.make(row?.first ?? 0), last: Seq.make(row?.last ?? 0) }
    }).pipe(Effect.catchTag("SqlError", failed), Effect.withSpan("MetadataStore.bounds"))
  })
})

export interface SqliteStoreOptions extends SqliteOptions, Partial<Retention> {}

/** The store in a SQLite file, its tables brought up to date first. */
export const layer = (options: SqliteStoreOptions): Layer.Layer<MetadataStore, StoreFailure> => {
  const limit = () => diskSize(options.filename)
  const ready = Effect.catchTags(migrate, {
    SqlError: (error) => Effect.fail(storeFailure(limit)(error)),
    MigrationError: ({ message }) => Effect.fail(new Unavailable({ what: "store", problem: message, mend: null }))
  })
  return Layer.effect(MetadataStore, Effect.andThen(ready, make({ ...defaultRetention, ...options }, limit))).pipe(
    Layer.provide(clientLayer(options))
  )
}
