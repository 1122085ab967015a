/** One change of the metadata store as SQL. The tables refuse what contradicts them; here their refusals get their names. */
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import type { TaskStatus } from "../../schema/Process.ts"
import { Change } from "../../services/MetadataStore.ts"
import { refuse } from "../../services/StoreRules.ts"
import type { Refusal } from "../../services/StoreRules.ts"
import * as Rows from "./StoreRows.ts"

type Outcome = Effect.Effect<void, Refusal | SqlError.SqlError>

/** Turns a violated constraint into what it means: `taken` for the row's own key, `orphan` for the row that it refers to. */
const refusing =
  (taken: Refusal, orphan: Refusal) =>
  (self: Effect.Effect<unknown, SqlError.SqlError>): Outcome =>
    Effect.asVoid(
      Effect.mapError(self, (error) =>
        error.reason._tag === "UniqueViolation" ? taken : error.reason._tag === "ConstraintError" ? orphan : error
      )
    )

/** For statements that return a row for each one they touched. */
const touching =
  (missing: Refusal) =>
  (self: Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>): Outcome =>
    Effect.flatMap(self, (rows) => (rows.length > 0 ? Effect.void : Effect.fail(missing)))

/** Runs changes; inside the transaction of the commit that they belong to. */
export const applier = (sql: SqlClient.SqlClient): ((change: Change) => Outcome) =>
  Change.$match({
    InsertContainer: ({ container }) => {
      const row = Rows.containerColumns(container)
      return sql`INSERT INTO containers (namespace, id, created_at, updated_at, record)
        VALUES (${container.namespace}, ${container.id}, ${row.createdAt}, ${row.updatedAt}, ${row.record})`.pipe(
        refusing(refuse.containerTaken(container.id), refuse.noContainer(container.id))
      )
    },
    PutContainer: ({ container }) => {
      const row = Rows.containerColumns(container)
      return sql`UPDATE containers SET created_at = ${row.createdAt}, updated_at = ${row.updatedAt}, record = ${row.record}
        WHERE namespace = ${container.namespace} AND id = ${container.id} RETURNING 1`.pipe(
        touching(refuse.noContainer(container.id))
      )
    },
    DeleteContainer: Effect.fnUntraced(function* ({ namespace, id }) {
      const [task] = yield* sql<{ readonly status: TaskStatus }>`
        SELECT status FROM tasks WHERE namespace = ${namespace} AND id = ${id}`
      if (task !== undefined) return yield* refuse.hasTask(task.status)
      yield* sql`DELETE FROM containers WHERE namespace = ${namespace} AND id = ${id}`
    }),
    InsertTask: ({ record }) => {
      const row = Rows.taskColumns(record)
      return sql`INSERT INTO tasks (namespace, id, status, created_at, record)
        VALUES (${record.namespace}, ${record.id}, ${row.status}, ${row.createdAt}, ${row.record})`.pipe(
        refusing(refuse.taskTaken(record.id), refuse.noContainer(record.id))
      )
    },
    PutTask: ({ record }) => {
      const row = Rows.taskColumns(record)
      return sql`UPDATE tasks SET status = ${row.status}, created_at = ${row.createdAt}, record = ${row.record}
        WHERE namespace = ${record.namespace} AND id = ${record.id} RETURNING 1`.pipe(
        touching(refuse.noTask(record.id))
      )
    },
    DeleteTask: ({ namespace, id }) =>
      Effect.asVoid(sql`DELETE FROM tasks WHERE namespace = ${namespace} AND id = ${id}`),
    InsertProcess: ({ record }) => {
      const row = Rows.processColumns(record)
      return sql`INSERT INTO processes (namespace, container_id, id, status, created_at, record)
        VALUES (${record.namespace}, ${record.containerId}, ${record.id}, ${row.status}, ${row.createdAt}, ${row.record})`.pipe(
        refusing(refuse.execTaken(record.id), refuse.noTask(record.containerId))
      )
    },
    PutProcess: ({ record }) => {
      const row = Rows.processColumns(record)
      return sql`UPDATE processes SET status = ${row.status}, created_at = ${row.createdAt}, record = ${row.record}
        WHERE namespace = ${record.namespace} AND container_id = ${record.containerId} AND id = ${record.id}
        RETURNING 1`.pipe(touching(refuse.noExec(record.id)))
    },
    DeleteProcess: ({ namespace, containerId, id }) =>
      Effect.asVoid(
        sql`DELETE FROM processes WHERE namespace = ${namespace} AND container_id = ${containerId} AND id = ${id}`
      )
  })
