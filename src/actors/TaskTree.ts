/**
 * A task with its exec processes: the two machines put together, still pure. It adds what neither can know alone: the exit of init is the last one of its
 * container, execs need a running init, and what of all this goes to the store.
 */
import type { NewEvent, Payload } from "../schema/Events.ts"
import type { ExecId } from "../schema/Ids.ts"
import type { Exit } from "../schema/Process.ts"
import type { UpdateResult } from "../schema/Requests.ts"
import type { ProcessRecord, ProcessState, TaskRecord } from "../schema/TaskState.ts"
import { Change } from "../services/MetadataStore.ts"
import * as ProcessMachine from "./ProcessMachine.ts"
import * as TaskMachine from "./TaskMachine.ts"

export interface Tree {
  readonly task: TaskRecord
  readonly execs: ReadonlyMap<ExecId, ProcessRecord>
  /** The exit of init, known but waiting for those of its execs. Not stored: the host tells it again. */
  readonly held: Exit | null
  /** What the last update came to. Not stored: its asker alone wants it. */
  readonly updated?: UpdateResult
}

/** To init (`execId` null) or to an exec. */
export type Addressed =
  | { readonly execId: null; readonly input: TaskMachine.Input }
  | { readonly execId: ExecId; readonly input: ProcessMachine.Input }

export type Ordered =
  | { readonly execId: null; readonly operation: TaskMachine.Operation }
  | { readonly execId: ExecId; readonly operation: ProcessMachine.Operation }

export type Rejection =
  | { readonly _tag: "Precondition"; readonly found: string; readonly allowed: ReadonlyArray<string> }
  | { readonly _tag: "Finished" }
  | { readonly _tag: "NoSuchExec" }
  | { readonly _tag: "ExecExists"; readonly id: ExecId }

export interface Step {
  readonly tree: Tree
  readonly changes: ReadonlyArray<Change>
  readonly events: ReadonlyArray<NewEvent>
  readonly operations: ReadonlyArray<Ordered>
  readonly rejection: Rejection | null
}

const nothing = (tree: Tree, rejection: Rejection | null = null): Step => ({
  tree,
  changes: [],
  events: [],
  operations: [],
  rejection
})

/** 128 + SIGKILL. */
const sigkilled = 137

const found = (tag: string) => tag.toLowerCase()

const rejection = (
  next: { readonly rejected: { readonly allowed: ReadonlyArray<string> } | "finished" | null },
  tag: string
): Rejection | null =>
  next.rejected === null
    ? null
    : next.rejected === "finished"
      ? { _tag: "Finished" }
      : { _tag: "Precondition", found: found(tag), allowed: next.rejected.allowed }

const told = (tree: Tree, payloads: ReadonlyArray<Payload>): ReadonlyArray<NewEvent> =>
  payloads.map((payload) => ({ namespace: tree.task.namespace, payload }))

export const step = (tree: Tree, message: Addressed): Step => {
  if (isOfAnother(tree, message)) return nothing(tree)
  return message.execId === null ? stepInit(tree, message.input) : stepExec(tree, message.execId, message.input)
}

/** The exit of a process that had this name before, told so late that the next one has it. */
const isOfAnother = ({ execs, task }: Tree, { execId, input }: Addressed): boolean => {
  if (input._tag !== "Exited") return false
  const state = execId === null ? task.state : execs.get(execId)?.state
  const identity = state !== undefined && "identity" in state ? state.identity : null
  return identity !== null && identity.pid !== input.exit.pid
}

const isUp = (tag: TaskRecord["state"]["_tag"]) =>
  tag === "Running" || tag === "Pausing" || tag === "Paused" || tag === "Resuming"

const anyLive = ({ execs }: Tree) => Array.from(execs.values()).some(({ state }) => ProcessMachine.isLive(state))

const stepInit = (tree: Tree, input: TaskMachine.Input): Step => {
  const { task } = tree
  // The host tells it again where it cannot know that it was heard.
  if (input._tag === "Oom" && input.count <= task.oomCount) return nothing(tree)
  if (input._tag === "UpdateDone") return nothing({ ...tree, updated: input.result })
  // The first that is told of it counts, as everywhere.
  if (input._tag === "Exited" && anyLive(tree)) return nothing({ ...tree, held: tree.held ?? input.exit })
  if (input._tag === "DeleteDone" && task.state._tag === "Deleting" && tree.execs.size > 0) {
    const last = tree.held ?? input.exit
    const ends = last === null ? [] : killed(tree, task.state.exit ?? last)
    const gone = transit({ ...tree, held: null }, TaskMachine.Report.DeleteDone({ exit: last }))
    return { ...gone, events: [...ends, ...gone.events] }
  }
  return transit(tree, input)
}

