/**
 * Effect's SQL client over `node:sqlite`: one connection in this process, one transaction at a time, statements prepared once. It takes the database for
 * itself, so that two daemons never share a root, and makes its files readable by their owner only. It knows nothing of tables.
 *
 * Beside the client stands `Transactions`, for the one transaction that every state change of every container waits for: it runs in one go, at a third of
 * what the client's general one costs.
 */
import { Context, Effect, Layer, Result, Semaphore, Stream } from "effect"
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

/** Statements inside a transaction; they throw what SQLite throws. */
export interface Statements {
  /** What it changed: how many rows, and the id of the last one inserted. */
  readonly run: (text: string, values: ReadonlyArray<SQLInputValue>) => { readonly rows: number; readonly id: number }
  readonly first: (text: string, values: ReadonlyArray<SQLInputValue>) => Row | undefined
}

export class Transactions extends Context.Service<
  Transactions,
  {
    /** Commits what succeeds and rolls back what fails or throws; a constraint that is violated throws too. */
    readonly transact: <A, E>(
      run: (statements: Statements) => Result.Result<A, E>
    ) => Effect.Effect<A, E | SqlError.SqlError>
  }
>()("berth/layers/store/SqliteClient/Transactions") {}

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

const prepareOn =
  (database: DatabaseSync) =>
  (sql: string): Prepared => {
    const statement = database.prepare(sql)
    return { statement, returnsRows: statement.columns().length > 0 }
  }

const makeCache = (prepare: (sql: string) => Prepared) => {
  const cache = new Map<string, Prepared>()
  return (sql: string): Prepared => {
    const known = cache.get(sql)
    if (known !== undefined) return known
    const fresh = prepare(sql)
    const oldest = cache.size < maxPrepared ? undefined : cache.keys().next().value
    if (oldest !== undefined) cache.delete(oldest)
    cache.set(sql, fresh)
    return fresh
  }
}

const makeConnection = (prepare: (sql: string) => Prepared): SqlConnection.Connection => {
  const prepared = makeCache(prepare)
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

/** `oneAtATime` is what the client's transactions take turns by. */
const makeTransactions = (database: DatabaseSync, oneAtATime: Semaphore.Semaphore): Transactions["Service"] => {
  const prepared = makeCache(prepareOn(database))
  const [begin, commit, rollback] = [prepared("BEGIN IMMEDIATE"), prepared("COMMIT"), prepared("ROLLBACK")]
  const statements: Statements = {
    run: (text, values) => {
      const { changes, lastInsertRowid } = prepared(text).statement.run(...values)
      return { rows: Number(changes), id: Number(lastInsertRowid) }
    },
    first: (text, values) => prepared(text).statement.get(...values)
  }
  const attempt = <A, E>(run: (statements: Statements) => Result.Result<A, E>): Result.Result<A, E> => {
    try {
      begin.statement.run()
      const result = run(statements)
      if (Result.isSuccess(result)) commit.statement.run()
      return result
    } finally {
      // A failure that SQLite cannot recover from has ended the transaction already.
      if (database.isTransaction) rollback.statement.run()
    }
  }
  return {
    transact: (run) =>
      Effect.try({ try: () => attempt(run), catch: (cause) => toSqlError("transaction", cause) }).pipe(
        Effect.flatMap(Effect.fromResult),
        oneAtATime.withPermit
      )
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
  const oneAtATime = yield* Semaphore.make(1)
  const shared = SqlClient.makeSqliteAcquirers({
    connection: Effect.succeed(makeConnection(prepareOn(database))),
    semaphore: oneAtATime,
    isTransaction: () => database.isTransaction
  })
  const client = yield* SqlClient.make({
    ...shared,
    isTransaction: () => database.isTransaction,
    compiler: Statement.makeCompilerSqlite(),
    driver: "node-sqlite",
    prepareTransactionControls: true,
    beginTransaction: "BEGIN IMMEDIATE",
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    spanAttributes: [["db.system.name", "sqlite"]]
  })
  return { client, transactions: makeTransactions(database, oneAtATime) }
})

/** Unavailable where another daemon has the database, or where the file is damaged or cannot be opened. */
export const layer = (options: SqliteOptions) =>
  Layer.effectContext(
    Effect.map(make(options), ({ client, transactions }) =>
      Context.make(SqlClient.SqlClient, client).pipe(Context.add(Transactions, transactions))
    )
  ).pipe(Layer.provide(Reactivity.layer))
