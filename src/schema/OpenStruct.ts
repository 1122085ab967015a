/**
 * Structs that keep what they do not know. A container specification may be written by a newer tool than berth, so a
 * key that berth does not type must come out of decoding and encoding exactly as it went in. The extra keys exist at
 * run time only: the static type shows the declared fields alone, so that a misspelt field is still a type error.
 */
import { Schema } from "effect"

const extra = Schema.Record(Schema.String, Schema.Json)

/** A struct schema whose undeclared keys pass through untouched, as JSON. */
export const OpenStruct = <const Fields extends Schema.Struct.Fields>(
  fields: Fields
): Schema.Codec<
  Schema.Struct.Type<Fields>,
  Schema.Struct.Encoded<Fields>,
  Schema.Struct.DecodingServices<Fields>,
  Schema.Struct.EncodingServices<Fields>
> => Schema.make(Schema.StructWithRest(Schema.Struct(fields), [extra]).ast)

/**
 * An integer of up to 64 bits as JSON carries it. Unlike `Schema.Int` it admits values beyond 2^53, where a double
 * holds only the nearest one: "unlimited" is 2^64 - 1 in many specifications and must not be refused.
 */
export const Int64 = Schema.Finite.check(
  Schema.makeFilter((n: number) => Number.isInteger(n) && Math.abs(n) <= 2 ** 64, {
    expected: "an integer of at most 64 bits",
    arbitraryConstraint: { number: "integer" }
  })
)
