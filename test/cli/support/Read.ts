/** Reads what a command printed. */
import { Schema } from "effect"

const last = (text: string) => text.trim().split("\n").at(-1) ?? ""
const decodeObject = Schema.decodeSync(Schema.fromJsonString(Schema.JsonObject))

/** The object on the last line of a text. */
export const objectIn = (text: string) => decodeObject(last(text))

/** The objects of a text, one a line. */
export const objectsIn = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => decodeObject(line))

/** The array on the last line of a text. */
export const arrayIn = (text: string) =>
  Schema.decodeSync(Schema.fromJsonString(Schema.Array(Schema.JsonObject)))(last(text))

/** The value on the last line of a text. */
export const valueIn = (text: string) => Schema.decodeSync(Schema.fromJsonString(Schema.Json))(last(text))

/** The error on the last line of a text. */
export const errorIn = (text: string) =>
  Schema.decodeSync(Schema.fromJsonString(Schema.Struct({ error: Schema.JsonObject })))(last(text)).error
