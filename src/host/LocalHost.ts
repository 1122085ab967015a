/**
 * `ProcessHost` over the ports of one machine: drivers, reaper, stdio and task folders. It runs in the shim, in an embedding process, and on the mock. What it
 * owns: the order in which an exit becomes known (output complete, record on disk, then told; execs before their init), and that a create or an exec that
 * fails or is interrupted leaves nothing behind.
 */
import { DateTime, Deferred, Effect, Exit as Outcome, Fiber, Layer, Option, Schedule, Scope } from "effect"
import { AlreadyExists, NotFound, Unavailable } from "../schema/Errors.ts"
import type { ContainerRef, CreateRequest, DeleteResult, ExecRequest, Hosted, HostedRecord, Ref } from "../schema/Host.ts"
import type { ExecId } from "../schema/Ids.ts"
import { containerKey, processKey } from "../schema/Ids.ts"
import type { Exit } from "../schema/Process.ts"
import type { Driver, Target } from "../services/OciRuntime.ts"
import { OciRuntime } from "../services/OciRuntime.ts"
import type { HostError } from "../services/ProcessHost.ts"
import { ProcessHost } from "../services/ProcessHost.ts"
import type { OpenIo } from "../services/ProcessIo.ts"
import { ProcessIo } from "../services/ProcessIo.ts"
import type { Child } from "../services/ProcessReaper.ts"
import { ProcessReaper } from "../services/ProcessReaper.ts"
import { TaskDirectory } from "../services/TaskDirectory.ts"
import { makeWatchers } from "./Watchers.ts"

interface Live {
  record: HostedRecord
  readonly io: OpenIo
  /** Closing it closes the process's descriptors. */
  readonly scope: Scope.Closeable
  /** Completes when the exit is on disk and told. */
  readonly told: Deferred.Deferred<Exit>
}

interface Container {
  readonly target: Target
  readonly driver: Driver
  readonly init: Live
  readonly execs: Map<ExecId, Live>
}

const sigkill = 9
/** How long a deletion waits for processes that it killed; past it the runtime is asked to force. */
const killPatience = "10 seconds"

