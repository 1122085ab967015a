/**
 * Drops old events from the SQL store, in the background and in steps that are short enough not to be felt. What must be kept is said in
 * `services/StoreRules.ts`.
 */
import { Clock, DateTime, Duration, Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { Retention } from "../../services/StoreRules.ts"

/** Rows that one statement drops: about a millisecond. */
const step = 500

/** Drops everything that is too old now. */
export const prune = Effect.fn("StoreRetention.prune")(function* (sql: SqlClient.SqlClient, retention: Retention) {
  const oldest =
    retention.maxAge === null
      ? ""
      : DateTime.formatIso(DateTime.makeUnsafe((yield* Clock.currentTimeMillis) - Duration.toMillis(retention.maxAge)))
  const [bounds] = yield* sql<{ readonly last: number | null; readonly aged: number | null }>`
    SELECT (SELECT max(seq) FROM events) AS last, (SELECT max(seq) FROM events WHERE time < ${oldest}) AS aged`
  const last = bounds?.last ?? 0
  const horizon = Math.min(Math.max(last - retention.maxEvents, bounds?.aged ?? 0), last - 1)
  const dropSome = sql`
    DELETE FROM events WHERE seq IN (
      SELECT seq FROM events AS old
      WHERE seq <= ${horizon} AND NOT (
        topic = '/tasks/exit' AND exec_id IS NULL
        AND EXISTS (SELECT 1 FROM tasks WHERE namespace = old.namespace AND id = old.container_id)
        AND NOT EXISTS (
          SELECT 1 FROM events AS newer
          WHERE newer.topic = '/tasks/exit' AND newer.exec_id IS NULL
            AND newer.namespace = old.namespace AND newer.container_id = old.container_id AND newer.seq > old.seq
        )
      )
      ORDER BY seq LIMIT ${step}
    ) RETURNING seq`
  let dropped = step
  while (dropped === step) {
    dropped = (yield* dropSome).length
    yield* Effect.yieldNow
  }
})
