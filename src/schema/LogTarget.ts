/** Where the output of a process goes. What can be said of a target without looking at the machine is refused here, when a request is decoded. */
import { Schema } from "effect"

/** An absolute path of the server without `..` in it. */
const AbsolutePath = Schema.String.check(
  Schema.makeFilter((path) =>
    path.startsWith("/") && path.length <= 4096 && !path.includes("\0") && !path.split("/").includes("..")
      ? undefined
      : "expected an absolute path without .."
  )
)

/** An absolute path, which may go up on its way. */
const RootedPath = Schema.String.check(
  Schema.makeFilter((path) => (path.startsWith("/") && !path.includes("\0") ? undefined : "expected an absolute path"))
)

/** How many files of a rotated log there are where nothing else is said. */
export const defaultMaxFiles = 3

/**
 * `json`: structured log that `logs` and `attach` read; without `maxSize` (bytes of one file) it grows without limit, with it there are at most `maxFiles`
 * files and the oldest output goes first. `file`: appended to `path` as it is. `fifo`: the FIFOs `stdout`, `stderr` and, with input, `stdin` in
 * `directory`, which the process has as its own streams. `binary`: a program of the server's that is given the output as its descriptors 3 and 4.
 * `none`: discarded.
 */
export const LogTarget = Schema.Union([
  Schema.Struct({
    _tag: Schema.tag("json"),
    maxSize: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 4096, maximum: 2 ** 50 }))),
    maxFiles: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 })))
  }),
  Schema.Struct({ _tag: Schema.tag("file"), path: RootedPath }),
  Schema.Struct({ _tag: Schema.tag("fifo"), directory: AbsolutePath }),
  Schema.Struct({
    _tag: Schema.tag("binary"),
    path: AbsolutePath,
    args: Schema.optionalKey(
      Schema.Array(Schema.String.check(Schema.isMaxLength(4096), Schema.isPattern(/^[^\0]*$/))).check(
        Schema.isMaxLength(64)
      )
    )
  }),
  Schema.Struct({ _tag: Schema.tag("none") })
])
export type LogTarget = typeof LogTarget.Type

/** How far a structured log grows; `null` for no limit. */
export interface LogLimits {
  /** Bytes of one file. */
  readonly maxSize: number
  /** With the one that is written. */
  readonly maxFiles: number
}

/** The limits that a target asks for. */
export const limitsOf = (log: LogTarget): LogLimits | null =>
  log._tag === "json" && log.maxSize !== undefined
    ? { maxSize: log.maxSize, maxFiles: log.maxFiles ?? defaultMaxFiles }
    : null
