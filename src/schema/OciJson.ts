/**
 * JSON text for OCI runtimes. They read integers into 64-bit fields and refuse what overflows them, while
 * `JSON.stringify` writes the double nearest to 2^64 - 1 as 18446744073709552000. This writer prints integers digit by
 * digit and brings the two limits, 2^64 and 2^63, back to the largest value that fits. Use it wherever a specification
 * or resources go to a runtime; it does no validation.
 */
import type { Schema } from "effect"

const number = (n: number): string => {
  if (n === 2 ** 64) return "18446744073709551615"
  if (n === 2 ** 63) return "9223372036854775807"
  return Number.isInteger(n) && !Number.isSafeInteger(n) ? BigInt(n).toString() : JSON.stringify(n)
}

/** Any number that `JSON.stringify` might write otherwise has 16 digits or an exponent. Text that looks like one only costs time. */
const suspicious = /\d{16}|\de\+/

/** The JSON text of a value, with exact integers; members that are `undefined` are left out. */
export const stringify = (value: Schema.Json): string => {
  const text = JSON.stringify(value)
  return suspicious.test(text) ? exactly(value) : text
}

const exactly = (value: Schema.Json): string => {
  if (typeof value === "number") return number(value)
  if (value === null || typeof value !== "object") return JSON.stringify(value)
  if (isArray(value)) return `[${value.map((item) => exactly(item)).join(",")}]`
  return `{${Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .map(([key, item]) => `${JSON.stringify(key)}:${exactly(item)}`)
    .join(",")}}`
}

const isArray = (value: Schema.JsonArray | Schema.JsonObject): value is Schema.JsonArray => Array.isArray(value)