/** What was alive in a container that is gone went with it. Only the ends of those whose start was told are told. */
const killed = (tree: Tree, { exitedAt }: Exit): ReadonlyArray<NewEvent> =>
  Array.from(tree.execs.values()).flatMap(({ id, state }) => {
    if (!ProcessMachine.isLive(state) || !("identity" in state) || state.identity === null) return []
    const exit = {
      id,
      pid: state.identity.pid,
      exitStatus: sigkilled,
      exitedAt,
      oomKilled: false,
      source: "inferred" as const,
      oomCount: null,
      memoryPeak: null
    }
    return told(
      tree,
      ProcessMachine.transition(
        { containerId: tree.task.id, execId: id },
        state,
        ProcessMachine.Report.Exited({ exit })
      ).events
    )
  })

const transit = (tree: Tree, input: TaskMachine.Input): Step => {
  const { task } = tree
  const facts = { containerId: task.id, terminal: task.terminal, autoRemove: task.autoRemove }
  const next = TaskMachine.transition(facts, task.state, input)
  const oomCount = input._tag === "Oom" && next.events.length > 0 ? input.count : task.oomCount
  const changed = next.state !== task.state || oomCount !== task.oomCount
  const record: TaskRecord = changed ? { ...task, state: next.state, oomCount } : task
  const removed = next.state._tag === "Deleted" && task.state._tag !== "Deleted"
  const container = removed && task.autoRemove && (task.state._tag !== "Creating" || task.withContainer === true)
  const at = { namespace: task.namespace, id: task.id }
  return {
    tree: { ...tree, task: record },
    changes: removed
      ? [Change.DeleteTask(at), ...(container ? [Change.DeleteContainer(at)] : [])]
      : changed
        ? [Change.PutTask({ record })]
        : [],
    events: told(tree, [
      ...next.events,
      ...(container ? [{ topic: "/containers/delete" as const, event: { id: task.id } }] : [])
    ]),
    operations: next.operations.map((operation) => ({ execId: null, operation })),
    rejection: rejection(next, task.state._tag)
  }
}

const stepExec = (tree: Tree, execId: ExecId, input: ProcessMachine.Input): Step => {
  const record = tree.execs.get(execId)
  if (record === undefined) return nothing(tree, { _tag: "NoSuchExec" })
  if (
    input._tag === "Start" &&
    record.state._tag === "Created" &&
    (tree.held !== null || tree.task.state._tag !== "Running")
  ) {
    const met = tree.held === null ? found(tree.task.state._tag) : "stopped"
    return nothing(tree, { _tag: "Precondition", found: met, allowed: ["running"] })
  }
  // Its start was given up, and the exit of init did not wait for it.
  if (input._tag === "StartDone" && record.state._tag === "Created" && !isUp(tree.task.state._tag)) return nothing(tree)
  const facts = { containerId: tree.task.id, execId }
  const next = ProcessMachine.transition(facts, record.state, input)
  const own: Step = {
    tree: next.state === record.state ? tree : withExec(tree, { ...record, state: next.state }),
    changes: next.state === record.state ? [] : [stored(record, next.state)],
    events: told(tree, next.events),
    operations: next.operations.map((operation) => ({ execId, operation })),
    rejection: rejection(next, record.state._tag)
  }
  const { held } = tree
  if (held === null || anyLive(own.tree)) return own
  const last = stepInit({ ...own.tree, held: null }, TaskMachine.Report.Exited({ exit: held }))
  return {
    ...last,
    changes: [...own.changes, ...last.changes],
    events: [...own.events, ...last.events],
    operations: [...own.operations, ...last.operations],
    rejection: own.rejection
  }
}

const stored = (record: ProcessRecord, state: ProcessState): Change =>
  state._tag === "Deleted"
    ? Change.DeleteProcess({ namespace: record.namespace, containerId: record.containerId, id: record.id })
    : Change.PutProcess({ record: { ...record, state } })

const withExec = (tree: Tree, record: ProcessRecord): Tree => {
  const execs = new Map(tree.execs)
  if (record.state._tag === "Deleted") execs.delete(record.id)
  else execs.set(record.id, record)
  return { ...tree, execs }
}

/** Registers an exec; its task must be able to have one some day. */
export const addExec = (tree: Tree, record: ProcessRecord): Step => {
  const { state } = tree.task
  if (tree.execs.has(record.id)) return nothing(tree, { _tag: "ExecExists", id: record.id })
  if (tree.held !== null || (state._tag !== "Running" && state._tag !== "Created" && state._tag !== "Starting")) {
    const met = tree.held === null ? found(state._tag) : "stopped"
    return nothing(tree, { _tag: "Precondition", found: met, allowed: ["created", "running"] })
  }
  return {
    ...nothing(withExec(tree, record)),
    changes: [Change.InsertProcess({ record })],
    events: told(tree, [{ topic: "/tasks/exec-added", event: { containerId: tree.task.id, execId: record.id } }])
  }
}
