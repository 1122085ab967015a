/** All task actors of this daemon, and `Tasks` over them: the only way in from outside. */
import { DateTime, Effect, Fiber, Layer, Option, Schema, Stream } from "effect"
import type { NewContainer } from "../schema/Container.ts"
import type { BerthError } from "../schema/Errors.ts"
import { AlreadyExists, Internal, InvalidArgument, NotFound, WaitTimeout } from "../schema/Errors.ts"
import * as Filter from "../schema/Filter.ts"
import { containerKey } from "../schema/Ids.ts"
import type { ContainerId, ExecId } from "../schema/Ids.ts"
import { withConsoleSize } from "../schema/OciSpec.ts"
import type { OciProcess, OciSpec } from "../schema/OciSpec.ts"
import { TerminalSize } from "../schema/Process.ts"
import type {
  ByProcess,
  CreateTask,
  DeleteExec,
  DeleteTask,
  ExecTask,
  ListRequest,
  OutputRequest
} from "../schema/Requests.ts"
import type {
  ResizeRequest,
  SignalRequest,
  StdinRequest,
  StopRequest,
  UpdateTask,
  WaitRequest
} from "../schema/Requests.ts"
import type { ProcessRecord, TaskRecord } from "../schema/TaskState.ts"
import { toProcess, toTask } from "../schema/TaskState.ts"
import * as StopWishes from "../schema/StopWishes.ts"
import { CurrentNamespace } from "../services/CurrentNamespace.ts"
import { EventBus } from "../services/EventBus.ts"
import { Change, MetadataStore } from "../services/MetadataStore.ts"
import { OutputLog } from "../services/OutputLog.ts"
import { ProcessHost } from "../services/ProcessHost.ts"
import { Tasks } from "../services/Tasks.ts"
import * as ProcessMachine from "./ProcessMachine.ts"
import { addressee, ambiguity } from "./Addressee.ts"
import { Actors } from "./Actors.ts"
import { ContainerEdits } from "./ContainerEdits.ts"
import * as NewContainers from "./NewContainers.ts"
import * as StdioRules from "./StdioRules.ts"
import { makeTaskAccounts } from "./TaskAccounts.ts"
import * as TaskClean from "./TaskClean.ts"
import * as TaskMachine from "./TaskMachine.ts"
import type { Tree } from "./TaskTree.ts"
import * as TaskRun from "./TaskRun.ts"

const sigterm = 15
const sigkill = 9
const stopPatience = 10_000

// Apps that embed the services come here without a boundary that decodes.
const isSize = Schema.is(TerminalSize)

/** What runs, with the size that was asked for its terminal. */
const sized = (process: OciProcess, size: TerminalSize | undefined) => withConsoleSize(process, size ?? null)
const sizedSpec = (spec: OciSpec, size: TerminalSize | undefined): OciSpec =>
  spec.process === undefined ? spec : { ...spec, process: sized(spec.process, size) }

/** A container that is to be stored with its task. */
type Fresh = Effect.Success<ReturnType<Effect.Success<typeof NewContainers.make>["compose"]>>

