/**
 * Tasks for users: what runs, and how to steer it, in the caller's namespace. Reads answer at once whatever a task is busy with. Every call may fail with
 * any `BerthError` that its place can have: a remote one with Unavailable, for example.
 */
import { Context } from "effect"
import type { Effect, Stream } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import type { ContainerId } from "../schema/Ids.ts"
import type { Exit, OutputChunk, Process } from "../schema/Process.ts"
import type {
  ByProcess,
  CreateTask,
  DeleteExec,
  DeleteTask,
  ExecTask,
  ListRequest,
  OutputRequest,
  ResizeRequest,
  SignalRequest,
  StatsRequest,
  StdinRequest,
  StopRequest,
  StopResult,
  UpdateResult,
  UpdateTask,
  WaitRequest
} from "../schema/Requests.ts"
import type { ProcessInfo, Stats } from "../schema/Stats.ts"
import type { RunEvent, RunRequest } from "../schema/Run.ts"
import type { Task } from "../schema/Task.ts"
import type { Run } from "./Run.ts"

export class Tasks extends Context.Service<
  Tasks,
  {
    /** Makes the container's processes up to `created`: init exists and waits. */
    readonly create: (request: CreateTask) => Effect.Effect<Task, BerthError>
    /**
     * A container from its creation to its removal: gives its exit when nothing is left of it. Whatever fails, and where the call is interrupted, container and
     * task are removed; a daemon does so behind the caller's back.
     */
    readonly run: Run
    /** The same as events, for whoever is not in this process; input goes by `writeStdin`. The container lives no longer than the stream, unless it is `detachable`. */
    readonly runStream: (request: RunRequest) => Stream.Stream<RunEvent, BerthError>
    readonly start: (id: ContainerId) => Effect.Effect<Task, BerthError>
    readonly get: (id: ContainerId) => Effect.Effect<Task, BerthError>
    /** By id. */
    readonly list: (request: ListRequest) => Effect.Effect<ReadonlyArray<Task>, BerthError>
    /** Returns when the signal is sent. NotFound where the process has ended, or the pid is none of the container's. */
    readonly signal: (request: SignalRequest) => Effect.Effect<void, BerthError>
    /** Signal, time, SIGKILL; returns when the task has stopped, with the stage that did it. */
    readonly stop: (request: StopRequest) => Effect.Effect<StopResult, BerthError>
    readonly pause: (id: ContainerId) => Effect.Effect<Task, BerthError>
    readonly resume: (id: ContainerId) => Effect.Effect<Task, BerthError>
    /**
     * Changes limits and annotations of a created, running or paused task, all that are named or none, and stores them with the container. Answers the limits
     * that the kernel holds then.
     */
    readonly update: (request: UpdateTask) => Effect.Effect<UpdateResult, BerthError>
    /** The exit of the process, as often as asked, before and after it; WaitTimeout. */
    readonly wait: (request: WaitRequest) => Effect.Effect<Exit, BerthError>
    /** Removes the task and returns its exit, `null` where it never ran. The container stays. */
    readonly delete: (request: DeleteTask) => Effect.Effect<Exit | null, BerthError>
    /** Leaves no task of that id, killing what runs, and returns its exit; `null` where it never ran or was not there. The container stays. */
    readonly clean: (id: ContainerId) => Effect.Effect<Exit | null, BerthError>
    /** Every pid in the container, as the host sees them. */
    readonly pids: (id: ContainerId) => Effect.Effect<ReadonlyArray<number>, BerthError>
    /** The same with what is known of each: command, user, start, what it uses. FailedPrecondition where the task has stopped. */
    readonly processTable: (id: ContainerId) => Effect.Effect<ReadonlyArray<ProcessInfo>, BerthError>
    /** What the container uses now. FailedPrecondition where the task has stopped. */
    readonly stats: (id: ContainerId) => Effect.Effect<Stats, BerthError>
    /** One sample of each, by id; those that have stopped, or are not there, are left out. */
    readonly listStats: (request: StatsRequest) => Effect.Effect<ReadonlyArray<Stats>, BerthError>
    /** Registers a process beside init; `startExec` runs it. */
    readonly exec: (request: ExecTask) => Effect.Effect<Process, BerthError>
    readonly startExec: (request: ByProcess) => Effect.Effect<Process, BerthError>
    readonly deleteExec: (request: DeleteExec) => Effect.Effect<Exit | null, BerthError>
    readonly processes: (id: ContainerId) => Effect.Effect<ReadonlyArray<Process>, BerthError>
    /** The process's output from its beginning, or with `live` from now on; the log is opened when the stream begins to run. */
    readonly output: (request: OutputRequest) => Stream.Stream<OutputChunk, BerthError>
    /** Waits while the process does not read. */
    readonly writeStdin: (request: StdinRequest) => Effect.Effect<void, BerthError>
    readonly closeStdin: (request: ByProcess) => Effect.Effect<void, BerthError>
    /** Sizes the terminal of a process, also before it is started. Nothing happens where it has none or has ended. */
    readonly resize: (request: ResizeRequest) => Effect.Effect<void, BerthError>
  }
>()("berth/services/Tasks") {}
