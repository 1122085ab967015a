/**
 * The life of a container's init process as a pure, total function: what a state makes of an input, which events that announces and which operations it
 * asks for. Nothing here waits or fails: an operation is data, and its completion comes back as an input.
 *
 * Exits and completions travel on different paths and may overtake each other, so an exit that arrives before the answer to `create` or `start` is held
 * until that answer, and completions that come too late are ignored.
 */
import { Data, DateTime } from "effect"
import type { Payload } from "../schema/Events.ts"
import type { ContainerId } from "../schema/Ids.ts"
import type { Exit } from "../schema/Process.ts"
import type { UpdateResult, UpdateTask } from "../schema/Requests.ts"
import type { Identity, TaskState } from "../schema/TaskState.ts"
import * as StateMachine from "./StateMachine.ts"

interface SignalTo {
  readonly signal: number
  readonly all: boolean
  readonly pid?: number
}

/** What a client may ask. */
export type Command = Data.TaggedEnum<{
  Start: {}
  Pause: {}
  Resume: {}
  /** To init; with `all` to every process of the container, with `pid` to that one, which is no process that berth started. */
  Signal: SignalTo
  Update: { readonly change: UpdateTask }
  Delete: { readonly force: boolean }
}>
export const Command = Data.taggedEnum<Command>()

/** What the host answers and tells. `…Failed` carries nothing: the error goes to the caller, not into the state. */
export type Report = Data.TaggedEnum<{
  CreateDone: { readonly identity: Identity; readonly bundle: string }
  CreateFailed: {}
  StartDone: { readonly at: DateTime.Utc }
  StartFailed: {}
  PauseDone: {}
  PauseFailed: {}
  ResumeDone: {}
  ResumeFailed: {}
  UpdateDone: { readonly result: UpdateResult }
  DeleteDone: { readonly exit: Exit | null }
  DeleteFailed: {}
  /** It is time to remove what nobody else removes and could not be removed. */
  DeleteDue: {}
  Exited: { readonly exit: Exit }
  /** `count`: all kills for want of memory so far. */
  Oom: { readonly count: number }
}>
export const Report = Data.taggedEnum<Report>()

export type Input = Command | Report

/** What the actor is to do, outside of its mailbox. `Cancel` ends the operation under way. */
export type Operation = Data.TaggedEnum<{
  Start: {}
  Pause: {}
  Resume: {}
  Signal: SignalTo
  /** Changes no state, and may take its time: whatever else is asked goes on meanwhile. */
  Update: { readonly change: UpdateTask }
  Delete: {}
  /** Reports `DeleteDue` after so long. */
  DeleteLater: { readonly milliseconds: number }
  Cancel: {}
}>
export const Operation = Data.taggedEnum<Operation>()

export type Next = StateMachine.Next<TaskState, Operation>

export interface Facts {
  readonly containerId: ContainerId
  readonly terminal: boolean
  readonly autoRemove: boolean
}

const { finished, go, reject, stay } = StateMachine.words<TaskState, Operation>()

type Of<Tag extends TaskState["_tag"]> = Extract<TaskState, { readonly _tag: Tag }>
type Live = Of<"Running" | "Pausing" | "Paused" | "Resuming">

/** The whole machine: every state with every input. */
export const transition = (facts: Facts, state: TaskState, input: Input): Next => {
  switch (state._tag) {
    case "Creating":
      return creating(facts, state, input)
    case "Created":
      return created(facts, state, input)
    case "Starting":
      return starting(facts, state, input)
    case "Running":
    case "Pausing":
    case "Paused":
    case "Resuming":
      return live(facts, state, input)
    case "Stopped":
      return stopped(facts, state, input)
    case "Deleting":
      return deleting(facts, state, input)
    case "Deleted":
      return isCommand(input) ? finished(state) : stay(state)
  }
}

const creating = (facts: Facts, state: Of<"Creating">, input: Input): Next => {
  switch (input._tag) {
    case "CreateDone": {
      const { identity } = input
      const event: Payload = {
        topic: "/tasks/create",
        event: { containerId: facts.containerId, pid: identity.pid, bundle: input.bundle, terminal: facts.terminal }
      }
      // A late exit of the task that had this id before is not its own.
      return state.exit?.pid !== identity.pid
        ? go({ _tag: "Created", identity }, [event])
        : after(go({ _tag: "Created", identity }, [event]), end(facts, identity, null, state.exit))
    }
    case "CreateFailed":
      return go({ _tag: "Deleted", exit: null })
    case "Exited":
      return stay(state.exit === null ? { ...state, exit: input.exit } : state)
    case "Delete":
      return input.force
        ? go(
            { _tag: "Deleting", identity: null, startedAt: null, exit: null },
            [],
            Operation.Cancel(),
            Operation.Delete()
          )
        : reject(state, "created", "stopped")
    case "Signal":
    case "Update":
      return reject(state, "created", "running", "paused")
    default:
      return commandOr(state, input, "created")
  }
}

