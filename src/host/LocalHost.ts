/**
 * `ProcessHost` over the ports of one machine: drivers, reaper, stdio and task folders. It runs in the shim, in an embedding process, and on the mock. What it
 * owns: that execs end before their init (the rest of an exit's way is in `LiveProcess.ts`), that a create or an exec which fails or is interrupted leaves nothing
 * behind. What runs already it takes over (`Adoption.ts`).
 */
import { Deferred, Effect, Exit as Outcome, Fiber, Layer, Option, Scope, Semaphore } from "effect"
import { AlreadyExists, NotFound, RuntimeFailed, Unavailable } from "../schema/Errors.ts"
import type {
  ContainerRef,
  CreateRequest,
  DeleteResult,
  ExecRequest,
  Hosted,
  HostedRecord,
  Ref
} from "../schema/Host.ts"
import type { ExecId } from "../schema/Ids.ts"
import { containerKey, processKey } from "../schema/Ids.ts"
import { withConsoleSize } from "../schema/OciSpec.ts"
import type { Exit, TerminalSize } from "../schema/Process.ts"
import type { Target } from "../services/OciRuntime.ts"
import { OciRuntime } from "../services/OciRuntime.ts"
import type { HostError } from "../services/ProcessHost.ts"
import { ProcessHost } from "../services/ProcessHost.ts"
import type { Child } from "../services/ProcessReaper.ts"
import { ProcessReaper } from "../services/ProcessReaper.ts"
import { TaskDirectory } from "../services/TaskDirectory.ts"
import { adoptAll } from "./Adoption.ts"
import type { Container } from "./Container.ts"
import { endAll, killPatience, sigkill } from "./Ending.ts"
import type { Live } from "./LiveProcess.ts"
import * as LiveProcess from "./LiveProcess.ts"
import { makeTerminals } from "./Terminals.ts"
import { makeWatchers } from "./Watchers.ts"

/** How long the runtime may go on with a container whose init has ended. */
const endPatience = "1 second"

const endedMeanwhile = (runtime: string) =>
  new RuntimeFailed({
    runtime,
    command: "start",
    exitCode: -1,
    reason: "deadline",
    detail: "the container ended while the runtime was still at work on it",
    log: []
  })

