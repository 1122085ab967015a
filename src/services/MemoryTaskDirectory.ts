/** Task folders in memory, for tests and simulation. They hold records only: nothing can be opened by the paths that it returns. */
import { Effect, Layer, Option } from "effect"
import { AlreadyExists, NotFound, Unavailable } from "../schema/Errors.ts"
import type { HostedRecord } from "../schema/Host.ts"
import { containerKey, processKey } from "../schema/Ids.ts"
import type { ProcessRef } from "../schema/Ids.ts"
import { TaskDirectory } from "./TaskDirectory.ts"

const make = (): TaskDirectory["Service"] => {
  /** By process; a folder that has no record yet holds `null`. */
  const folders = new Map<string, HostedRecord | null>()
  const refs = new Map<string, ProcessRef>()
  const directory = (ref: ProcessRef) =>
    `/memory/tasks/${containerKey(ref)}${ref.execId === null ? "" : `/exec/${ref.execId}`}`
  const byKey = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) => (a < b ? -1 : 1)

  return {
    directory,
    create: (namespace, containerId) =>
      Effect.suspend(() => {
        const ref = { namespace, containerId, execId: null }
        if (folders.has(processKey(ref))) return Effect.fail(new AlreadyExists({ kind: "task", id: containerId }))
        folders.set(processKey(ref), null)
        refs.set(processKey(ref), ref)
        return Effect.succeed(directory(ref))
      }),
    prepareExec: (namespace, containerId, execId) =>
      Effect.suspend((): Effect.Effect<string, AlreadyExists | NotFound> => {
        const ref = { namespace, containerId, execId }
        if (!folders.has(containerKey(ref))) return Effect.fail(new NotFound({ kind: "task", id: containerId }))
        if (folders.has(processKey(ref))) return Effect.fail(new AlreadyExists({ kind: "exec", id: execId }))
        folders.set(processKey(ref), null)
        refs.set(processKey(ref), ref)
        return Effect.succeed(directory(ref))
      }),
    save: (record) =>
      Effect.suspend(() => {
        const key = processKey(record.ref)
        if (!folders.has(key)) {
          return Effect.fail(
            new Unavailable({ what: "task folder", problem: "cannot save a record: ENOENT", mend: null })
          )
        }
        folders.set(key, record)
        return Effect.void
      }),
    load: (ref) => Effect.sync(() => Option.fromNullishOr(folders.get(processKey(ref)))),
    list: Effect.sync(() => [...folders].sort(byKey).flatMap(([, record]) => (record === null ? [] : [record]))),
    unfinished: Effect.sync(() =>
      [...folders].sort(byKey).flatMap(([key, record]) => {
        const ref = refs.get(key)
        return record === null && ref !== undefined ? [ref] : []
      })
    ),
    remove: (ref) =>
      Effect.sync(() => {
        const key = processKey(ref)
        for (const name of folders.keys()) if (name === key || name.startsWith(`${key}/`)) folders.delete(name)
      })
  }
}

/** A TaskDirectory of its own for each time it is built. */
export const layer: Layer.Layer<TaskDirectory> = Layer.sync(TaskDirectory, make)
