/** A task: the running side of a container, from `created` to `deleted`. */
import { Effect, Schema } from "effect"
import { ContainerId, Namespace, RuntimeName } from "./Ids.ts"
import { ExitSource, TaskStatus, truncated } from "./Process.ts"

/** A task as clients see it. `stdin`, `stdout`, `stderr` are paths, `null` where there is none. `oomCount`: kills for want of memory so far. */
export const Task = Schema.Struct({
  namespace: Namespace,
  id: ContainerId,
  containerId: ContainerId,
  runtime: RuntimeName,
  status: TaskStatus,
  pid: Schema.NullOr(Schema.Int),
  exitStatus: Schema.NullOr(Schema.Int),
  exitedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  oomKilled: Schema.Boolean,
  exitSource: Schema.NullOr(ExitSource),
  truncated,
  stdin: Schema.NullOr(Schema.String),
  stdout: Schema.NullOr(Schema.String),
  stderr: Schema.NullOr(Schema.String),
  terminal: Schema.Boolean,
  createdAt: Schema.DateTimeUtcFromString,
  startedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  restartCount: Schema.Int,
  oomCount: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0)))
})
export type Task = typeof Task.Type

/** Which stage of a stop ended the task: it had ended already, the stop signal, or SIGKILL after the timeout. */
export const StopStage = Schema.Literals(["already-stopped", "signal", "kill"])
export type StopStage = typeof StopStage.Type
