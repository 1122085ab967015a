/**
 * The runtimes of the configuration, on their way from the daemon to its shim: a file in the state folder, written before the shim starts. A shim that lives
 * already keeps the table it started with.
 */
import { Effect, FileSystem, Path, Schema } from "effect"
import { RuntimeName } from "../schema/Ids.ts"

/** `binary`: an absolute path, or a name to look for; `args` go before every command. */
export const RuntimeTable = Schema.Record(
  RuntimeName,
  Schema.Struct({ binary: Schema.NonEmptyString, args: Schema.optionalKey(Schema.Array(Schema.String)) })
)
export type RuntimeTable = typeof RuntimeTable.Type

const codec = Schema.fromJsonString(RuntimeTable)

const fileOf = Effect.fnUntraced(function* (state: string) {
  return (yield* Path.Path).join(state, "runtimes.json")
})

export const save = Effect.fn("RuntimeTable.save")(function* (state: string, table: RuntimeTable) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fileOf(state)
  yield* fs.writeFileString(`${file}.new`, yield* Effect.orDie(Schema.encodeEffect(codec)(table)), { mode: 0o600 })
  yield* fs.rename(`${file}.new`, file)
})

/** An absent or unreadable table is an empty one: the built-in runtimes need none. */
export const load = Effect.fn("RuntimeTable.load")(function* (state: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.readFileString(yield* fileOf(state)).pipe(
    Effect.flatMap(Schema.decodeEffect(codec)),
    Effect.orElseSucceed((): RuntimeTable => ({}))
  )
})
