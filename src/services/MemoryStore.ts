/**
 * The metadata store in memory: the reference for what every other store must do, and the store of tests. It forgets everything when its scope closes and
 * it copies nothing: what it is given is read-only.
 */
import { Clock, DateTime, Duration, Effect, HashMap, Layer, Option, Order, Result } from "effect"
import type { Container } from "../schema/Container.ts"
import type { Consumer, Event } from "../schema/Events.ts"
import { Seq, containerKey } from "../schema/Ids.ts"
import type { ContainerId, ExecId, Namespace } from "../schema/Ids.ts"
import { taskStatus } from "../schema/TaskState.ts"
import type { ProcessRecord, TaskRecord } from "../schema/TaskState.ts"
import { Change, MetadataStore } from "./MetadataStore.ts"
import { defaultRetention, refuse, toEvent } from "./StoreRules.ts"
import type { Refusal, Retention } from "./StoreRules.ts"

interface Held {
  readonly task: TaskRecord
  readonly processes: HashMap.HashMap<ExecId, ProcessRecord>
}

interface State {
  readonly containers: HashMap.HashMap<string, Container>
  readonly tasks: HashMap.HashMap<string, Held>
  /** By namespace and name. */
  readonly consumers: HashMap.HashMap<string, { readonly namespace: Namespace; readonly consumer: Consumer }>
}

const empty: State = { containers: HashMap.empty(), tasks: HashMap.empty(), consumers: HashMap.empty() }

const key = (namespace: Namespace, containerId: ContainerId) => containerKey({ namespace, containerId })

const withTask = (state: State, at: string, held: Held): State => ({
  ...state,
  tasks: HashMap.set(state.tasks, at, held)
})

const withProcess = (
  state: State,
  { namespace, containerId }: Pick<ProcessRecord, "namespace" | "containerId">,
  edit: (held: Held) => Result.Result<Held["processes"], Refusal>,
  missing: Refusal
): Result.Result<State, Refusal> => {
  const at = key(namespace, containerId)
  return Option.match(HashMap.get(state.tasks, at), {
    onNone: () => Result.fail(missing),
    onSome: (held) => Result.map(edit(held), (processes) => withTask(state, at, { ...held, processes }))
  })
}

const apply = (state: State, change: Change): Result.Result<State, Refusal> =>
  Change.$match(change, {
    InsertContainer: ({ container }) => {
      const at = key(container.namespace, container.id)
      return HashMap.has(state.containers, at)
        ? Result.fail(refuse.containerTaken(container.id))
        : Result.succeed({ ...state, containers: HashMap.set(state.containers, at, container) })
    },
    PutContainer: ({ container }) => {
      const at = key(container.namespace, container.id)
      const known = HashMap.get(state.containers, at)
      return Option.isSome(known) && DateTime.Equivalence(known.value.createdAt, container.createdAt)
        ? Result.succeed({ ...state, containers: HashMap.set(state.containers, at, container) })
        : Result.fail(refuse.noContainer(container.id))
    },
    DeleteContainer: ({ namespace, id }) =>
      Option.match(HashMap.get(state.tasks, key(namespace, id)), {
        onNone: () =>
          HashMap.has(state.containers, key(namespace, id))
            ? Result.succeed({ ...state, containers: HashMap.remove(state.containers, key(namespace, id)) })
            : Result.fail(refuse.noContainer(id)),
        onSome: ({ task }) => Result.fail(refuse.hasTask(id)(taskStatus(task.state)))
      }),
    InsertTask: ({ record }) => {
      const at = key(record.namespace, record.id)
      if (HashMap.has(state.tasks, at)) return Result.fail(refuse.taskTaken(record.id))
      if (!HashMap.has(state.containers, at)) return Result.fail(refuse.noContainer(record.id))
      return Result.succeed(withTask(state, at, { task: record, processes: HashMap.empty() }))
    },
    PutTask: ({ record }) => {
      const at = key(record.namespace, record.id)
      return Option.match(HashMap.get(state.tasks, at), {
        onNone: () => Result.fail(refuse.noTask(record.id)),
        onSome: (held) => Result.succeed(withTask(state, at, { ...held, task: record }))
      })
    },
    DeleteTask: ({ namespace, id }) =>
      Result.succeed({ ...state, tasks: HashMap.remove(state.tasks, key(namespace, id)) }),
    InsertProcess: ({ record }) =>
      withProcess(
        state,
        record,
        ({ processes }) =>
          HashMap.has(processes, record.id)
            ? Result.fail(refuse.execTaken(record.id))
            : Result.succeed(HashMap.set(processes, record.id, record)),
        refuse.noTask(record.containerId)
      ),
    PutProcess: ({ record }) =>
      withProcess(
        state,
        record,
        ({ processes }) =>
          HashMap.has(processes, record.id)
            ? Result.succeed(HashMap.set(processes, record.id, record))
            : Result.fail(refuse.noExec(record.id)),
        refuse.noExec(record.id)
      ),
    DeleteProcess: ({ namespace, containerId, id }) =>
      Result.orElse(
        withProcess(
          state,
          { namespace, containerId },
          ({ processes }) => Result.succeed(HashMap.remove(processes, id)),
          refuse.noExec(id)
        ),
        () => Result.succeed(state)
      ),
    PutConsumer: ({ namespace, consumer }) => {
      const at = `${namespace}/${consumer.name}`
      const known = HashMap.get(state.consumers, at)
      return Result.succeed(
        Option.isSome(known) && known.value.consumer.seq >= consumer.seq
          ? state
          : { ...state, consumers: HashMap.set(state.consumers, at, { namespace, consumer }) }
      )
    },
    DeleteConsumer: ({ namespace, name }) =>
      Result.succeed({ ...state, consumers: HashMap.remove(state.consumers, `${namespace}/${name}`) })
  })

