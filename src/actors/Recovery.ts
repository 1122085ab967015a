/**
 * Keeps actors and host agreeing. At boot it revives an actor for every stored task; then it watches the host for as long as the daemon lives: a snapshot
 * settles what each task missed, later events are passed on. When the host dies it watches the next one.
 */
import { Cause, DateTime, Deferred, Effect, Exit, Layer, Option, Stream } from "effect"
import type { HostedRecord, HostEvent } from "../schema/Host.ts"
import type { ExecId } from "../schema/Ids.ts"
import { containerKey, processKey } from "../schema/Ids.ts"
import type { TaskState } from "../schema/TaskState.ts"
import { MetadataStore } from "../services/MetadataStore.ts"
import { ProcessHost } from "../services/ProcessHost.ts"
import { Actors } from "./Actors.ts"
import { lost } from "./LostExit.ts"
import * as ProcessMachine from "./ProcessMachine.ts"
import type { TaskActor } from "./TaskActor.ts"
import * as TaskMachine from "./TaskMachine.ts"
import type { Addressed, Tree } from "./TaskTree.ts"

const { Report } = TaskMachine

/** Of a shim that has gone what it says is enough; a defect needs all there is. */
const told = (cause: Cause.Cause<unknown>) =>
  Cause.hasDies(cause)
    ? cause
    : Cause.prettyErrors(cause)
        .map(({ message }) => message)
        .join(", ")

/** What a task in this state must be told, given what the host holds of it (undefined: nothing). Pure. */
export const settle = (
  { execs, task }: Tree,
  records: ReadonlyMap<string, HostedRecord>,
  now: DateTime.Utc
): ReadonlyArray<Addressed> => {
  const ref = { namespace: task.namespace, containerId: task.id }
  const reports: Array<Addressed> = []
  const tell = (input: TaskMachine.Input) => reports.push({ execId: null, input })
  for (const [execId, { state }] of execs) {
    const record = records.get(processKey({ ...ref, execId }))
    const say = (input: ProcessMachine.Input) => reports.push({ execId, input })
    if (state._tag === "Starting" && record === undefined) say(ProcessMachine.Report.StartFailed())
    if ((state._tag === "Starting" || state._tag === "Created") && record !== undefined) {
      say(ProcessMachine.Report.StartDone({ identity: record.identity, at: now }))
    }
    if (record?.exit) say(ProcessMachine.Report.Exited({ exit: record.exit }))
    if (state._tag === "Running" && record === undefined) {
      say(ProcessMachine.Report.Exited({ exit: lost(execId, state.identity, now) }))
    }
    if (state._tag === "Deleting") say(ProcessMachine.Command.Delete({ force: true }))
  }
  const record = records.get(processKey({ ...ref, execId: null }))
  const { state } = task
  switch (state._tag) {
    case "Creating":
      // One that runs was never asked to: it was there before, and its name was taken.
      if (record?.started === true) return [{ execId: null, input: Report.CreateFailed() }]
      // Whoever asked has been told that it failed.
      return [{ execId: null, input: TaskMachine.Command.Delete({ force: true }) }]
    case "Deleting":
      // The deletion may fail, and what is not deleted has ended all the same.
      if (record?.exit) tell(Report.Exited({ exit: record.exit }))
      return [...reports, { execId: null, input: TaskMachine.Command.Delete({ force: true }) }]
    case "Stopped":
      // It should be gone: its removal had failed.
      if (task.autoRemove) tell(Report.DeleteDue())
      return reports
    case "Deleted":
      return reports
    default:
      if (record === undefined) {
        if (state._tag === "Starting") tell(Report.StartFailed())
        tell(Report.Exited({ exit: lost(task.id, state.identity, now) }))
        return reports
      }
      // Of one that has ended nobody can say any more whether its start had failed; that it was ordered is known.
      const hasStarted = record.started || (state._tag === "Starting" && record.exit !== null)
      if (state._tag === "Starting" && !hasStarted) tell(Report.StartFailed())
      if ((state._tag === "Starting" || state._tag === "Created") && hasStarted) tell(Report.StartDone({ at: now }))
      if (state._tag === "Pausing") tell(record.paused ? Report.PauseDone() : Report.PauseFailed())
      if (state._tag === "Resuming") tell(record.paused ? Report.ResumeFailed() : Report.ResumeDone())
      if (record.oomCount !== undefined) tell(Report.Oom({ count: record.oomCount }))
      // What the host brought to its end for a daemon that was gone.
      if (state._tag === "Running" && record.paused && record.exit === null) tell(Report.PauseDone())
      if (state._tag === "Paused" && !record.paused && record.exit === null) tell(Report.ResumeDone())
      if (record.exit !== null) tell(Report.Exited({ exit: record.exit }))
      return reports
  }
}

/** The answer to whoever had asked and is gone. */
const late = (change: Extract<HostEvent, { readonly _tag: "Changed" }>["change"], at: DateTime.Utc) => {
  switch (change) {
    case "started":
      return Report.StartDone({ at })
    case "paused":
      return Report.PauseDone()
    case "resumed":
      return Report.ResumeDone()
  }
}

/** Milliseconds between two watches: twice as many after each that does not come so far as to bring a snapshot, for each may cost the start of a shim. */
const [firstPause, longestPause] = [100, 5_000]