const make = Effect.gen(function* () {
  const runtime = yield* OciRuntime
  const reaper = yield* ProcessReaper
  const directory = yield* TaskDirectory
  const scope = yield* Effect.scope
  const containers = new Map<string, Container>()
  const creating = new Map<string, Fiber.Fiber<Hosted, HostError>>()
  const terminals = yield* makeTerminals

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

  /** What must have happened before the exit of init is told: no exec of the container is left, and each one's exit is told. */
  const execsGone = (execs: Map<ExecId, Live>) =>
    Effect.suspend(() => {
      const left = Array.from(execs.values()).filter(({ told }) => !Deferred.isDoneUnsafe(told))
      return Effect.forEach(left, (exec) => reaper.signal(exec.record.identity, sigkill), { discard: true }).pipe(
        Effect.andThen(Effect.forEach(left, (exec) => Deferred.await(exec.told), { discard: true }))
      )
    })

  /** Tells the end of a process; `execs` are those of the container whose init it is. */
  const watch = (live: Live, child: Child, execs: Map<ExecId, Live> | null) => {
    const container = execs === null ? undefined : containers.get(containerKey(live.record.ref))
    const before =
      execs === null || container === undefined
        ? Effect.void
        : Effect.andThen(execsGone(execs), Effect.forkIn(forget(container), live.scope))
    const tell = (exit: Exit) => watchers.tell({ _tag: "Exited", ref: live.record.ref, exit })
    return Effect.forkIn(LiveProcess.conclude(directory, live, child, before, tell), live.scope)
  }

  /**
   * The runtime forgets a container as soon as it has ended, not when somebody deletes it: what has ended holds no cgroup, and a deletion finds the
   * slowest part of its work done. Where the runtime refuses, the deletion asks again.
   */
  const forget = Effect.fnUntraced(function* ({ driver, forgotten, target, underWay }: Container) {
    for (const fiber of underWay) {
      // A runtime that hangs while its container has ended would hide that end from everybody.
      yield* Effect.timeoutOrElse(Fiber.await(fiber), { duration: endPatience, orElse: () => Fiber.interrupt(fiber) })
    }
    const done = yield* Effect.exit(driver.delete(target, { force: false }))
    yield* Deferred.succeed(forgotten, Outcome.isSuccess(done))
  })

  /** One step of undoing: the next are taken even where it fails, which is false. */
  const undone = <E extends { readonly message: string }>(ref: Ref, step: Effect.Effect<void, E>) =>
    Effect.catch(Effect.as(step, true), (error) =>
      Effect.as(Effect.logWarning(`rollback of ${processKey(ref)}: ${error.message}`), false)
    )

  const createContainer = Effect.fnUntraced(function* (request: CreateRequest) {
    const { containerId, logFile, namespace, stdio } = request
    const ref: Ref = { namespace, containerId, execId: null }
    const driver = yield* runtime.driver(request.runtime)
    const processScope = yield* Scope.fork(scope)
    let target: Target | null = null
    let created = false
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const leftover = { namespace, containerId, bundle: directory.directory(ref) }
        // A host that died in the middle of a create left a folder of which it wrote down nothing, and perhaps a container.
        const clear = Effect.andThen(driver.delete(leftover, { force: true }), directory.remove(ref))
        const bundle = yield* Effect.catchTag(
          directory.create(namespace, containerId, request.spec),
          "AlreadyExists",
          (error) =>
            Effect.flatMap(directory.load(ref), (record) =>
              Option.isSome(record)
                ? Effect.fail(error)
                : Effect.andThen(clear, directory.create(namespace, containerId, request.spec))
            )
        )
        const made = { namespace, containerId, bundle }
        target = made
        const { io, terminal } = yield* terminals
          .openFor({ ref, stdio, directory: bundle, logFile }, request.spec.process)
          .pipe(Scope.provide(processScope))
        const creation = Effect.tap(driver.create(made, io.descriptors, io.console), () =>
          Effect.sync(() => void (created = true))
        )
        const child = yield* reaper.claim(yield* Effect.ensuring(restore(creation), io.handOver))
        const { identity } = child
        const about = { ref, runtime: request.runtime, identity, terminal, stdio, logFile }
        const record: HostedRecord = { ...about, started: false, paused: false, exit: null }
        yield* directory.save(record)
        const init = yield* LiveProcess.make(record, io, processScope)
        const execs = new Map<ExecId, Live>()
        const underWay = new Set<Fiber.Fiber<void, HostError>>()
        const forgotten = Deferred.makeUnsafe<boolean>()
        containers.set(containerKey(ref), {
          target: made,
          driver,
          init,
          execs,
          underWay,
          forgotten,
          removal: Semaphore.makeUnsafe(1),
          maybeFrozen: false
        })
        yield* watch(init, child, execs)
        return { identity, bundle, stdin: stdio.stdin && !terminal ? `${bundle}/stdin` : null }
      })
    ).pipe(
      Effect.onExit((exit) =>
        Outcome.isSuccess(exit)
          ? Effect.void
          : Effect.gen(function* () {
              yield* terminals.forget(ref)
              const made = created || Outcome.hasInterrupts(exit)
              const left = target !== null && made && !(yield* undone(ref, driver.delete(target, { force: true })))
              yield* Scope.close(processScope, Outcome.void)
              // What could not be destroyed is found by a deletion, or by its folder: by the next create of that id, or the next host.
              if (target === null || left) return
              containers.delete(containerKey(ref))
              yield* undone(ref, directory.remove(ref))
            })
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

  /** Half of a call would be worse than the whole: it goes on though its caller goes away. Only the end of its container ends it, or its deletion. */
  const toTheEnd = Effect.fnUntraced(function* (
    { driver, underWay }: Container,
    operation: Effect.Effect<void, HostError>
  ) {
    const fiber = yield* Effect.forkIn(operation, scope)
    underWay.add(fiber)
    fiber.addObserver(() => underWay.delete(fiber))
    const exit = yield* Fiber.await(fiber)
    return Outcome.hasInterrupts(exit) ? yield* endedMeanwhile(driver.info.name) : yield* exit
  })

  const start = Effect.fn("ProcessHost.start")(function* (ref: ContainerRef) {
    const container = yield* find(ref)
    const { driver, init, target } = container
    yield* toTheEnd(
      container,
      Effect.andThen(driver.start(target), LiveProcess.note(directory, init, { started: true }))
    )
  })

  const exec = Effect.fn("ProcessHost.exec")(function* (request: ExecRequest) {
    const { driver, execs, init, target } = yield* find(request)
    const { containerId, execId, logFile, namespace, stdio } = request
    const ref: Ref = { namespace, containerId, execId }
    if (execs.has(execId)) return yield* new AlreadyExists({ kind: "exec", id: execId })
    const processScope = yield* Scope.fork(scope)
    let folder: string | null = null
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const made = yield* directory.prepareExec(namespace, containerId, execId)
        folder = made
        const { io, size, terminal } = yield* terminals
          .openFor({ ref, stdio, directory: made, logFile }, request.process)
          .pipe(Scope.provide(processScope))
        const process = withConsoleSize(request.process, size)
        const starting = restore(driver.exec(target, execId, process, io.descriptors, io.console))
        const child = yield* reaper.claim(yield* Effect.ensuring(starting, io.handOver))
        const about = { ref, runtime: init.record.runtime, identity: child.identity, terminal, stdio, logFile }
        const record: HostedRecord = { ...about, started: true, paused: false, exit: null }
        const live = yield* LiveProcess.make(record, io, processScope)
        execs.set(execId, live)
        yield* directory.save(record)
        yield* watch(live, child, null)
        const stdin = stdio.stdin && !terminal ? `${made}/stdin` : null
        return { identity: child.identity, bundle: target.bundle, stdin }
      })
    ).pipe(
      Effect.onExit((exit) =>
        Outcome.isSuccess(exit)
          ? Effect.void
          : Effect.gen(function* () {
              const live = folder === null ? undefined : execs.get(execId)
              if (live !== undefined) {
                execs.delete(execId)
                yield* reaper.signal(live.record.identity, sigkill)
              }
              yield* Scope.close(processScope, Outcome.void)
              if (folder !== null) yield* undone(ref, directory.remove(ref))
            })
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
    const container = yield* find(ref)
    const { driver, init, target } = container
    container.maybeFrozen = true
    yield* toTheEnd(
      container,
      Effect.andThen(driver.pause(target), LiveProcess.note(directory, init, { paused: true }))
    )
  })

  const resume = Effect.fn("ProcessHost.resume")(function* (ref: ContainerRef) {
    const container = yield* find(ref)
    const { driver, init, target } = container
    const resuming = Effect.tap(driver.resume(target), () => Effect.sync(() => void (container.maybeFrozen = false)))
    yield* toTheEnd(container, Effect.andThen(resuming, LiveProcess.note(directory, init, { paused: false })))
  })

  const destroy = Effect.fnUntraced(function* (container: Container) {
    yield* endAll(reaper, container)
    const { driver, execs, forgotten, init, target } = container
    const force = init.record.exit === null
    if (force || !(yield* Deferred.await(forgotten))) yield* driver.delete(target, { force })
    if (force) yield* Deferred.await(init.told).pipe(Effect.timeoutOption(endPatience))
    for (const live of [...execs.values(), init]) yield* Scope.close(live.scope, Outcome.void)
    yield* directory.remove(init.record.ref)
    containers.delete(containerKey(target))
  })

  const remove = Effect.fn("ProcessHost.delete")(function* (
    ref: ContainerRef
  ): Effect.fn.Return<DeleteResult, HostError> {
    const key = containerKey(ref)
    const pending = creating.get(key)
    if (pending !== undefined) yield* Fiber.interrupt(pending)
    yield* terminals.forget({ ...ref, execId: null })
    const container = containers.get(key)
    if (container === undefined) return { init: null, execs: [] }
    const { execs, init, removal } = container
    const destroying = Effect.suspend(() => (containers.get(key) === container ? destroy(container) : Effect.void))
    yield* removal.withPermit(destroying)
    return {
      init: init.record.exit,
      execs: Array.from(execs).flatMap(([execId, { record }]) =>
        record.exit === null ? [] : [{ execId, exit: record.exit }]
      )
    }
  }, Effect.uninterruptible)

  const deleteExec = Effect.fn("ProcessHost.deleteExec")(function* (ref: Ref) {
    yield* terminals.forget(ref)
    const container = containers.get(containerKey(ref))
    const live = ref.execId === null ? undefined : container?.execs.get(ref.execId)
    if (container === undefined || live === undefined || ref.execId === null) return null
    yield* reaper.signal(live.record.identity, sigkill)
    yield* Deferred.await(live.told).pipe(Effect.timeoutOption(killPatience))
    if (live.record.exit === null) {
      return yield* new Unavailable({
        what: `exec "${ref.execId}"`,
        problem: "it does not end",
        mend: "resume its task"
      })
    }
    yield* Scope.close(live.scope, Outcome.void)
    container.execs.delete(ref.execId)
    yield* directory.remove(ref)
    return live.record.exit
  })

  const pids = Effect.fn("ProcessHost.pids")(function* (ref: ContainerRef) {
    const { driver, init, target } = yield* find(ref)
    return init.record.exit === null ? yield* driver.pids(target) : []
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

  const resize = Effect.fn("ProcessHost.resize")(function* (request: { readonly ref: Ref } & TerminalSize) {
    const { height, ref, width } = request
    if (!creating.has(containerKey(ref))) yield* find(ref)
    yield* terminals.resize(ref, { width, height })
  })

  yield* adoptAll({ containers, terminals, watch })

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
    resize,
    watch: watchers.stream
  })
})

/** Takes over what the task folders hold, then serves. */
export const layer = Layer.effect(ProcessHost, make)