/** The position of the first event after `seq`. */
const positionAfter = (log: ReadonlyArray<Event>, seq: Seq): number => {
  let low = 0
  let high = log.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((log[middle]?.seq ?? 0) <= seq) low = middle + 1
    else high = middle
  }
  return low
}

const prune = (log: ReadonlyArray<Event>, state: State, retention: Retention, now: number): Array<Event> => {
  const last = log.at(-1)?.seq ?? 0
  const oldest = retention.maxAge === null ? -Infinity : now - Duration.toMillis(retention.maxAge)
  const aged = log.findLast((event) => event.time.epochMilliseconds < oldest)?.seq ?? 0
  const horizon = Math.max(last - retention.maxEvents, aged)
  const exits = new Map<string, Seq>()
  for (const event of log) {
    if (event.topic !== "/tasks/exit" || event.event.execId !== null) continue
    const at = key(event.namespace, event.event.containerId)
    if (HashMap.has(state.tasks, at)) exits.set(at, event.seq)
  }
  const kept = new Set(exits.values())
  return log.filter(({ seq }) => seq > horizon || seq === last || kept.has(seq))
}

const byId = Order.mapInput(Order.String, ({ id }: { readonly id: string }) => id)
const byName = Order.mapInput(Order.String, ({ name }: Consumer) => name)
const byNamespaceAndId = Order.combine(
  Order.mapInput(Order.String, ({ task }: Held) => task.namespace),
  Order.mapInput(Order.String, ({ task }: Held) => task.id)
)

const present = ({ task, processes }: Held) => ({
  task,
  processes: HashMap.toValues(processes).sort(byId)
})

const make = (retention: Retention): MetadataStore["Service"] => {
  let state = empty
  let log: Array<Event> = []
  let last = Seq.make(0)
  let commits = 0

  const commit: MetadataStore["Service"]["commit"] = Effect.fn("MetadataStore.commit")(function* (changes, fresh) {
    const now = yield* Clock.currentTimeMillis
    // Nothing below waits: no other commit can come between reading the state and writing it.
    let next = state
    for (const change of changes) next = yield* Effect.fromResult(apply(next, change))
    const time = DateTime.makeUnsafe(now)
    const events = fresh.map((event, index) => toEvent(Seq.make(last + index + 1), time, event))
    state = next
    log.push(...events)
    last = events.at(-1)?.seq ?? last
    commits += 1
    if (commits % retention.every === 0) log = prune(log, state, retention, now)
    return events
  })

  return {
    commit,
    container: (namespace, id) => Effect.sync(() => HashMap.get(state.containers, key(namespace, id))),
    containers: (namespace) =>
      Effect.sync(() =>
        HashMap.toValues(state.containers)
          .filter((container) => container.namespace === namespace)
          .sort(byId)
      ),
    task: (namespace, id) => Effect.sync(() => Option.map(HashMap.get(state.tasks, key(namespace, id)), present)),
    tasks: Effect.sync(() => HashMap.toValues(state.tasks).sort(byNamespaceAndId).map(present)),
    events: (after, limit) =>
      Effect.sync(() => {
        const from = positionAfter(log, after)
        return log.slice(from, from + limit)
      }),
    consumers: (namespace) =>
      Effect.sync(() =>
        HashMap.toValues(state.consumers)
          .flatMap((held) => (held.namespace === namespace ? [held.consumer] : []))
          .sort(byName)
      ),
    bounds: Effect.sync(() => ({ first: log.at(0)?.seq ?? Seq.make(0), last }))
  }
}

/** The store with a retention of its own. */
export const layerWith = (retention: Retention): Layer.Layer<MetadataStore> =>
  Layer.sync(MetadataStore, () => make(retention))

export const layer: Layer.Layer<MetadataStore> = layerWith(defaultRetention)
