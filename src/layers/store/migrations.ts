/**
 * The tables of the metadata store, as numbered steps. A step that has been released is never edited: a later one mends it. What is queried has a column;
 * the rest of a row is `record`, the JSON that clients see.
 */
import { Effect } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { Unavailable } from "../../schema/Errors.ts"

const initial = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    CREATE TABLE containers (
      namespace TEXT NOT NULL,
      id TEXT NOT NULL,
      created_at TEXT NOT NULL,
      updated_at TEXT NOT NULL,
      record TEXT NOT NULL,
      PRIMARY KEY (namespace, id)
    ) STRICT`
  yield* sql`
    CREATE TABLE tasks (
      namespace TEXT NOT NULL,
      id TEXT NOT NULL,
      status TEXT NOT NULL,
      created_at TEXT NOT NULL,
      record TEXT NOT NULL,
      PRIMARY KEY (namespace, id),
      FOREIGN KEY (namespace, id) REFERENCES containers (namespace, id)
    ) STRICT`
  yield* sql`
    CREATE TABLE processes (
      namespace TEXT NOT NULL,
      container_id TEXT NOT NULL,
      id TEXT NOT NULL,
      status TEXT NOT NULL,
      created_at TEXT NOT NULL,
      record TEXT NOT NULL,
      PRIMARY KEY (namespace, container_id, id),
      FOREIGN KEY (namespace, container_id) REFERENCES tasks (namespace, id) ON DELETE CASCADE
    ) STRICT`
  yield* sql`
    CREATE TABLE events (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      time TEXT NOT NULL,
      namespace TEXT NOT NULL,
      topic TEXT NOT NULL,
      container_id TEXT NOT NULL,
      exec_id TEXT,
      payload TEXT NOT NULL
    ) STRICT`
  yield* sql`CREATE INDEX events_time ON events (time)`
  yield* sql`
    CREATE INDEX events_init_exit ON events (namespace, container_id, seq)
    WHERE topic = '/tasks/exit' AND exec_id IS NULL`
})

const consumers = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    CREATE TABLE consumers (
      namespace TEXT NOT NULL,
      name TEXT NOT NULL,
      seq INTEGER NOT NULL,
      updated_at TEXT NOT NULL,
      PRIMARY KEY (namespace, name)
    ) STRICT`
})

const steps = { "1_initial": initial, "2_consumers": consumers }
const run = Migrator.make({})({ loader: Migrator.fromRecord(steps), table: "migrations" })

/** Brings a database up to date, in one transaction. Unavailable where a newer berth has changed the tables since. */
export const migrate = Effect.gen(function* () {
  yield* run
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly newest: number }>`SELECT max(migration_id) AS newest FROM migrations`
  const known = Object.keys(steps).length
  if (row !== undefined && row.newest > known) {
    return yield* new Unavailable({
      what: "store",
      problem: `the database is of a newer berth (tables ${row.newest}, known up to ${known})`,
      mend: "run that version, or choose another --root"
    })
  }
})
