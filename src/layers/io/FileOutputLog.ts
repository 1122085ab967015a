/**
 * The structured logs as files below the root, on the side that reads them: `logs/<namespace>/<container>/init.log`, and `exec-<id>.log` beside it. The
 * writer may be another process. Reading is the business of `LogReader.ts`.
 */
import { Effect, Layer, Stream } from "effect"
import { closeSync, constants, mkdirSync, openSync, rmdirSync } from "node:fs"
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { processKey } from "../../schema/Ids.ts"
import type { ContainerId, Namespace, ProcessRef } from "../../schema/Ids.ts"
import { OutputLog } from "../../services/OutputLog.ts"
import { codeOf } from "../posix/Libc.ts"
import { unavailable } from "./DiskFailure.ts"
import * as LogFiles from "./LogFiles.ts"
import * as LogReader from "./LogReader.ts"

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants

/** OutputLog on files; `root` is the durable folder of the daemon. */
export const layer = (options: { readonly root: string }): Layer.Layer<OutputLog> =>
  Layer.sync(OutputLog, () => {
    const folder = (namespace: Namespace, id: ContainerId) => join(options.root, "logs", namespace, id)
    const file = ({ containerId, execId, namespace }: ProcessRef) =>
      join(folder(namespace, containerId), execId === null ? "init.log" : `exec-${execId}.log`)

    const prepare = Effect.fn("OutputLog.prepare")((ref: ProcessRef) =>
      Effect.try({
        try: () => {
          mkdirSync(folder(ref.namespace, ref.containerId), { recursive: true, mode: 0o700 })
          // A reader that comes before the writer finds a file to watch.
          closeSync(openSync(file(ref), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o640))
          return file(ref)
        },
        catch: (error) => unavailable("log", "make the log", error)
      })
    )
    const remove = Effect.fn("OutputLog.remove")(function* (ref: ProcessRef) {
      const all = () => rm(folder(ref.namespace, ref.containerId), { recursive: true, force: true })
      const one = async () => LogFiles.remove(file(ref))
      yield* Effect.tryPromise(ref.execId === null ? all : one).pipe(
        Effect.catch(({ cause }) =>
          Effect.logWarning(`cannot remove the log of "${processKey(ref)}": ${codeOf(cause)}`)
        )
      )
      if (ref.execId !== null) return
      // Only the last container's logs leave an empty folder; for any other this fails.
      yield* Effect.ignore(Effect.try(() => rmdirSync(join(options.root, "logs", ref.namespace))))
    })
    return OutputLog.of({
      prepare,
      read: (ref, options) => Stream.scoped(Stream.fromPull(LogReader.make(file(ref), options))),
      remove
    })
  })
