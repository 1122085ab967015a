/** What is wrong with the rows of a database, for the doctor: it is opened to be read only, whoever else has it open. */
import { Effect, Result } from "effect"
import { existsSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import type { Unavailable } from "../../schema/Errors.ts"
import * as Rows from "./StoreRows.ts"

interface Table {
  readonly text: string
  readonly read: (row: unknown, name: string) => Effect.Effect<unknown, Unavailable>
}

const tables: ReadonlyArray<Table> = [
  { text: "SELECT namespace || '/' || id AS name, record FROM containers", read: Rows.readContainer },
  { text: "SELECT namespace || '/' || id AS name, record FROM tasks", read: Rows.readTask },
  {
    text: "SELECT namespace || '/' || container_id || '/' || id AS name, record FROM processes",
    read: Rows.readProcess
  }
]

const open = (filename: string) =>
  Effect.acquireRelease(
    Effect.try({ try: () => new DatabaseSync(filename, { readOnly: true }), catch: String }),
    (database) => Effect.sync(() => database.close())
  )

/** Which containers and tasks there are, by their keys, also where a row cannot be read otherwise. */
export const keys = Effect.fn("Inspection.keys")(function* (filename: string) {
  const keysOf = (database: DatabaseSync, table: "containers" | "tasks") =>
    new Set(
      database
        .prepare(`SELECT namespace || '/' || id AS key FROM ${table}`)
        .all()
        .map(({ key }) => String(key))
    )
  if (!existsSync(filename)) return { containers: new Set<string>(), tasks: new Set<string>() }
  const database = yield* open(filename)
  return yield* Effect.try({
    try: () => ({ containers: keysOf(database, "containers"), tasks: keysOf(database, "tasks") }),
    catch: String
  })
}, Effect.scoped)

/** A daemon has its database for itself: what it cannot read there is in its log. */
const inUse = "database is locked"

/** One line for each row that cannot be read, or why none can; none where there is no database, or a daemon has it. */
export const damages = Effect.fn("Inspection.damages")(
  function* (filename: string) {
    if (!existsSync(filename)) return []
    const database = yield* open(filename)
    const found: Array<string> = []
    for (const { read, text } of tables) {
      const rows = yield* Effect.try({ try: () => database.prepare(text).all(), catch: String })
      for (const { name, record } of rows) {
        const result = yield* Effect.result(read(record, String(name)))
        if (Result.isFailure(result)) found.push(result.failure.problem.replaceAll(/\s+/g, " "))
      }
    }
    return found
  },
  Effect.scoped,
  Effect.catch((problem) => Effect.succeed(problem.includes(inUse) ? [] : [problem])),
  Effect.map((lines): ReadonlyArray<string> => lines)
)
