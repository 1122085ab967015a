/**
 * The life of an exec process, in the manner of `TaskMachine.ts`: pure, total, operations as data. An exec is registered first and started later; its start
 * makes and runs it in one call.
 */
import { Data, DateTime } from "effect"
import type { Payload } from "../schema/Events.ts"
import type { ContainerId, ExecId } from "../schema/Ids.ts"
import type { Exit } from "../schema/Process.ts"
import type { Identity, ProcessState } from "../schema/TaskState.ts"
import * as StateMachine from "./StateMachine.ts"

export type Command = Data.TaggedEnum<{
  Start: {}
  Signal: { readonly signal: number }
  Delete: { readonly force: boolean }
}>
export const Command = Data.taggedEnum<Command>()

export type Report = Data.TaggedEnum<{
  StartDone: { readonly identity: Identity; readonly at: DateTime.Utc }
  StartFailed: {}
  DeleteDone: { readonly exit: Exit | null }
  DeleteFailed: {}
  Exited: { readonly exit: Exit }
}>
export const Report = Data.taggedEnum<Report>()

export type Input = Command | Report

export type Operation = Data.TaggedEnum<{
  Start: {}
  Signal: { readonly signal: number }
  Delete: {}
  Cancel: {}
}>
export const Operation = Data.taggedEnum<Operation>()

export type Next = StateMachine.Next<ProcessState, Operation>

export interface Facts {
  readonly containerId: ContainerId
  readonly execId: ExecId
}

const { finished, go, reject, stay } = StateMachine.words<ProcessState, Operation>()

/** Whether the process may still have an exit to come: the container's own exit waits for it. */
export const isLive = (state: ProcessState): boolean =>
  state._tag === "Starting" || state._tag === "Running" || (state._tag === "Deleting" && state.exit === null)

export const transition = (facts: Facts, state: ProcessState, input: Input): Next => {
  switch (state._tag) {
    case "Created":
      switch (input._tag) {
        case "Start":
          return go({ _tag: "Starting", exit: null }, [], Operation.Start())
        case "Signal":
          return reject(state, "running")
        case "Delete":
          // It has a log, and its host may know it.
          return go({ _tag: "Deleting", identity: null, startedAt: null, exit: null }, [], Operation.Delete())
        // The answer to its start was lost on the way, and it runs.
        case "StartDone":
          return started(facts, input, null)
        default:
          return stay(state)
      }
    case "Starting":
      switch (input._tag) {
        case "StartDone":
          return started(facts, input, state.exit)
        case "StartFailed":
          return go({ _tag: "Created" })
        case "Exited":
          return stay(state.exit === null ? { ...state, exit: input.exit } : state)
        case "Start":
          return reject(state, "created")
        case "Signal":
          return reject(state, "running")
        case "Delete":
          return input.force
            ? go(
                { _tag: "Deleting", identity: null, startedAt: null, exit: state.exit },
                [],
                Operation.Cancel(),
                Operation.Delete()
              )
            : reject(state, "created", "stopped")
        default:
          return stay(state)
      }
    case "Running": {
      const { identity, startedAt } = state
      switch (input._tag) {
        case "Exited":
          return go(stopped(identity, startedAt, input.exit), [exited(facts, input.exit)])
        case "Signal":
          return go(state, [], Operation.Signal({ signal: input.signal }))
        case "Start":
          return reject(state, "created")
        case "Delete":
          return input.force
            ? go({ _tag: "Deleting", identity, startedAt, exit: null }, [], Operation.Delete())
            : reject(state, "created", "stopped")
        default:
          return stay(state)
      }
    }
    case "Stopped":
      switch (input._tag) {
        case "Signal":
          return finished(state)
        case "Start":
          return reject(state, "created")
        case "Delete":
          return go({ ...state, _tag: "Deleting" }, [], Operation.Delete())
        default:
          return stay(state)
      }
    case "Deleting":
      switch (input._tag) {
        case "Exited":
          return state.exit === null ? go({ ...state, exit: input.exit }, endOf(facts, state, input.exit)) : stay(state)
        case "DeleteDone": {
          const exit = state.exit ?? input.exit
          return go({ _tag: "Deleted", exit }, state.exit === null && exit !== null ? endOf(facts, state, exit) : [])
        }
        case "DeleteFailed": {
          const { exit, identity, startedAt } = state
          if (identity === null || startedAt === null) return go({ _tag: "Created" })
          return go(
            exit === null ? { _tag: "Running", identity, startedAt } : { _tag: "Stopped", identity, startedAt, exit }
          )
        }
        case "Signal":
          return finished(state)
        case "Start":
          return reject(state, "created", "stopped")
        case "Delete":
          return input.force
            ? go(state, [], Operation.Cancel(), Operation.Delete())
            : reject(state, "created", "stopped")
        default:
          return stay(state)
      }
    case "Deleted":
      return input._tag === "Start" || input._tag === "Signal" || input._tag === "Delete"
        ? finished(state)
        : stay(state)
  }
}

/** It runs, or has run where its exit was there first. */
const started = (
  facts: Facts,
  { at: startedAt, identity }: Extract<Report, { readonly _tag: "StartDone" }>,
  exit: Exit | null
): Next => {
  const event: Payload = {
    topic: "/tasks/exec-started",
    event: { containerId: facts.containerId, execId: facts.execId, pid: identity.pid }
  }
  // A late exit of the exec that had this id before is not its own.
  return exit?.pid !== identity.pid
    ? go({ _tag: "Running", identity, startedAt }, [event])
    : go(stopped(identity, startedAt, exit), [event, exited(facts, exit)])
}

/** The answer to a start may come when its process has ended already. */
const stopped = (identity: Identity, since: DateTime.Utc, exit: Exit): ProcessState => ({
  _tag: "Stopped",
  identity,
  startedAt: DateTime.min(since, exit.exitedAt),
  exit
})
/** Of an exec whose start was never announced no end is announced either. */
const endOf = (facts: Facts, { startedAt }: { readonly startedAt: DateTime.Utc | null }, exit: Exit) =>
  startedAt === null ? [] : [exited(facts, exit)]

const exited = (facts: Facts, exit: Exit): Payload => ({
  topic: "/tasks/exit",
  event: { containerId: facts.containerId, execId: facts.execId, ...exit }
})
