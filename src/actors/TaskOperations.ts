/** Turns the operations that the machines order into calls of the process host, and their results into reports. Knows no state of its own. */
import { Cause, DateTime, Effect, Result, Schedule } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import { Internal } from "../schema/Errors.ts"
import type { ContainerRef, CreateRequest } from "../schema/Host.ts"
import { containerKey } from "../schema/Ids.ts"
import type { ProcessRef } from "../schema/Ids.ts"
import type { ProcessRecord } from "../schema/TaskState.ts"
import { OutputLog } from "../services/OutputLog.ts"
import { ProcessHost } from "../services/ProcessHost.ts"
import type { HostError } from "../services/ProcessHost.ts"
import * as LimitUpdate from "./LimitUpdate.ts"
import { lost } from "./LostExit.ts"
import * as ProcessMachine from "./ProcessMachine.ts"
import type { Outcome, Perform } from "./TaskActor.ts"
import * as TaskMachine from "./TaskMachine.ts"
import type { Addressed, Tree } from "./TaskTree.ts"

const toInit = (input: TaskMachine.Input): Addressed => ({ execId: null, input })
const reported = (...reports: ReadonlyArray<Addressed>): Outcome => ({ reports, error: null })

/** A failed operation reports that, and its error goes to whoever asked. A defect counts as a failure: the state must not hang on it. */
const orElse =
  (failed: ReadonlyArray<Addressed>) =>
  (self: Effect.Effect<Outcome, BerthError>): Effect.Effect<Outcome> =>
    Effect.catchCause(self, (cause) => {
      const found = Cause.findError(cause)
      if (Result.isSuccess(found)) return Effect.succeed({ reports: failed, error: found.success })
      if (!Cause.hasDies(cause)) return Effect.failCause(found.failure)
      return Effect.as(Effect.logError("an operation crashed", cause), {
        reports: failed,
        error: new Internal({ reference: "operation" })
      })
    })

const again = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("5 seconds")])

/** A deletion whose answer is lost with the host may have been carried out, and nobody would ever tell: the next host is asked again, which has nothing to do then. */
const untilAnswered = <A>(deletion: Effect.Effect<A, HostError>): Effect.Effect<A, HostError> =>
  Effect.retry(deletion, { while: ({ _tag }) => _tag === "ShimLost", schedule: again })

const signalOf = (
  ref: ProcessRef,
  { all, pid, signal }: Extract<TaskMachine.Operation, { readonly _tag: "Signal" }>
) => ({
  ref,
  signal,
  all,
  ...(pid === undefined ? {} : { pid })
})

