/**
 * What was committed, as it was committed: a second copy of the store, kept by whoever stands at its door. Every commit is judged here before the next turn is
 * taken: the log without gap and in the order of time, each event as the model allows it, each record as the events tell it, each exit as the machine saw it.
 */
import { DateTime } from "effect"
import type { Container } from "../../src/schema/Container.ts"
import type { Event } from "../../src/schema/Events.ts"
import type { ProcessRecord, TaskRecord } from "../../src/schema/TaskState.ts"
import type { Change } from "../../src/services/MetadataStore.ts"
import { agreed, agreedExec, makeModel } from "./Model.ts"
import type { Status } from "./Model.ts"
import type { Truth } from "./Truth.ts"

/** How it stood with one id from some moment on. */
export interface Moment {
  readonly at: number
  /** By its events. */
  readonly status: Status
  readonly container: Container | null
  readonly task: TaskRecord | null
  readonly execs: ReadonlyMap<string, ProcessRecord>
}

const beginning: Moment = { at: -Infinity, status: "none", container: null, task: null, execs: new Map() }

export interface Ledger {
  readonly events: ReadonlyArray<Event>
  readonly containers: ReadonlyMap<string, Container>
  readonly tasks: ReadonlyMap<string, TaskRecord>
  /** By container, then by exec. */
  readonly processes: ReadonlyMap<string, ReadonlyMap<string, ProcessRecord>>
  /** How many tasks of that id were ever removed from the store. */
  readonly removals: (id: string) => number
  readonly last: () => number
  readonly at: (seq: number) => Event | undefined
  /** The status that events have told. */
  readonly status: (id: string) => Status
  /** How it stood with that id then, and each time that this has changed since. */
  readonly moments: (id: string, since: number) => ReadonlyArray<Moment>
  readonly record: (changes: ReadonlyArray<Change>, events: ReadonlyArray<Event>) => void
}

export const make = (
  truth: Truth,
  now: () => number,
  wrong: (what: string) => void,
  log: (line: string) => void
): Ledger => {
  const model = makeModel()
  const events: Array<Event> = []
  const containers = new Map<string, Container>()
  const tasks = new Map<string, TaskRecord>()
  const processes = new Map<string, Map<string, ProcessRecord>>()
  const removals = new Map<string, number>()
  const history = new Map<string, Array<Moment>>()

  const keep = (change: Change) => {
    switch (change._tag) {
      case "PutContainer": {
        // Each update is of one label: whatever else is different was somebody else's, and is lost.
        const { id, labels } = change.container
        const before = containers.get(id)?.labels ?? {}
        const changed = Object.keys({ ...before, ...labels }).filter((key) => before[key] !== labels[key])
        if (changed.length > 1) wrong(`an update of ${id} has changed ${changed.join(" and ")}`)
        containers.set(id, change.container)
        return
      }
      case "InsertContainer":
        containers.set(change.container.id, change.container)
        return
      case "DeleteContainer":
        containers.delete(change.id)
        return
      case "InsertTask":
      case "PutTask":
        tasks.set(change.record.id, change.record)
        return
      case "DeleteTask":
        tasks.delete(change.id)
        processes.delete(change.id)
        removals.set(change.id, (removals.get(change.id) ?? 0) + 1)
        return
      case "InsertProcess":
      case "PutProcess": {
        const { record } = change
        processes.set(record.containerId, (processes.get(record.containerId) ?? new Map()).set(record.id, record))
        return
      }
      case "DeleteProcess":
        processes.get(change.containerId)?.delete(change.id)
        return
      // Nobody reads by name here.
      case "PutConsumer":
      case "DeleteConsumer":
    }
  }

  /** Of an exec that is deleted no event tells, so that the model is told here. */
  const forget = (change: Change) => {
    if (change._tag !== "DeleteProcess") return
    const execs = model.containers.get(change.containerId)?.execs
    if (execs?.get(change.id) === "started") {
      wrong(`exec ${change.id} of ${change.containerId} is forgotten, and its exit was never told`)
    }
    execs?.delete(change.id)
  }

  const judge = (id: string) => {
    const told = model.containers.get(id)
    const record = tasks.get(id)
    const status = told?.status ?? "none"
    const expected: ReadonlyArray<Status> = record === undefined ? ["none"] : agreed(record.state)
    if (!expected.includes(status)) {
      wrong(`${id} is ${record?.state._tag ?? "not there"} in the store, and ${status} by its events`)
    }
    if (containers.has(id) !== (told !== undefined)) wrong(`container ${id}: the store and its events disagree`)
    const execs = processes.get(id) ?? new Map<string, ProcessRecord>()
    for (const [execId, { state }] of execs) {
      const found = told?.execs.get(execId) ?? null
      if (agreedExec(state) !== found) wrong(`exec ${execId} of ${id} is ${state._tag}, and ${found} by its events`)
    }
    for (const execId of told?.execs.keys() ?? []) {
      if (!execs.has(execId)) wrong(`exec ${execId} of ${id} is gone, and there by its events`)
    }
  }

  return {
    events,
    containers,
    tasks,
    processes,
    removals: (id) => removals.get(id) ?? 0,
    last: () => events.at(-1)?.seq ?? 0,
    at: (seq) => events[seq - 1],
    status: (id) => model.containers.get(id)?.status ?? "none",
    moments: (id, since) => {
      const all = [beginning, ...(history.get(id) ?? [])]
      return all.slice(all.findLastIndex(({ at }) => at < since))
    },
    record: (changes, fresh) => {
      changes.forEach(keep)
      for (const event of fresh) {
        log(`event ${show(event)}`)
        if (event.seq !== events.length + 1) wrong(`event ${event.seq} comes after ${events.length}`)
        const before = events.at(-1)
        if (before !== undefined && DateTime.isGreaterThan(before.time, event.time)) {
          wrong(`event ${event.seq} is older than the one before`)
        }
        events.push(event)
        const refused = model.step(event)
        if (refused !== null) wrong(`event ${show(event)}: ${refused}`)
        if (event.topic === "/tasks/exit") {
          const { containerId, execId, ...exit } = event.event
          const untrue = truth.check({ namespace: event.namespace, containerId, execId }, exit)
          if (untrue !== null) wrong(`event ${show(event)}: ${untrue}`)
        }
      }
      changes.forEach(forget)
      const touched = new Set<string>()
      for (const change of changes) {
        if (change._tag === "PutConsumer" || change._tag === "DeleteConsumer") continue
        touched.add(
          "container" in change
            ? change.container.id
            : "record" in change
              ? "containerId" in change.record
                ? change.record.containerId
                : change.record.id
              : "containerId" in change
                ? change.containerId
                : change.id
        )
      }
      for (const { event } of fresh) touched.add("containerId" in event ? event.containerId : event.id)
      for (const id of touched) {
        judge(id)
        const status = model.containers.get(id)?.status ?? "none"
        const moment = {
          at: now(),
          status,
          container: containers.get(id) ?? null,
          task: tasks.get(id) ?? null,
          execs: new Map(processes.get(id))
        }
        history.set(id, [...(history.get(id) ?? []), moment])
      }
    }
  }
}

/** An event in one line. */
export const show = ({ event, seq, topic }: Event): string =>
  [
    `${seq} ${topic}`,
    "containerId" in event ? event.containerId : event.id,
    ...("execId" in event && event.execId !== null ? [event.execId] : []),
    ...("exitStatus" in event ? [`status ${event.exitStatus}`] : []),
    ...("pid" in event ? [`pid ${event.pid}`] : []),
    ...("source" in event ? [event.source] : [])
  ].join(" ")
