/** The annotations that an update sets and takes away. */
import { Effect, Schema } from "effect"
import { keyValues } from "../KeyValues.ts"
import { misuse } from "../output/Usage.ts"

const texts = Schema.Record(Schema.String, Schema.String)

/** `null` for those to be removed. */
export const annotationChanges = Effect.fnUntraced(function* (
  command: string,
  flags: { readonly annotation: ReadonlyArray<string>; readonly removeAnnotation: ReadonlyArray<string> }
) {
  const set = yield* keyValues(command, "--annotation", flags.annotation, texts)
  const both = flags.removeAnnotation.find((key) => set[key] !== undefined)
  if (both !== undefined) return yield* misuse(command, "--remove-annotation", `"${both}" is set by --annotation`)
  if (flags.removeAnnotation.includes("")) return yield* misuse(command, "--remove-annotation", "expected a name")
  const changes: { readonly [key: string]: string | null } = {
    ...set,
    ...Object.fromEntries(flags.removeAnnotation.map((key) => [key, null]))
  }
  return changes
})