const make = Effect.gen(function* () {
  const actors = yield* Actors
  const edits = yield* ContainerEdits
  const newContainers = yield* NewContainers.make
  const bus = yield* EventBus
  const store = yield* MetadataStore
  const host = yield* ProcessHost
  const outputLog = yield* OutputLog

  const find = Effect.fnUntraced(function* (id: ContainerId) {
    const namespace = yield* CurrentNamespace
    return actors.get(namespace, id) ?? (yield* new NotFound({ kind: "task", id }))
  })

  const findProcess = Effect.fnUntraced(function* ({ execId, id }: ByProcess) {
    const actor = yield* find(id)
    const { execs, task } = actor.read()
    if (execId != null && !execs.has(execId)) return yield* new NotFound({ kind: "exec", id: execId })
    return { actor, ref: { namespace: task.namespace, containerId: id, execId: execId ?? null } }
  })

  /** Stores the task, with its container where that is made together with it, and begins the creation; gives what to wait for. */
  const begin = Effect.fnUntraced(function* (request: CreateTask, fresh: Fresh | null) {
    const namespace = yield* CurrentNamespace
    const { id } = request
    const ref = { namespace, containerId: id, execId: null }
    const key = containerKey(ref)
    const prepared = Effect.gen(function* () {
      const known = yield* store.container(namespace, id)
      if (fresh !== null && Option.isSome(known)) return yield* new AlreadyExists({ kind: "container", id })
      const container = fresh?.container ?? Option.getOrUndefined(known)
      if (container === undefined) return yield* new NotFound({ kind: "container", id })
      if (actors.get(namespace, id) !== undefined) return yield* new AlreadyExists({ kind: "task", id })
      const { runtime, spec } = container
      const terminal = spec.process?.terminal === true
      const stdio = yield* StdioRules.vetted(request.stdio, terminal)
      const logFile = stdio.log._tag === "json" ? yield* outputLog.prepare(ref) : null
      const record: TaskRecord = {
        namespace,
        id,
        runtime: runtime.name,
        terminal,
        stdio,
        paths: StdioRules.paths(stdio, logFile, terminal),
        autoRemove: request.autoRemove ?? false,
        ...(fresh === null ? {} : { withContainer: true }),
        oomCount: 0,
        createdAt: yield* DateTime.now,
        state: { _tag: "Creating", exit: null }
      }
      const order = actors.operations.create({
        namespace,
        containerId: id,
        runtime: runtime.name,
        spec: sizedSpec(spec, request.size),
        stdio,
        logFile
      })
      return { order, record }
    })
    /** Of a container that is not to be nobody will remove the log. */
    const unlogged = (error: BerthError) =>
      fresh === null || error._tag === "AlreadyExists" || actors.operations.strangers.has(key)
        ? Effect.void
        : outputLog.remove(ref)
    const inserted = fresh === null ? [] : [Change.InsertContainer({ container: fresh.container })]
    return yield* Effect.uninterruptibleMask((restore) =>
      edits.inTurn(
        key,
        Effect.gen(function* () {
          const { order, record } = yield* restore(prepared)
          yield* Effect.tapError(
            bus.commit([...inserted, Change.InsertTask({ record })], fresh === null ? [] : [fresh.event]),
            unlogged
          )
          const actor = yield* actors.spawn({ task: record, execs: new Map(), held: null })
          return { created: Effect.map(yield* actor.begin(order), ({ task }) => toTask(task)) }
        })
      )
    )
  })

  // A caller that goes away in between would leave a task without an actor.
  const create = Effect.fn("Tasks.create")((request: CreateTask) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(begin(request, null)), ({ created }) => restore(created))
    )
  )

  /** Container and task in one, so that neither is there without the other whenever the daemon ends. */
  const createBoth = Effect.fnUntraced(function* (container: NewContainer, request: CreateTask) {
    return yield* begin(request, yield* newContainers.compose(container))
  })

  const command = (name: string, input: TaskMachine.Command) =>
    Effect.fn(`Tasks.${name}`)(function* (id: ContainerId) {
      const actor = yield* find(id)
      return toTask((yield* actor.command({ execId: null, input })).task)
    })

  const list = Effect.fn("Tasks.list")(function* ({ filters }: ListRequest) {
    const namespace = yield* CurrentNamespace
    const wanted = yield* Effect.fromResult(Filter.parseAll(filters ?? []))
    const tasks = actors.list(namespace).map((actor) => toTask(actor.read().task))
    if (wanted.length === 0) return tasks
    const containers = new Map((yield* store.containers(namespace)).map((container) => [container.id, container]))
    return tasks.filter((task) => Filter.matches(wanted, Filter.taskFields(task, containers.get(task.id) ?? null)))
  })

  const signal = Effect.fn("Tasks.signal")(function* (request: SignalRequest) {
    const problem = ambiguity(request)
    if (problem !== null) return yield* new InvalidArgument({ field: "pid", problem })
    const { actor, ref } = yield* findProcess(request)
    const { execId, input } = addressee(actor.read(), request, ref.execId)
    yield* execId === null ? actor.command({ execId, input }) : actor.command({ execId, input })
  })

  /** How its container wants to be stopped; labels that make no sense ask for nothing. */
  const wishes = Effect.fnUntraced(function* (id: ContainerId) {
    const container = yield* store.container(yield* CurrentNamespace, id)
    return Option.isSome(container) ? StopWishes.read(container.value.labels) : {}
  })

  const stop = Effect.fn("Tasks.stop")(function* (request: StopRequest) {
    const { id } = request
    const actor = yield* find(id)
    const { signal, timeoutMillis } = { ...(yield* wishes(id)), ...request }
    const send = (signal: number) =>
      actor.command({ execId: null, input: TaskMachine.Command.Signal({ signal, all: false }) })
    const ended = actor.exit(null)
    const first = yield* Effect.result(send(signal ?? sigterm))
    if (first._tag === "Failure") {
      if (first.failure._tag !== "NotFound") return yield* first.failure
      return { stage: "already-stopped" as const, exit: yield* ended }
    }
    // A frozen process would sleep through the signal,
    const isPaused = ({ task }: Tree) => task.state._tag === "Paused"
    const thaw = Effect.ignore(actor.command({ execId: null, input: TaskMachine.Command.Resume() }))
    const frozen = isPaused(actor.read())
    if (frozen) yield* thaw
    // also one whose pause was under way when the signal came.
    const thawed = frozen ? Effect.never : Effect.andThen(Effect.andThen(actor.until(isPaused), thaw), Effect.never)
    const exit = yield* Effect.timeoutOption(Effect.raceFirst(ended, thawed), timeoutMillis ?? stopPatience)
    if (Option.isSome(exit)) return { stage: "signal" as const, exit: exit.value }
    yield* Effect.catchTag(send(sigkill), "NotFound", () => Effect.void)
    return { stage: "kill" as const, exit: yield* ended }
  })

  const update = Effect.fn("Tasks.update")(function* (change: UpdateTask) {
    const actor = yield* find(change.id)
    const { updated } = yield* actor.command({ execId: null, input: TaskMachine.Command.Update({ change }) })
    return updated ?? (yield* new Internal({ reference: `update of ${change.id}` }))
  })

  const wait = Effect.fn("Tasks.wait")(function* ({ execId, id, timeoutMillis }: WaitRequest) {
    const actor = yield* find(id)
    const exit = actor.exit(execId ?? null)
    if (timeoutMillis === undefined) return yield* exit
    return yield* Effect.timeoutOrElse(exit, {
      duration: timeoutMillis,
      orElse: () => Effect.fail(new WaitTimeout({ id: execId ?? id, milliseconds: timeoutMillis }))
    })
  })

  const remove = Effect.fn("Tasks.delete")(function* ({ force, id }: DeleteTask) {
    const actor = yield* find(id)
    const { state } = (yield* actor.command({
      execId: null,
      input: TaskMachine.Command.Delete({ force: force ?? false })
    })).task
    return state._tag === "Deleted" ? state.exit : null
  })

  const pids = Effect.fn("Tasks.pids")(function* (id: ContainerId) {
    const { ref } = yield* findProcess({ id })
    return yield* host.pids(ref)
  })

  const exec = Effect.fn("Tasks.exec")(function* (request: ExecTask) {
    const actor = yield* find(request.id)
    const { namespace } = actor.read().task
    const stdio = yield* StdioRules.vetted(request.stdio, request.process.terminal === true)
    const ref = { namespace, containerId: request.id, execId: request.execId }
    const logFile = stdio.log._tag === "json" ? yield* outputLog.prepare(ref) : null
    const record: ProcessRecord = {
      namespace,
      containerId: request.id,
      id: request.execId,
      spec: sized(request.process, request.size),
      stdio,
      paths: StdioRules.paths(stdio, logFile, request.process.terminal === true),
      createdAt: yield* DateTime.now,
      state: { _tag: "Created" }
    }
    // Where it is refused, its log goes again; with another exec of that id it is that one's.
    yield* actor
      .addExec(record)
      .pipe(
        Effect.onError(() =>
          logFile === null || actor.read().execs.has(record.id) ? Effect.void : outputLog.remove(ref)
        )
      )
    return toProcess(record)
  })

  const execCommand = Effect.fnUntraced(function* (id: ContainerId, execId: ExecId, input: ProcessMachine.Command) {
    const actor = yield* find(id)
    const tree = yield* actor.command({ execId, input })
    return tree.execs.get(execId)
  })

  const startExec = Effect.fn("Tasks.startExec")(function* ({ execId, id }: ByProcess) {
    if (execId == null) return yield* new InvalidArgument({ field: "execId", problem: "missing" })
    const record = yield* execCommand(id, execId, ProcessMachine.Command.Start())
    return record === undefined ? yield* new NotFound({ kind: "exec", id: execId }) : toProcess(record)
  })

  const deleteExec = Effect.fn("Tasks.deleteExec")(function* ({ execId, force, id }: DeleteExec) {
    const actor = yield* find(id)
    const ended = yield* Effect.forkChild(Effect.option(actor.exit(execId)), { startImmediately: true })
    yield* actor.command({ execId, input: ProcessMachine.Command.Delete({ force: force ?? false }) })
    // Of one that was never started it fails with the deletion.
    return Option.getOrNull(yield* Fiber.join(ended))
  })

  const processes = Effect.fn("Tasks.processes")(function* (id: ContainerId) {
    const actor = yield* find(id)
    return Array.from(actor.read().execs.values(), toProcess)
  })

  const output = (request: OutputRequest) =>
    Stream.unwrap(
      Effect.map(findProcess(request), ({ actor, ref }) =>
        outputLog.read(ref, {
          ended: request.follow === true ? Effect.ignore(actor.exit(ref.execId)) : null,
          live: request.live === true,
          tail: request.tail ?? null,
          since: request.since ?? null,
          stream: request.stream ?? null
        })
      )
    )

  const writeStdin = Effect.fn("Tasks.writeStdin")(function* (request: StdinRequest) {
    const { ref } = yield* findProcess(request)
    yield* host.writeStdin({ ref, bytes: request.bytes })
  })

  const closeStdin = Effect.fn("Tasks.closeStdin")(function* (request: ByProcess) {
    const { ref } = yield* findProcess(request)
    yield* host.closeStdin(ref)
  })

  const resize = Effect.fn("Tasks.resize")(function* ({ execId, height, id, width }: ResizeRequest) {
    const { actor, ref } = yield* findProcess({ id, execId: execId ?? null })
    if (!isSize({ width, height })) {
      return yield* new InvalidArgument({ field: "size", problem: `no terminal can have ${width} by ${height}` })
    }
    const { execs, task } = actor.read()
    const exec = ref.execId === null ? undefined : execs.get(ref.execId)
    const hasTerminal = exec === undefined ? task.terminal : exec.spec.terminal === true
    if (hasTerminal) yield* host.resize({ ref, width, height })
  })

  const start = command("start", TaskMachine.Command.Start())
  const clean = TaskClean.make(actors, remove)

  return Tasks.of({
    ...TaskRun.make({ createBoth, start, wait, output, writeStdin, closeStdin }, clean),
    create,
    start,
    get: Effect.fn("Tasks.get")(function* (id: ContainerId) {
      return toTask((yield* find(id)).read().task)
    }),
    list,
    signal,
    stop,
    pause: command("pause", TaskMachine.Command.Pause()),
    resume: command("resume", TaskMachine.Command.Resume()),
    update,
    wait,
    delete: remove,
    clean,
    pids,
    ...makeTaskAccounts({ actors, host }),
    exec,
    startExec,
    deleteExec,
    processes,
    output,
    writeStdin,
    closeStdin,
    resize
  })
})

export const layer = Layer.effect(Tasks, make)
