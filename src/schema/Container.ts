/** A container: pure metadata. What runs is a task (`Task.ts`). */
import { Schema } from "effect"
import { ContainerId, Namespace, RuntimeName } from "./Ids.ts"
import { OciSpec, VettedSpec } from "./OciSpec.ts"

/** Most bytes that the key and the value of one label may have together. */
export const maxLabelBytes = 4096

const bytes = (text: string) => new TextEncoder().encode(text).length

/** Free key–value pairs of the user. */
export const Labels = Schema.Record(Schema.String, Schema.String).check(
  Schema.makeFilter((labels) =>
    Object.entries(labels).every(([key, value]) => key.length > 0 && bytes(key) + bytes(value) <= maxLabelBytes)
      ? undefined
      : `a label needs a key, and key and value together have at most ${maxLabelBytes} bytes`
  )
)
export type Labels = typeof Labels.Type

/** Which driver runs the container, with options that only that driver reads. */
export const Runtime = Schema.Struct({ name: RuntimeName, options: Schema.Record(Schema.String, Schema.Json) })
export type Runtime = typeof Runtime.Type

/** Values that clients keep with a container; berth stores them untouched. */
export const Extensions = Schema.Record(Schema.NonEmptyString, Schema.Json)

/** A container as stored and as shown. Times are UTC. */
export const Container = Schema.Struct({
  namespace: Namespace,
  id: ContainerId,
  labels: Labels,
  runtime: Runtime,
  spec: VettedSpec,
  snapshotKey: Schema.NullOr(Schema.String),
  snapshotter: Schema.NullOr(Schema.String),
  createdAt: Schema.DateTimeUtcFromString,
  updatedAt: Schema.DateTimeUtcFromString,
  extensions: Extensions
})
export type Container = typeof Container.Type

/** What a client gives to create a container; the daemon adds times and namespace, and turns runtime `auto` into a driver. */
export const NewContainer = Schema.Struct({
  id: ContainerId,
  labels: Schema.optionalKey(Labels),
  runtime: Schema.optionalKey(
    Schema.Struct({ name: RuntimeName, options: Schema.optionalKey(Runtime.fields.options) })
  ),
  spec: OciSpec,
  snapshotKey: Schema.optionalKey(Schema.NullOr(Schema.String)),
  snapshotter: Schema.optionalKey(Schema.NullOr(Schema.String)),
  extensions: Schema.optionalKey(Extensions)
})
export type NewContainer = typeof NewContainer.Type

/** A field that is absent stays as it is. In `labels`, `null` removes a key; keys not named stay. */
export const ContainerPatch = Schema.Struct({
  labels: Schema.optionalKey(Schema.Record(Schema.NonEmptyString, Schema.NullOr(Schema.String))),
  spec: Schema.optionalKey(OciSpec),
  extensions: Schema.optionalKey(Schema.Record(Schema.NonEmptyString, Schema.Json))
})
export type ContainerPatch = typeof ContainerPatch.Type
