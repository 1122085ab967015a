/** What SQLite's result codes mean to berth. Codes are read here and nowhere else. */
import { SqlError } from "effect/sql"
import { statfsSync } from "node:fs"
import { dirname } from "node:path"
import { ResourceExhausted, Unavailable } from "../../schema/Errors.ts"
import type { StoreFailure } from "../../services/MetadataStore.ts"

const busy = 5
const corrupt = 11
const full = 13
const notDatabase = 26
const uniqueViolation = 2067
const primaryKeyViolation = 1555

const message = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))

/** The result code; `null` for what is not SQLite's. */
const resultCode = (cause: unknown): number | null =>
  cause instanceof Error && "errcode" in cause && typeof cause.errcode === "number" ? cause.errcode : null

/** Effect sorts SQLite errors by `errno`, and knows a taken primary key only as a unique violation. */
export const toSqlError = (operation: string, cause: unknown): SqlError.SqlError => {
  const code = resultCode(cause)
  const sorted =
    code === null
      ? cause
      : Object.assign(new Error(message(cause), { cause }), {
          errcode: code,
          errno: code === primaryKeyViolation ? uniqueViolation : code
        })
  return new SqlError.SqlError({
    reason: SqlError.classifySqliteError(sorted, { operation, message: message(cause) })
  })
}

const isFull = (cause: unknown) => {
  const code = resultCode(cause)
  return code === null ? cause instanceof Error && "code" in cause && cause.code === "ENOSPC" : (code & 0xff) === full
}

/** Bytes of the file system that holds `filename`; 0 where it cannot tell. */
export const diskSize = (filename: string): number => {
  try {
    const { blocks, bsize } = statfsSync(dirname(filename))
    return blocks * bsize
  } catch {
    return 0
  }
}

const describe = (cause: unknown, limit: () => number, otherwise: string): StoreFailure => {
  if (isFull(cause)) return new ResourceExhausted({ resource: "disk", limit: limit() })
  const unavailable = (problem: string, mend: string | null) => new Unavailable({ what: "store", problem, mend })
  switch ((resultCode(cause) ?? 0) & 0xff) {
    case busy:
      return unavailable("root is in use by another berth daemon", "stop that daemon, or choose another --root")
    case corrupt:
    case notDatabase:
      return unavailable(
        `${otherwise}: it is damaged, or not a database of berth's (${message(cause)})`,
        "restore it from a backup, or move it away to start with an empty one"
      )
    default:
      return unavailable(`${otherwise}: ${message(cause)}`, null)
  }
}

/** Why the database could not be opened. */
export const openFailure = (filename: string, cause: unknown): StoreFailure =>
  describe(cause, () => diskSize(filename), `cannot open ${filename}`)

/** Why a statement failed, to those who only want to know whether the store works. `limit` is the size that a full disk is reported with. */
export const storeFailure =
  (limit: () => number) =>
  (error: SqlError.SqlError): StoreFailure =>
    describe(error.reason.cause, limit, "the database does not work")