const created = (facts: Facts, state: Of<"Created">, input: Input): Next => {
  const { identity } = state
  switch (input._tag) {
    case "Start":
      return go({ _tag: "Starting", identity, exit: null }, [], Operation.Start())
    case "Signal":
      return go(state, [], signalling(input))
    case "Delete":
      return go({ _tag: "Deleting", identity, startedAt: null, exit: null }, [], Operation.Delete())
    case "Exited":
      return end(facts, identity, null, input.exit)
    // The answer to its start was lost on the way, and it runs.
    case "StartDone":
      return started(facts, identity, input.at)
    case "Oom":
      return go(state, [oom(facts)])
    case "Update":
      return go(state, [], Operation.Update({ change: input.change }))
    case "Pause":
      return reject(state, "running")
    case "Resume":
      return reject(state, "paused")
    default:
      return stay(state)
  }
}

const starting = (facts: Facts, state: Of<"Starting">, input: Input): Next => {
  const { identity } = state
  switch (input._tag) {
    case "StartDone": {
      const running = started(facts, identity, input.at)
      return state.exit === null ? running : after(running, end(facts, identity, input.at, state.exit))
    }
    case "StartFailed":
      return state.exit === null ? go({ _tag: "Created", identity }) : end(facts, identity, null, state.exit)
    case "Exited":
      return stay(state.exit === null ? { ...state, exit: input.exit } : state)
    case "Signal":
      return state.exit === null ? go(state, [], signalling(input)) : finished(state)
    case "Delete":
      return input.force
        ? go({ _tag: "Deleting", identity, startedAt: null, exit: null }, [], Operation.Cancel(), Operation.Delete())
        : reject(state, "created", "stopped")
    case "Oom":
      return go(state, [oom(facts)])
    case "Start":
      return reject(state, "created")
    case "Update":
      return reject(state, "created", "running", "paused")
    default:
      return commandOr(state, input, "running")
  }
}

/** Running, and what pausing makes of it: they differ only in what pause and resume mean. */
const live = (facts: Facts, state: Live, input: Input): Next => {
  const { identity, startedAt } = state
  const to = (tag: Live["_tag"]): Live => ({ _tag: tag, identity, startedAt })
  switch (input._tag) {
    case "Pause":
      return state._tag === "Running" ? go(to("Pausing"), [], Operation.Pause()) : reject(state, "running")
    case "Resume":
      return state._tag === "Paused" ? go(to("Resuming"), [], Operation.Resume()) : reject(state, "paused")
    // Of a pause that was given up here, and that the host brought to its end, the news comes late.
    case "PauseDone":
      return state._tag === "Pausing" || state._tag === "Running"
        ? go(to("Paused"), [{ topic: "/tasks/paused", event: { containerId: facts.containerId } }])
        : stay(state)
    case "PauseFailed":
      return state._tag === "Pausing" ? go(to("Running")) : stay(state)
    case "ResumeDone":
      return state._tag === "Resuming" || state._tag === "Paused"
        ? go(to("Running"), [{ topic: "/tasks/resumed", event: { containerId: facts.containerId } }])
        : stay(state)
    case "ResumeFailed":
      return state._tag === "Resuming" ? go(to("Paused")) : stay(state)
    case "Signal":
      return go(state, [], signalling(input))
    case "Delete": {
      const frozen = state._tag === "Paused" || state._tag === "Resuming"
      const gone: TaskState = { _tag: "Deleting", identity, startedAt, exit: null, ...(frozen ? { paused: true } : {}) }
      if (!input.force) return reject(state, "created", "stopped")
      return state._tag === "Pausing" || state._tag === "Resuming"
        ? go(gone, [], Operation.Cancel(), Operation.Delete())
        : go(gone, [], Operation.Delete())
    }
    case "Exited":
      return end(facts, identity, startedAt, input.exit)
    case "Oom":
      return go(state, [oom(facts)])
    case "Start":
      return reject(state, "created")
    case "Update":
      return state._tag === "Running" || state._tag === "Paused"
        ? go(state, [], Operation.Update({ change: input.change }))
        : reject(state, "created", "running", "paused")
    default:
      return stay(state)
  }
}

const stopped = (facts: Facts, state: Of<"Stopped">, input: Input): Next => {
  switch (input._tag) {
    case "Delete":
      return removal(state)
    case "DeleteDue":
      return facts.autoRemove ? removal(state) : stay(state)
    case "Signal":
      return finished(state)
    case "Update":
      return reject(state, "created", "running", "paused")
    default:
      return commandOr(state, input, input._tag === "Start" ? "created" : input._tag === "Pause" ? "running" : "paused")
  }
}

