/** Contract of `services/Tasks.ts`. */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { BerthError } from "../schema/Errors.ts"
import { Exit, OutputChunk, Process } from "../schema/Process.ts"
import {
  ById,
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
import { ProcessInfo, Stats, StatsList } from "../schema/Stats.ts"
import { RunEvent, RunRequest } from "../schema/Run.ts"
import { Task } from "../schema/Task.ts"

const error = BerthError

export class TasksRpc extends RpcGroup.make(
  Rpc.make("Create", { payload: CreateTask, success: Task, error }),
  Rpc.make("Run", { payload: RunRequest, success: RunEvent, error, stream: true }),
  Rpc.make("Start", { payload: ById, success: Task, error }),
  Rpc.make("Get", { payload: ById, success: Task, error }),
  Rpc.make("List", { payload: ListRequest, success: Schema.Array(Task), error }),
  Rpc.make("Signal", { payload: SignalRequest, success: Schema.Null, error }),
  Rpc.make("Stop", { payload: StopRequest, success: StopResult, error }),
  Rpc.make("Pause", { payload: ById, success: Task, error }),
  Rpc.make("Resume", { payload: ById, success: Task, error }),
  Rpc.make("Update", { payload: UpdateTask, success: UpdateResult, error }),
  Rpc.make("Wait", { payload: WaitRequest, success: Exit, error }),
  Rpc.make("Delete", { payload: DeleteTask, success: Schema.NullOr(Exit), error }),
  Rpc.make("Clean", { payload: ById, success: Schema.NullOr(Exit), error }),
  Rpc.make("Pids", { payload: ById, success: Schema.Array(Schema.Int), error }),
  Rpc.make("ProcessTable", { payload: ById, success: Schema.Array(ProcessInfo), error }),
  Rpc.make("Stats", { payload: ById, success: Stats, error }),
  Rpc.make("ListStats", { payload: StatsRequest, success: StatsList, error }),
  Rpc.make("Exec", { payload: ExecTask, success: Process, error }),
  Rpc.make("StartExec", { payload: ByProcess, success: Process, error }),
  Rpc.make("DeleteExec", { payload: DeleteExec, success: Schema.NullOr(Exit), error }),
  Rpc.make("Processes", { payload: ById, success: Schema.Array(Process), error }),
  Rpc.make("Output", { payload: OutputRequest, success: OutputChunk, error, stream: true }),
  Rpc.make("WriteStdin", { payload: StdinRequest, success: Schema.Null, error }),
  Rpc.make("CloseStdin", { payload: ByProcess, success: Schema.Null, error }),
  Rpc.make("Resize", { payload: ResizeRequest, success: Schema.Null, error })
).prefix("Tasks.") {}