const make = Effect.gen(function* () {
  const runtime = yield* OciRuntime
  const reaper = yield* ProcessReaper
  const processIo = yield* ProcessIo
  const directory = yield* TaskDirectory
  const scope = yield* Effect.scope
  const containers = new Map<string, Container>()
  const creating = new Map<string, Fiber.Fiber<Hosted, HostError>>()

  const records = () =>
    Array.from(containers.values()).flatMap(({ execs, init }) => [
      ...Array.from(execs.values(), (exec) => exec.record),
      init.record
    ])
  const watchers = yield* makeWatchers(records)

  const find = (ref: ContainerRef) =>
    Effect.suspend(() => {
      const container = containers.get(containerKey(ref))
      return container === undefined
        ? Effect.fail(new NotFound({ kind: "task", id: ref.containerId }))
        : Effect.succeed(container)
    })
  const findProcess = Effect.fnUntraced(function* (ref: Ref) {
    const container = yield* find(ref)
    const live = ref.execId === null ? container.init : container.execs.get(ref.execId)
    return live ?? (yield* new NotFound({ kind: "exec", id: ref.execId ?? "" }))
  })

  /** An exit is never dropped: while the disk is full, saving it is tried again. */
  const save = (live: Live, record: HostedRecord) =>
    Effect.andThen(
      Effect.sync(() => {
        live.record = record
      }),
      directory.save(record)
    )

  /** From the end of the process to everybody knowing it. */
  const conclude = Effect.fnUntraced(function* (live: Live, child: Child, before: Effect.Effect<void>) {
    const reaped = yield* child.exit
    yield* before
    yield* live.io.drained
    const { ref, identity } = live.record
    const exit: Exit = {
      id: ref.execId ?? ref.containerId,
      pid: identity.pid,
      oomKilled: false,
      exitStatus: reaped.exitStatus,
      exitedAt: reaped.exitedAt,
      source: reaped.source
    }
    yield* save(live, { ...live.record, exit }).pipe(
      Effect.tapError((error) => Effect.logWarning(`exit of ${processKey(ref)} not saved yet: ${error.message}`)),
      Effect.retry(Schedule.spaced("1 second")),
      Effect.orDie
    )
    yield* watchers.tell({ _tag: "Exited", ref, exit })
    yield* Deferred.succeed(live.told, exit)
  })

  /** What must have happened before the exit of init is told: no exec of the container is left, and each one's exit is told. */
  const execsGone = (execs: Map<ExecId, Live>) =>
    Effect.suspend(() => {
      const left = Array.from(execs.values()).filter((exec) => exec.record.exit === null)
      return Effect.forEach(left, (exec) => reaper.signal(exec.record.identity, sigkill), { discard: true }).pipe(
        Effect.andThen(Effect.forEach(left, (exec) => Deferred.await(exec.told), { discard: true }))
      )
    })

  const watch = (live: Live, child: Child, before: Effect.Effect<void> = Effect.void) =>
    Effect.forkIn(conclude(live, child, before), scope)

  const createContainer = Effect.fnUntraced(function* (request: CreateRequest) {
    const ref: Ref = { namespace: request.namespace, containerId: request.containerId, execId: null }
    const driver = yield* runtime.driver(request.runtime)
    const bundle = yield* directory.create(request.namespace, request.containerId, request.spec)
    const target: Target = { namespace: request.namespace, containerId: request.containerId, bundle }
    const processScope = yield* Scope.fork(scope)
    let created = false
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const io = yield* processIo
          .open({ ref, stdio: request.stdio, directory: bundle, logFile: request.logFile })
          .pipe(Scope.provide(processScope))
        const pid = yield* Effect.ensuring(restore(driver.create(target, io.descriptors)), io.handOver)
        created = true
        const child = yield* reaper.claim(pid)
        const record: HostedRecord = {
          ref,
          runtime: request.runtime,
          identity: child.identity,
          started: false,
          paused: false,
          stdio: request.stdio,
          logFile: request.logFile,
          exit: null
        }
        yield* directory.save(record)
        const live: Live = { record, io, scope: processScope, told: yield* Deferred.make<Exit>() }
        const execs = new Map<ExecId, Live>()
        containers.set(containerKey(ref), { target, driver, init: live, execs })
        yield* watch(live, child, execsGone(execs))
        return { identity: child.identity, bundle, stdin: request.stdio.stdin ? `${bundle}/stdin` : null }
      })
    ).pipe(
      Effect.onExit((exit) =>
        Outcome.isSuccess(exit)
          ? Effect.void
          : (created ? driver.delete(target, { force: true }) : Effect.void).pipe(
              Effect.andThen(Scope.close(processScope, Outcome.void)),
              Effect.andThen(directory.remove(ref)),
              Effect.catch((error) => Effect.logWarning(`rollback of ${processKey(ref)}: ${error.message}`))
            )
      )
    )
  })

  const create = Effect.fn("ProcessHost.create")(function* (request: CreateRequest) {
    const key = containerKey(request)
    if (containers.has(key) || creating.has(key)) {
      return yield* new AlreadyExists({ kind: "task", id: request.containerId })
    }
    // A fiber of its own, so that a deletion can end it whoever asked for it.
    const fiber = yield* Effect.forkIn(createContainer(request), scope)
    creating.set(key, fiber)
    return yield* Fiber.join(fiber).pipe(
      Effect.onInterrupt(() => Fiber.interrupt(fiber)),
      Effect.ensuring(Effect.sync(() => creating.delete(key)))
    )
  })

  const start = Effect.fn("ProcessHost.start")(function* (ref: ContainerRef) {
    const { driver, init, target } = yield* find(ref)
    yield* driver.start(target)
    yield* save(init, { ...init.record, started: true })
  })

  const exec = Effect.fn("ProcessHost.exec")(function* (request: ExecRequest) {
    const { driver, execs, init, target } = yield* find(request)
    const { execId } = request
    const ref: Ref = { namespace: request.namespace, containerId: request.containerId, execId }
    if (execs.has(execId)) return yield* new AlreadyExists({ kind: "exec", id: execId })
    const processScope = yield* Scope.fork(scope)
    const folder = yield* directory.prepareExec(request.namespace, request.containerId, execId)
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const io = yield* processIo
          .open({ ref, stdio: request.stdio, directory: folder, logFile: request.logFile })
          .pipe(Scope.provide(processScope))
        const starting = restore(driver.exec(target, execId, request.process, io.descriptors))
        const pid = yield* Effect.ensuring(starting, io.handOver)
        const child = yield* reaper.claim(pid)
        const record: HostedRecord = {
          ref,
          runtime: init.record.runtime,
          identity: child.identity,
          started: true,
          paused: false,
          stdio: request.stdio,
          logFile: request.logFile,
          exit: null
        }
        const live: Live = { record, io, scope: processScope, told: yield* Deferred.make<Exit>() }
        execs.set(execId, live)
        yield* watch(live, child)
        yield* directory.save(record)
        return { identity: child.identity, bundle: target.bundle, stdin: request.stdio.stdin ? `${folder}/stdin` : null }
      })
    ).pipe(
      Effect.onExit((exit) =>
        Outcome.isSuccess(exit)
          ? Effect.void
          : Effect.suspend(() => {
              const live = execs.get(execId)
              execs.delete(execId)
              return live === undefined ? Effect.void : reaper.signal(live.record.identity, sigkill)
            }).pipe(
              Effect.andThen(Scope.close(processScope, Outcome.void)),
              Effect.andThen(directory.remove(ref)),
              Effect.catch((error) => Effect.logWarning(`rollback of ${processKey(ref)}: ${error.message}`))
            )
      )
    )
  })

  const signal = Effect.fn("ProcessHost.signal")(function* (request: {
    readonly ref: Ref
    readonly signal: number
    readonly all: boolean
  }) {
    const live = yield* findProcess(request.ref)
    if (request.all) {
      const { driver, target } = yield* find(request.ref)
      const pids = yield* driver.pids(target)
      return yield* Effect.forEach(
        pids,
        Effect.fnUntraced(function* (pid) {
          const identity = yield* reaper.identify(pid)
          if (Option.isSome(identity)) yield* reaper.signal(identity.value, request.signal)
        }),
        { discard: true }
      )
    }
    const sent = live.record.exit === null && (yield* reaper.signal(live.record.identity, request.signal))
    if (!sent) return yield* new NotFound({ kind: "process", id: request.ref.execId ?? request.ref.containerId })
  })

  const pause = Effect.fn("ProcessHost.pause")(function* (ref: ContainerRef) {
    const { driver, init, target } = yield* find(ref)
    yield* driver.pause(target)
    yield* save(init, { ...init.record, paused: true })
  })

  const resume = Effect.fn("ProcessHost.resume")(function* (ref: ContainerRef) {
    const { driver, init, target } = yield* find(ref)
    yield* driver.resume(target)
    yield* save(init, { ...init.record, paused: false })
  })

  /** Kills what is left and waits until its exits are told, or patience ends. */
  const endAll = Effect.fnUntraced(function* ({ driver, init, target }: Container) {
    if (init.record.exit !== null) return
    yield* reaper.signal(init.record.identity, sigkill)
    // A frozen process takes no signal on cgroup v1, and a pause may be under way that the record does not know of yet.
    if (init.record.paused) yield* Effect.ignore(driver.resume(target))
    yield* Deferred.await(init.told).pipe(Effect.timeoutOption(killPatience))
  })

  const remove = Effect.fn("ProcessHost.delete")(function* (ref: ContainerRef): Effect.fn.Return<DeleteResult, HostError> {
    const key = containerKey(ref)
    const pending = creating.get(key)
    if (pending !== undefined) yield* Fiber.interrupt(pending)
    const container = containers.get(key)
    if (container === undefined) return { init: null, execs: [] }
    yield* endAll(container)
    const { driver, execs, init, target } = container
    yield* driver.delete(target, { force: init.record.exit === null })
    for (const live of [...execs.values(), init]) yield* Scope.close(live.scope, Outcome.void)
    yield* directory.remove(init.record.ref)
    containers.delete(key)
    return {
      init: init.record.exit,
      execs: Array.from(execs).flatMap(([execId, { record }]) =>
        record.exit === null ? [] : [{ execId, exit: record.exit }]
      )
    }
  }, Effect.uninterruptible)

  const deleteExec = Effect.fn("ProcessHost.deleteExec")(function* (ref: Ref) {
    const container = containers.get(containerKey(ref))
    const live = ref.execId === null ? undefined : container?.execs.get(ref.execId)
    if (container === undefined || live === undefined || ref.execId === null) return null
    yield* reaper.signal(live.record.identity, sigkill)
    const exit = yield* Deferred.await(live.told).pipe(Effect.timeoutOption(killPatience))
    if (Option.isNone(exit)) {
      return yield* new Unavailable({ what: `exec "${ref.execId}"`, problem: "it does not end", mend: "resume its task" })
    }
    yield* Scope.close(live.scope, Outcome.void)
    container.execs.delete(ref.execId)
    yield* directory.remove(ref)
    return exit.value
  })

  const pids = Effect.fn("ProcessHost.pids")(function* (ref: ContainerRef) {
    const { driver, target } = yield* find(ref)
    return yield* driver.pids(target)
  })

  const writeStdin = Effect.fn("ProcessHost.writeStdin")(function* (request: {
    readonly ref: Ref
    readonly bytes: Uint8Array
  }) {
    const live = yield* findProcess(request.ref)
    if (!(yield* live.io.write(request.bytes))) {
      return yield* new NotFound({ kind: "process", id: request.ref.execId ?? request.ref.containerId })
    }
  })

  const closeStdin = Effect.fn("ProcessHost.closeStdin")(function* (ref: Ref) {
    yield* (yield* findProcess(ref)).io.closeStdin
  })

  /** Takes over what an earlier host of the same folder left: what has ended meanwhile is told with what the kernel still knows. */
  const adopt = Effect.fnUntraced(function* (record: HostedRecord) {
    const driver = yield* runtime.driver(record.runtime)
    const key = containerKey(record.ref)
    const folder = directory.directory(record.ref)
    const processScope = yield* Scope.fork(scope)
    const io = yield* processIo
      .open({ ref: record.ref, stdio: record.stdio, directory: folder, logFile: record.logFile })
      .pipe(Scope.provide(processScope))
    yield* io.handOver
    const live: Live = { record, io, scope: processScope, told: yield* Deferred.make<Exit>() }
    const container = containers.get(key)
    let execs = container?.execs
    if (record.ref.execId !== null) execs?.set(record.ref.execId, live)
    else {
      execs = new Map()
      const bundle = folder
      const { containerId, namespace } = record.ref
      containers.set(key, { target: { namespace, containerId, bundle }, driver, init: live, execs })
    }
    if (record.exit !== null) {
      yield* Deferred.succeed(live.told, record.exit)
      return
    }
    const before = record.ref.execId === null && execs !== undefined ? execsGone(execs) : Effect.void
    const found = yield* reaper.identify(record.identity.pid)
    const same =
      Option.isSome(found) &&
      found.value.startTime === record.identity.startTime &&
      found.value.bootId === record.identity.bootId
    const child: Child = same
      ? yield* reaper.claim(record.identity.pid)
      : {
          identity: record.identity,
          exit: Effect.map(DateTime.now, (exitedAt) => ({ exitStatus: 255, exitedAt, source: "unknown" as const }))
        }
    yield* watch(live, child, before)
  })

  const left = yield* directory.list
  const inits = left.filter((record) => record.ref.execId === null)
  const execs = left.filter((record) => record.ref.execId !== null)
  yield* Effect.forEach(
    [...inits, ...execs],
    (record) =>
      Effect.catch(adopt(record), (error) =>
        Effect.logError(`cannot take over ${processKey(record.ref)}: ${error.message}`)
      ),
    { discard: true }
  )

  return ProcessHost.of({
    create,
    start,
    exec,
    signal,
    pause,
    resume,
    delete: remove,
    deleteExec,
    pids,
    writeStdin,
    closeStdin,
    watch: watchers.stream
  })
})

/** Takes over what the task folders hold, then serves. */
export const layer = Layer.effect(ProcessHost, make)