/** Takes the place of the removal that it may be waiting for. */
const removal = (state: Of<"Stopped">): Next =>
  state.failedRemovals === undefined
    ? go({ ...state, _tag: "Deleting" }, [], Operation.Delete())
    : go({ ...state, _tag: "Deleting" }, [], Operation.Cancel(), Operation.Delete())

const deleting = (facts: Facts, state: Of<"Deleting">, input: Input): Next => {
  const { exit, identity, startedAt } = state
  switch (input._tag) {
    // What was never announced has no end to announce either: its creation is undone.
    case "Exited":
      return exit === null && identity !== null
        ? go({ ...state, exit: input.exit }, [exited(facts, input.exit)])
        : stay(state)
    case "DeleteDone": {
      if (identity === null) return go({ _tag: "Deleted", exit: null })
      const last = exit ?? input.exit
      const end = exit === null && last !== null ? [exited(facts, last)] : []
      return go({ _tag: "Deleted", exit: last }, [...end, deleted(facts, identity, last)])
    }
    case "DeleteFailed":
      // Something may be left of what was never known, so it is not gone, and nobody else may ever ask for it.
      if (identity === null) return later(state, state.failedRemovals)
      if (exit !== null)
        return facts.autoRemove
          ? later(ended(state, identity, exit), state.failedRemovals)
          : go(ended(state, identity, exit))
      if (startedAt === null) return go({ _tag: "Created", identity })
      return go({ _tag: state.paused === true ? "Paused" : "Running", identity, startedAt })
    case "DeleteDue":
      return identity === null ? go(state, [], Operation.Delete()) : stay(state)
    case "Signal":
      return exit === null ? go(state, [], signalling(input)) : finished(state)
    case "Delete":
      return input.force ? go(state, [], Operation.Cancel(), Operation.Delete()) : reject(state, "created", "stopped")
    default:
      return commandOr(state, input, "created", "running", "paused")
  }
}

const signalling = ({ all, pid, signal }: SignalTo) =>
  Operation.Signal({ signal, all, ...(pid === undefined ? {} : { pid }) })

const isCommand = (input: Input): input is Command =>
  input._tag === "Start" ||
  input._tag === "Pause" ||
  input._tag === "Resume" ||
  input._tag === "Signal" ||
  input._tag === "Update" ||
  input._tag === "Delete"

/** Commands are refused, late reports are ignored. */
const commandOr = (state: TaskState, input: Input, ...allowed: ReadonlyArray<string>): Next =>
  isCommand(input) ? reject(state, ...allowed) : stay(state)

const after = (first: Next, second: Next): Next => ({
  ...second,
  events: [...first.events, ...second.events],
  operations: [...first.operations, ...second.operations]
})

const started = (facts: Facts, identity: Identity, startedAt: DateTime.Utc): Next =>
  go({ _tag: "Running", identity, startedAt }, [
    { topic: "/tasks/start", event: { containerId: facts.containerId, pid: identity.pid } }
  ])

const end = (facts: Facts, identity: Identity, since: DateTime.Utc | null, exit: Exit): Next => {
  // The answer to a start may come when its process has ended already.
  const startedAt = since === null ? null : DateTime.min(since, exit.exitedAt)
  return facts.autoRemove
    ? go({ _tag: "Deleting", identity, startedAt, exit }, [exited(facts, exit)], Operation.Delete())
    : go({ _tag: "Stopped", identity, startedAt, exit }, [exited(facts, exit)])
}

const ended = ({ startedAt }: Of<"Deleting">, identity: Identity, exit: Exit): Of<"Stopped"> => ({
  _tag: "Stopped",
  identity,
  startedAt,
  exit
})

const firstPatience = 1_000
const longestPatience = 60_000

/** What has nobody else to remove it is tried again, after twice as long each time. */
const later = (state: Of<"Stopped"> | Of<"Deleting">, before = 0): Next =>
  go(
    { ...state, failedRemovals: before + 1 },
    [],
    Operation.DeleteLater({ milliseconds: Math.min(firstPatience * 2 ** before, longestPatience) })
  )

const exited = (facts: Facts, exit: Exit): Payload => ({
  topic: "/tasks/exit",
  event: { containerId: facts.containerId, execId: null, ...exit }
})

const deleted = (facts: Facts, identity: Identity, exit: Exit | null): Payload => ({
  topic: "/tasks/delete",
  event: { containerId: facts.containerId, pid: identity.pid, exitStatus: exit?.exitStatus ?? null }
})

const oom = (facts: Facts): Payload => ({ topic: "/tasks/oom", event: { containerId: facts.containerId } })