/** States in which an operation is waiting for the host's answer. */
const underWay: ReadonlySet<TaskState["_tag"]> = new Set(["Creating", "Starting", "Pausing", "Resuming", "Deleting"])

const isBusy = ({ execs, task }: Tree, execId: ExecId | null): boolean => {
  // The deletion of what was half-made may have nobody who waits for it, and must be asked for again.
  if (task.state._tag === "Deleting" && task.state.identity === null) return false
  if (execId === null) return underWay.has(task.state._tag)
  const state = execs.get(execId)?.state._tag
  return state === "Starting" || state === "Deleting"
}

const make = Effect.gen(function* () {
  const actors = yield* Actors
  const host = yield* ProcessHost
  const store = yield* MetadataStore
  const settled = yield* Deferred.make<void>()
  /** Watches since the last that brought a snapshot. */
  let futile = 0

  /** What there was before the snapshot was asked for: of what came later it need know nothing. */
  type Before = ReadonlyArray<readonly [TaskActor, Tree]>

  const onSnapshot = Effect.fnUntraced(function* (
    snapshot: ReadonlyArray<HostedRecord>,
    before: Before,
    boot: boolean
  ) {
    const now = yield* DateTime.now
    const records = new Map(snapshot.map((record) => [processKey(record.ref), record]))
    for (const [actor, tree] of before) {
      for (const report of settle(tree, records, now)) {
        // After boot, operations under way still have their callers: they get their own answers. An exit that was missed is told to them too.
        // And where their host died behind its deed, theirs is that error, and the task runs.
        const isFact = report.input._tag === "Exited" || (report.execId === null && report.input._tag === "StartDone")
        if (boot || isFact || !isBusy(tree, report.execId)) yield* actor.tell(report)
      }
      const exit = records.get(
        processKey({ namespace: tree.task.namespace, containerId: tree.task.id, execId: null })
      )?.exit
      if (!boot && tree.task.state._tag === "Creating" && exit) {
        yield* actor.tell({ execId: null, input: Report.Exited({ exit }) })
      }
    }
    const known = new Set(
      actors
        .all()
        .map((actor) => containerKey({ namespace: actor.read().task.namespace, containerId: actor.read().task.id }))
    )
    for (const { ref, started } of snapshot) {
      if (ref.execId !== null || known.has(containerKey(ref))) continue
      // One that cannot be read has no actor, and is a task all the same.
      const stored = yield* Effect.result(store.task(ref.namespace, ref.containerId))
      if (stored._tag === "Failure") {
        yield* Effect.logWarning(
          `what the shim holds of "${containerKey(ref)}" is left alone: ${stored.failure.message}`
        )
      }
      if (stored._tag === "Failure" || Option.isSome(stored.success)) continue
      // Made for a daemon that did not live to write it down. One that runs is somebody's, whatever has become of the store.
      if (boot && !started) {
        yield* Effect.ignore(Effect.forkScoped(host.delete(ref)))
        continue
      }
      actors.operations.strangers.add(containerKey(ref))
      yield* Effect.logWarning(`the shim holds "${containerKey(ref)}", of which the store knows nothing`)
    }
  })

  const onEvent = (before: Before, boot: boolean) =>
    Effect.fnUntraced(function* (event: HostEvent) {
      if (event._tag === "Snapshot") {
        futile = 0
        yield* onSnapshot(event.records, before, boot)
        return yield* Deferred.succeed(settled, undefined)
      }
      const actor = actors.get(event.ref.namespace, event.ref.containerId)
      if (actor === undefined) return
      if (event._tag === "Oom") return yield* actor.tell({ execId: null, input: Report.Oom({ count: event.count }) })
      if (event._tag === "Changed") {
        return yield* actor.tell({ execId: null, input: late(event.change, yield* DateTime.now) })
      }
      const { execId } = event.ref
      yield* actor.tell(
        execId === null
          ? { execId, input: Report.Exited({ exit: event.exit }) }
          : { execId, input: ProcessMachine.Report.Exited({ exit: event.exit }) }
      )
    })

  yield* Effect.forEach(
    yield* store.tasks,
    ({ processes, task }) =>
      actors.spawn({ task, execs: new Map(processes.map((record) => [record.id, record])), held: null }),
    { discard: true }
  )

  yield* Effect.suspend(() => {
    const before = actors.all().map((actor) => [actor, actor.read()] as const)
    return Stream.runForEach(host.watch, onEvent(before, !Deferred.isDoneUnsafe(settled)))
  }).pipe(
    // However a watch ends, the next one begins: a daemon that does not watch would never learn of another exit.
    Effect.exit,
    Effect.flatMap((end) =>
      Exit.isFailure(end)
        ? Effect.logWarning("the watch of the shim ended and begins anew:", told(end.cause))
        : Effect.void
    ),
    Effect.andThen(Effect.suspend(() => Effect.sleep(Math.min(firstPause * 2 ** futile++, longestPause)))),
    Effect.forever,
    Effect.forkScoped
  )
  // Nobody is served before: a task that is made meanwhile would look like one that was left half-made.
  yield* Deferred.await(settled)
})

export const layer = Layer.effectDiscard(make)
