/**
 * The folder of a task on volatile storage, on the side that runs it: bundle, FIFOs, and the records from which another process can take over. An exit is on
 * disk before anybody is told: the host saves the record first.
 */
import { Context } from "effect"
import type { Effect, Option } from "effect"
import type { AlreadyExists, InvalidArgument, NotFound, ResourceExhausted, Unavailable } from "../schema/Errors.ts"
import type { ContainerId, ExecId, Namespace, ProcessRef } from "../schema/Ids.ts"
import type { OciSpec } from "../schema/OciSpec.ts"
import type { HostedRecord } from "../schema/Host.ts"

export class TaskDirectory extends Context.Service<
  TaskDirectory,
  {
    /** The folder of a process, whether it exists or not: the bundle for init, a folder for its FIFOs for an exec. */
    readonly directory: (ref: ProcessRef) => string
    /** Makes the folder with `config.json` in it, and the root filesystem where the specification leaves that to the bundle, and returns its path, the bundle. */
    readonly create: (
      namespace: Namespace,
      id: ContainerId,
      spec: OciSpec
    ) => Effect.Effect<string, AlreadyExists | InvalidArgument | ResourceExhausted | Unavailable>
    /** Makes the folder of an exec and returns its path. NotFound (kind `task`) where the task has none. */
    readonly prepareExec: (
      namespace: Namespace,
      id: ContainerId,
      execId: ExecId
    ) => Effect.Effect<string, AlreadyExists | NotFound | ResourceExhausted | Unavailable>
    /** Replaces the record of a process, whole or not at all. Unavailable where its folder is gone: a record never brings one back. */
    readonly save: (record: HostedRecord) => Effect.Effect<void, ResourceExhausted | Unavailable>
    readonly load: (ref: ProcessRef) => Effect.Effect<Option.Option<HostedRecord>, Unavailable>
    /** Every record of every task, init before its execs; damaged ones are skipped and logged. Unavailable where one cannot be read now: it is not left out. */
    readonly list: Effect.Effect<ReadonlyArray<HostedRecord>, Unavailable>
    /** Processes that have a folder and no record at all: what a host was making when it died. Of an init first, then of its execs. */
    readonly unrecorded: Effect.Effect<ReadonlyArray<ProcessRef>, Unavailable>
    /**
     * Removes the folder of an exec, or of a task with everything in it; nothing to remove is a success. Unavailable while a folder within that is not one
     * of the above has something in it, such as a root filesystem that is mounted there.
     */
    readonly remove: (ref: ProcessRef) => Effect.Effect<void, Unavailable>
  }
>()("berth/services/TaskDirectory") {}
