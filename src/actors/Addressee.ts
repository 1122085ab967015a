/** Whom a signal is for, as far as the state tells: a pid that is known to be that of init or of an exec is as good as its name. Pure. */
import type { ExecId } from "../schema/Ids.ts"
import type { SignalRequest } from "../schema/Requests.ts"
import type { ProcessState, TaskState } from "../schema/TaskState.ts"
import * as ProcessMachine from "./ProcessMachine.ts"
import * as TaskMachine from "./TaskMachine.ts"
import type { Tree } from "./TaskTree.ts"

/** What is wrong with a request that names its process in two ways; `null` where nothing is. */
export const ambiguity = ({ all, execId, pid }: SignalRequest): string | null =>
  pid === undefined
    ? null
    : execId != null
      ? "a process is named by its pid or by its exec, not by both"
      : all === true
        ? "one process, or all of them"
        : null

/** The pid of a process that has not ended; of one that has, the kernel may have given it to another. */
const livingPid = (state: TaskState | ProcessState): number | null =>
  "identity" in state && state.identity !== null && !("exit" in state && state.exit !== null)
    ? state.identity.pid
    : null

type Addressee =
  | { readonly execId: null; readonly input: TaskMachine.Command }
  | { readonly execId: ExecId; readonly input: ProcessMachine.Command }

export const addressee = (
  { execs, task }: Tree,
  { all, pid, signal }: SignalRequest,
  execId: ExecId | null
): Addressee => {
  const named =
    pid === undefined ? execId : (Array.from(execs.values()).find(({ state }) => livingPid(state) === pid)?.id ?? null)
  if (named !== null) return { execId: named, input: ProcessMachine.Command.Signal({ signal }) }
  const other = pid === undefined || livingPid(task.state) === pid ? {} : { pid }
  return { execId: null, input: TaskMachine.Command.Signal({ signal, all: all ?? false, ...other }) }
}
