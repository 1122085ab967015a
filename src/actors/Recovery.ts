/**
 * Keeps actors and host agreeing. At boot it revives an actor for every stored task; then it watches the host for as long as the daemon lives: a snapshot
 * settles what each task missed, later events are passed on. When the host dies it watches the next one.
 */
import { DateTime, Effect, Layer, Schedule, Stream } from "effect"
import type { HostedRecord, HostEvent } from "../schema/Host.ts"
import { containerKey, processKey } from "../schema/Ids.ts"
import type { Exit } from "../schema/Process.ts"
import type { Identity } from "../schema/TaskState.ts"
import { MetadataStore } from "../services/MetadataStore.ts"
import { ProcessHost } from "../services/ProcessHost.ts"
import { Actors } from "./Actors.ts"
import * as ProcessMachine from "./ProcessMachine.ts"
import type { TaskActor } from "./TaskActor.ts"
import * as TaskMachine from "./TaskMachine.ts"
import type { Addressed } from "./TaskTree.ts"

const { Report } = TaskMachine

/** The end of a process that nobody saw. */
const lost = (id: string, identity: Identity, exitedAt: DateTime.Utc): Exit => ({
  id,
  pid: identity.pid,
  exitStatus: 255,
  exitedAt,
  oomKilled: false,
  source: "unknown"
})

/** What a task in this state must be told, given what the host holds of it (undefined: nothing). Pure. */
export const settle = (
  actor: Pick<TaskActor, "read">,
  records: ReadonlyMap<string, HostedRecord>,
  now: DateTime.Utc
): ReadonlyArray<Addressed> => {
  const { execs, task } = actor.read()
  const ref = { namespace: task.namespace, containerId: task.id }
  const reports: Array<Addressed> = []
  const tell = (input: TaskMachine.Input) => reports.push({ execId: null, input })
  for (const [execId, { state }] of execs) {
    const record = records.get(processKey({ ...ref, execId }))
    const say = (input: ProcessMachine.Input) => reports.push({ execId, input })
    if (state._tag === "Starting") {
      say(
        record === undefined
          ? ProcessMachine.Report.StartFailed()
          : ProcessMachine.Report.StartDone({ identity: record.identity, at: now })
      )
    }
    if (record?.exit) say(ProcessMachine.Report.Exited({ exit: record.exit }))
    else if (record === undefined && state._tag === "Running") {
      say(ProcessMachine.Report.Exited({ exit: lost(execId, state.identity, now) }))
    } else if (state._tag === "Deleting") say(ProcessMachine.Report.DeleteDone())
  }
  const record = records.get(processKey({ ...ref, execId: null }))
  const { state } = task
  switch (state._tag) {
    case "Creating":
      // Whoever asked has been told that it failed.
      return [{ execId: null, input: TaskMachine.Command.Delete({ force: true }) }]
    case "Deleting":
      return [...reports, { execId: null, input: TaskMachine.Command.Delete({ force: true }) }]
    case "Stopped":
    case "Deleted":
      return reports
    default:
      if (record === undefined) {
        if (state._tag === "Starting") tell(Report.StartFailed())
        tell(Report.Exited({ exit: lost(task.id, state.identity, now) }))
        return reports
      }
      if (state._tag === "Starting" || state._tag === "Created") {
        if (state._tag === "Starting" && !record.started) tell(Report.StartFailed())
        if (state._tag === "Starting" && record.started) tell(Report.StartDone({ at: now }))
      }
      if (state._tag === "Pausing") tell(record.paused ? Report.PauseDone() : Report.PauseFailed())
      if (state._tag === "Resuming") tell(record.paused ? Report.ResumeFailed() : Report.ResumeDone())
      if (record.exit !== null) tell(Report.Exited({ exit: record.exit }))
      return reports
  }
}

const make = Effect.gen(function* () {
  const actors = yield* Actors
  const host = yield* ProcessHost
  const store = yield* MetadataStore

  const onSnapshot = Effect.fnUntraced(function* (snapshot: ReadonlyArray<HostedRecord>, boot: boolean) {
    const now = yield* DateTime.now
    const records = new Map(snapshot.map((record) => [processKey(record.ref), record]))
    for (const actor of actors.all()) {
      const { state } = actor.read().task
      // After boot, operations under way still have their callers: they get their own answers.
      if (!boot && (state._tag === "Creating" || state._tag === "Deleting")) continue
      for (const report of settle(actor, records, now)) yield* actor.tell(report)
    }
    const known = new Set(actors.all().map((actor) => containerKey({ namespace: actor.read().task.namespace, containerId: actor.read().task.id })))
    for (const { ref } of snapshot) {
      if (ref.execId === null && !known.has(containerKey(ref))) {
        yield* Effect.logWarning(`the shim holds "${containerKey(ref)}", of which the store knows nothing`)
      }
    }
  })

  const onEvent = (boot: boolean) =>
    Effect.fnUntraced(function* (event: HostEvent) {
      if (event._tag === "Snapshot") return yield* onSnapshot(event.records, boot)
      const actor = actors.get(event.ref.namespace, event.ref.containerId)
      if (actor === undefined) return
      if (event._tag === "Oom") return yield* actor.tell({ execId: null, input: Report.Oom() })
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

  let boot = true
  yield* Stream.runForEach(host.watch, (event) => Effect.tap(onEvent(boot)(event), () => Effect.sync(() => void (boot = false)))).pipe(
    Effect.tapError((error) => Effect.logWarning(`the shim is gone, waiting for the next: ${error.message}`)),
    Effect.retry(Schedule.spaced("100 millis")),
    Effect.forkScoped
  )
})

export const layer = Layer.effectDiscard(make)