export const make = Effect.gen(function* () {
  const host = yield* ProcessHost
  const outputLog = yield* OutputLog
  const update = yield* LimitUpdate.make
  /** Containers that the host holds and the store does not know. */
  const strangers = new Set<string>()
  const {
    DeleteDone,
    DeleteDue,
    DeleteFailed,
    PauseDone,
    PauseFailed,
    ResumeDone,
    ResumeFailed,
    StartDone,
    StartFailed
  } = TaskMachine.Report

  /** Its answer may have been lost on the way: the store has no such task, so the host may not keep one. */
  const undo = (request: CreateRequest) =>
    Effect.andThen(
      Effect.ignore(untilAnswered(host.delete({ namespace: request.namespace, containerId: request.containerId }))),
      outputLog.remove({ ...request, execId: null })
    )
  /** What the host has under that name was there before: it may run, of a store that was lost, and its log is not ours. */
  const spare = (request: CreateRequest) => Effect.sync(() => void strangers.add(containerKey(request)))

  const create = (request: CreateRequest): Effect.Effect<Outcome> =>
    host.create(request).pipe(
      Effect.map(({ bundle, identity }) => reported(toInit(TaskMachine.Report.CreateDone({ identity, bundle })))),
      Effect.tap(() => Effect.sync(() => void strangers.delete(containerKey(request)))),
      Effect.tapError((error) => (error._tag === "AlreadyExists" ? spare(request) : undo(request))),
      orElse([toInit(TaskMachine.Report.CreateFailed())])
    )

  const remove = (tree: Tree, ref: ContainerRef) =>
    Effect.gen(function* () {
      const { execs, init } = yield* untilAnswered(host.delete(ref))
      const { id, state } = tree.task
      const unseen = init === null && state._tag === "Deleting" && state.startedAt !== null && state.exit === null
      const exit = unseen && state.identity !== null ? lost(id, state.identity, yield* DateTime.now) : init
      yield* outputLog.remove({ ...ref, execId: null })
      const exits = execs
        .filter(({ execId }) => tree.execs.has(execId))
        .map(({ execId, exit }): Addressed => ({ execId, input: ProcessMachine.Report.Exited({ exit }) }))
      return reported(...exits, toInit(DeleteDone({ exit })))
    }).pipe(orElse([toInit(DeleteFailed())]))

  const startExec = Effect.fnUntraced(function* (record: ProcessRecord) {
    const { containerId, id: execId, namespace, spec, stdio } = record
    const ref = { namespace, containerId, execId }
    const logFile = stdio.log._tag === "json" ? yield* outputLog.prepare(ref) : null
    const { identity } = yield* host.exec({ ...ref, process: spec, stdio, logFile })
    return reported({ execId, input: ProcessMachine.Report.StartDone({ identity, at: yield* DateTime.now }) })
  })

  const removeExec = (record: ProcessRecord, ref: ProcessRef) =>
    Effect.gen(function* () {
      const told = yield* untilAnswered(host.deleteExec(ref))
      yield* outputLog.remove(ref)
      const { id: execId, state } = record
      const unseen = told === null && state._tag === "Deleting" && state.exit === null
      const exit = unseen && state.identity !== null ? lost(execId, state.identity, yield* DateTime.now) : told
      return reported({ execId, input: ProcessMachine.Report.DeleteDone({ exit }) })
    }).pipe(orElse([{ execId: record.id, input: ProcessMachine.Report.DeleteFailed() }]))

  const performExec = (record: ProcessRecord, operation: ProcessMachine.Operation): Effect.Effect<Outcome> => {
    const execId = record.id
    const ref = { namespace: record.namespace, containerId: record.containerId, execId }
    switch (operation._tag) {
      case "Start":
        return startExec(record).pipe(orElse([{ execId, input: ProcessMachine.Report.StartFailed() }]))
      case "Signal":
        return host.signal({ ref, signal: operation.signal, all: false }).pipe(Effect.as(reported()), orElse([]))
      case "Delete":
        return removeExec(record, ref)
      case "Cancel":
        return Effect.succeed(reported())
    }
  }

  const perform: Perform = (tree, order) => {
    if (order.execId !== null) {
      const record = tree.execs.get(order.execId)
      return record === undefined ? Effect.succeed(reported()) : performExec(record, order.operation)
    }
    const { operation } = order
    const ref: ContainerRef = { namespace: tree.task.namespace, containerId: tree.task.id }
    switch (operation._tag) {
      case "Start":
        return host.start(ref).pipe(
          Effect.andThen(DateTime.now),
          Effect.map((at) => reported(toInit(StartDone({ at })))),
          orElse([toInit(StartFailed())])
        )
      case "Pause":
        return host.pause(ref).pipe(Effect.as(reported(toInit(PauseDone()))), orElse([toInit(PauseFailed())]))
      case "Resume":
        return host.resume(ref).pipe(Effect.as(reported(toInit(ResumeDone()))), orElse([toInit(ResumeFailed())]))
      case "Signal":
        return host.signal(signalOf({ ...ref, execId: null }, operation)).pipe(Effect.as(reported()), orElse([]))
      case "Update":
        return update(tree.task, operation.change).pipe(
          Effect.map((result) => reported(toInit(TaskMachine.Report.UpdateDone({ result })))),
          orElse([])
        )
      case "Delete":
        return remove(tree, ref)
      case "DeleteLater":
        return Effect.as(Effect.sleep(operation.milliseconds), reported(toInit(DeleteDue())))
      case "Cancel":
        return Effect.succeed(reported())
    }
  }

  return { create, perform, strangers }
})
