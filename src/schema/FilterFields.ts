/**
 * The fields that filters can ask for. Names are those of the JSON shapes; containerd's spelling (`container_id`) finds the same. Whatever follows `labels`
 * is one key, dots and all. Numbers, booleans and times compare as the text that JSON shows.
 */
import { DateTime } from "effect"
import type { Container } from "./Container.ts"
import type { Event } from "./Events.ts"
import type { Task } from "./Task.ts"

/** The value of a field; `undefined` where it is absent. */
export type Fields = (path: ReadonlyArray<string>) => string | undefined

type Value = string | number | boolean | null | undefined | DateTime.Utc | Tree | ReadonlyArray<Value>
interface Tree {
  readonly [field: string]: Value
}

const isTree = (value: Value): value is Tree =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !DateTime.isDateTime(value)

const camelCase = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

const own = (tree: Tree, name: string): Value => (Object.hasOwn(tree, name) ? tree[name] : undefined)

const find = (value: Value, path: ReadonlyArray<string>): string | undefined => {
  if (DateTime.isDateTime(value)) return path.length === 0 ? DateTime.formatIso(value) : undefined
  if (!isTree(value))
    return path.length > 0 || value === null || typeof value === "object" ? undefined : value?.toString()
  const [name, ...rest] = path
  if (name === undefined) return undefined
  const inner = own(value, name) ?? own(value, camelCase(name))
  if (name === "labels") return isTree(inner) ? find(own(inner, rest.join(".")), []) : undefined
  // A runtime is known by its name.
  if (name === "runtime" && rest.length === 0) return find(inner, typeof inner === "string" ? [] : ["name"])
  return find(inner, rest)
}

/** `id`, `namespace`, `labels.KEY`, `runtime`, `snapshotKey`, `snapshotter`; and `status` where its task is given. */
export const containerFields =
  (container: Container, task: Task | null = null): Fields =>
  (path) =>
    find(
      {
        id: container.id,
        namespace: container.namespace,
        labels: container.labels,
        runtime: container.runtime,
        snapshotKey: container.snapshotKey,
        snapshotter: container.snapshotter,
        status: task?.status,
        createdAt: container.createdAt,
        updatedAt: container.updatedAt
      },
      path
    )

/** Every field of the task, and the labels of its container. */
export const taskFields =
  (task: Task, container: Container | null): Fields =>
  (path) =>
    find({ ...task, labels: container?.labels }, path)

/** `topic`, `namespace`, `event.FIELD`; and `id`, the container that the event is about. */
export const eventFields =
  (event: Event): Fields =>
  (path) =>
    find(
      {
        topic: event.topic,
        namespace: event.namespace,
        seq: event.seq,
        time: event.time,
        id: "containerId" in event.event ? event.event.containerId : event.event.id,
        event: event.event
      },
      path
    )
