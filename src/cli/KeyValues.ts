/** `K=V` words as a record, checked by a schema; what is wrong is a misuse of the command. */
import { Effect, Schema } from "effect"
import { misuse } from "./output/Usage.ts"

type Record = { readonly [key: string]: string }

/** The last value of a key wins. */
export const keyValues = (command: string, field: string, words: ReadonlyArray<string>, schema: Schema.Codec<Record>) =>
  Effect.gen(function* () {
    const wrong = words.find((word) => word.indexOf("=") < 1)
    if (wrong !== undefined) return yield* misuse(command, field, `expected KEY=VALUE, got "${wrong}"`)
    const record = Object.fromEntries(
      words.map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)])
    )
    return yield* Schema.decodeEffect(schema)(record).pipe(
      Effect.mapError((error) => misuse(command, field, error.message))
    )
  })
