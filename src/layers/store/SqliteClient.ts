/**
 * Effect's SQL client over `node:sqlite`: one connection in this process, one transaction at a time, statements prepared once. It takes the database for
 * itself, so that two daemons never share a root, and makes its files readable by their owner only. It knows nothing of tables.
 */
import { Context, Effect, Layer, Semaphore, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, SqlError, Statement } from "effect/sql"
import type { SqlConnection } from "effect/sql"
import { chmodSync, closeSync, existsSync, openSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import type { SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite"
import { openFailure, toSqlError } from "./SqliteFailure.ts"

export interface SqliteOptions {
  /** Its folder must exist. `:memory:` is a database that ends with the layer. */
  readonly filename: string
  /** NORMAL (default): a commit survives the death of the daemon; FULL: also a power failure, at a flush of the disk a commit. */
  readonly synchronous?: "NORMAL" | "FULL"
}

type Row = Record<string, SQLOutputValue>
type Transform = (<A extends object>(rows: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

interface Prepared {
  readonly statement: StatementSync
  /** False for a statement that can only say how much it changed. */
  readonly returnsRows: boolean
}

/** Statements differ by their text alone, which has a few dozen forms; a list of parameters makes more, hence the bound. */
const maxPrepared = 128

const parameter = (value: unknown): SQLInputValue => {
  switch (typeof value) {
    case "string":
    case "number":
    case "bigint":
      return value
    case "boolean":
      return value ? 1 : 0
    case "undefined":
      return null
    default:
      if (value === null || value instanceof Uint8Array) return value
      throw new TypeError("not a value that SQLite can hold")
  }
}

function* mapRows(rows: Iterable<Row>, transform: Exclude<Transform, undefined>) {
  for (const row of rows) yield* transform([row])
}

const makeConnection = (database: DatabaseSync): SqlConnection.Connection => {
  const cache = new Map<string, Prepared>()
  const prepare = (sql: string): Prepared => {
    const statement = database.prepare(sql)
    return { statement, returnsRows: statement.columns().length > 0 }
  }
  const prepared = (sql: string): Prepared => {
    const known = cache.get(sql)
    if (known !== undefined) return known
    const fresh = prepare(sql)
    const oldest = cache.size < maxPrepared ? undefined : cache.keys().next().value
    if (oldest !== undefined) cache.delete(oldest)
    cache.set(sql, fresh)
    return fresh
  }
  const attempt = <A>(operation: string, run: (bigints: boolean) => A): Effect.Effect<A, SqlError.SqlError> =>
    Effect.withFiber((fiber) =>
      Effect.try({
        try: () => run(Context.get(fiber.context, SqlClient.SafeIntegers)),
        catch: (cause) => toSqlError(operation, cause)
      })
    )
  const rows = (from: (sql: string) => Prepared, sql: string, params: ReadonlyArray<unknown>, transform: Transform) =>
    attempt("execute", (bigints): ReadonlyArray<Row> => {
      const { returnsRows, statement } = from(sql)
      if (!returnsRows) {
        statement.run(...params.map(parameter))
        return []
      }
      statement.setReadBigInts(bigints)
      statement.setReturnArrays(false)
      const found = statement.all(...params.map(parameter))
      return transform === undefined ? found : transform(found)
    })
  const values = (from: (sql: string) => Prepared, sql: string, params: ReadonlyArray<unknown>) =>
    attempt("execute", (bigints): ReadonlyArray<ReadonlyArray<unknown>> => {
      const { statement } = from(sql)
      statement.setReadBigInts(bigints)
      statement.setReturnArrays(true)
      return statement.all(...params.map(parameter)).map((row) => Object.values(row))
    })
  return {
    execute: (sql, params, transform) => rows(prepared, sql, params, transform),
    executeUnprepared: (sql, params, transform) => rows(prepare, sql, params, transform),
    executeValues: (sql, params) => values(prepared, sql, params),
    executeValuesUnprepared: (sql, params) => values(prepare, sql, params),
    executeRaw: (sql, params) =>
      attempt("execute", () => {
        const { returnsRows, statement } = prepared(sql)
        const args = params.map(parameter)
        return returnsRows ? statement.all(...args) : statement.run(...args)
      }),
    // A statement of its own: a prepared one may be run again while the stream is half read. Left half read, it would hold the journal.
    executeStream: (sql, params, transform) =>
      Stream.unwrap(
        Effect.acquireRelease(
          attempt("stream", (bigints) => {
            const { statement } = prepare(sql)
            statement.setReadBigInts(bigints)
            return statement.iterate(...params.map(parameter))
          }),
          (iterator) => Effect.sync(() => iterator.return?.())
        ).pipe(
          Effect.map((iterator) =>
            Stream.fromIteratorSucceed(transform === undefined ? iterator : mapRows(iterator, transform), 128)
          )
        )
      ).pipe(Stream.catchDefect((cause) => Stream.fail(toSqlError("stream", cause))))
  }
}

/** SQLite gives its journal the mode of the database. An existing file is never opened here: closing it again would drop the lock of this process. */
const createFile = (filename: string) => {
  if (existsSync(filename)) chmodSync(filename, 0o600)
  else closeSync(openSync(filename, "wx", 0o600))
}

const open = (options: SqliteOptions): DatabaseSync => {
  if (options.filename !== ":memory:") createFile(options.filename)
  const database = new DatabaseSync(options.filename, { timeout: 0, enableForeignKeyConstraints: true })
  try {
    // The order matters: the lock mode must be set before the journal is first used.
    database.exec(`
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = ${options.synchronous ?? "NORMAL"};
      BEGIN IMMEDIATE;
      COMMIT;
    `)
    return database
  } catch (cause) {
    database.close()
    throw cause
  }
}

/** Opens the database; closing the scope closes it. */
export const make = Effect.fnUntraced(function* (options: SqliteOptions) {
  const database = yield* Effect.acquireRelease(
    Effect.try({ try: () => open(options), catch: (cause) => openFailure(options.filename, cause) }),
    (opened) => Effect.sync(() => opened.close())
  )
  const shared = SqlClient.makeSqliteAcquirers({
    connection: Effect.succeed(makeConnection(database)),
    semaphore: yield* Semaphore.make(1),
    isTransaction: () => database.isTransaction
  })
  return yield* SqlClient.make({
    ...shared,
    isTransaction: () => database.isTransaction,
    compiler: Statement.makeCompilerSqlite(),
    driver: "node-sqlite",
    prepareTransactionControls: true,
    beginTransaction: "BEGIN IMMEDIATE",
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    spanAttributes: [["db.system.name", "sqlite"]]
  })
})

/** Unavailable where another daemon has the database, or where the file is damaged or cannot be opened. */
export const layer = (options: SqliteOptions) =>
  Layer.effect(SqlClient.SqlClient, make(options)).pipe(Layer.provide(Reactivity.layer))
