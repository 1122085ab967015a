/**
 * `ProcessHost` over the ports of one machine: drivers, reaper, cgroups, stdio and task folders. It runs in the shim, in an embedding process, and on the mock.
 * What it owns: that a create or an exec which fails or is interrupted leaves nothing behind. What runs already it takes over (`Adoption.ts`); how what has
 * ended is told is in `Endings.ts`.
 */
import { Deferred, Effect, Exit as Outcome, Fiber, Layer, Scope } from "effect"
import { AlreadyExists, NotFound, Unavailable } from "../schema/Errors.ts"
import type {
  ContainerRef,
  CreateRequest,
  DeleteResult,
  ExecRequest,
  Hosted,
  HostedRecord,
  HostSignal,
  Ref
} from "../schema/Host.ts"
import type { ExecId } from "../schema/Ids.ts"
import { containerKey, processKey } from "../schema/Ids.ts"
import { withConsoleSize } from "../schema/OciSpec.ts"
import type { TerminalSize } from "../schema/Process.ts"
import type { Cgroup } from "../services/Cgroups.ts"
import { Cgroups } from "../services/Cgroups.ts"
import type { Target } from "../services/OciRuntime.ts"
import { OciRuntime } from "../services/OciRuntime.ts"
import type { HostError } from "../services/ProcessHost.ts"
import { ProcessHost } from "../services/ProcessHost.ts"
import { pinIn, ProcessReaper } from "../services/ProcessReaper.ts"
import { TaskDirectory } from "../services/TaskDirectory.ts"
import * as Accounting from "./Accounting.ts"
import { adoptAll } from "./Adoption.ts"
import { make as makeContainer } from "./Container.ts"
import type { Container } from "./Container.ts"
import { makeEndings } from "./Endings.ts"
import { makeFreezer } from "./Freezer.ts"
import { makeHalfMade } from "./HalfMade.ts"
import type { Live } from "./LiveProcess.ts"
import * as LiveProcess from "./LiveProcess.ts"
import { makeReading } from "./Reading.ts"
import { makeSignals } from "./Signals.ts"
import { makeTerminals } from "./Terminals.ts"
import { untilKnown } from "./UntilKnown.ts"
import { makeToTheEnd } from "./UnderWay.ts"
import { makeUpdate } from "./Updates.ts"
import { makeWatchers } from "./Watchers.ts"

const sigkill = 9

/** How long a deletion waits for processes that it killed; past it the runtime is asked to force. */
const killPatience = "10 seconds"

const nothing: DeleteResult = { init: null, execs: [] }

const make = Effect.gen(function* () {
  const runtime = yield* OciRuntime
  const reaper = yield* ProcessReaper
  const cgroups = yield* Cgroups
  const directory = yield* TaskDirectory
  const scope = yield* Effect.scope
  const containers = new Map<string, Container>()
  const creating = new Map<string, Fiber.Fiber<Hosted, HostError>>()
  /** Execs that are being started. */
  const executing = new Map<string, Deferred.Deferred<void>>()
  const deleting = new Map<string, Deferred.Deferred<DeleteResult, HostError>>()
  const terminals = yield* makeTerminals

  const records = () =>
    Array.from(containers.values()).flatMap(({ execs, init }) => [
      ...Array.from(execs.values(), (exec) => exec.record),
      init.record
    ])
  const watchers = yield* makeWatchers(records)
  const accountingOf = (init: Live, cgroup: Cgroup) => Accounting.make({ cgroup, init, directory, tell: watchers.tell })

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

  const watch = yield* makeEndings({ containers, tell: watchers.tell })

  /** Of several deletions at once all but the first wait for what comes of that: a second one could find the next container of that name. */
  const inTurn = (ref: ContainerRef, deletion: Effect.Effect<DeleteResult, HostError>) =>
    Effect.uninterruptible(
      Effect.suspend(() => {
        const key = containerKey(ref)
        const known = deleting.get(key)
        if (known !== undefined) return Deferred.await(known)
        const done = Deferred.makeUnsafe<DeleteResult, HostError>()
        deleting.set(key, done)
        return Effect.onExit(deletion, (exit) => {
          deleting.delete(key)
          return Deferred.done(done, exit)
        })
      })
    )

  const halfMade = yield* makeHalfMade((ref, work) =>
    inTurn(
      ref,
      Effect.suspend(() =>
        creating.has(containerKey(ref))
          ? Effect.fail(new AlreadyExists({ kind: "task", id: ref.containerId }))
          : Effect.as(work, nothing)
      )
    )
  )

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
        const bundle = yield* Effect.catchTag(
          directory.create(namespace, containerId, request.spec),
          "AlreadyExists",
          // What an earlier create left half-made is undone first.
          () => Effect.andThen(halfMade.undo(ref), directory.create(namespace, containerId, request.spec))
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
        yield* reaper.pin(identity, pinIn(bundle))
        const cgroupsPath = request.spec.linux?.cgroupsPath ?? null
        const cgroup = yield* cgroups.find({ containerId, pid: identity.pid, cgroupsPath })
        const about = { ref, runtime: request.runtime, identity, terminal, stdio, logFile }
        const record: HostedRecord = { ...about, cgroupsPath, started: false, paused: false, exit: null }
        yield* directory.save(record)
        const init = yield* LiveProcess.make(record, io, processScope)
        const execs = new Map<ExecId, Live>()
        const accounting = accountingOf(init, cgroup)
        containers.set(containerKey(ref), makeContainer({ target: made, driver, init, accounting, execs }))
        yield* accounting.watch
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
              if (target === null) return
              if (!left) containers.delete(containerKey(ref))
              // Of what is still there its folder tells.
              if (left || !(yield* undone(ref, directory.remove(ref)))) yield* halfMade.undoLater(ref)
            })
      )
    )
  })

  const create = Effect.fn("ProcessHost.create")(function* (request: CreateRequest) {
    const key = containerKey(request)
    // A deletion that nobody waits for any more.
    for (let end = deleting.get(key); end !== undefined; end = deleting.get(key))
      yield* Effect.interruptible(Effect.exit(Deferred.await(end)))
    if (containers.has(key) || creating.has(key)) {
      return yield* new AlreadyExists({ kind: "task", id: request.containerId })
    }
    // A fiber of its own, so that a deletion can end it whoever asked for it.
    const fiber = yield* Effect.forkIn(createContainer(request), scope)
    creating.set(key, fiber)
    return yield* Effect.interruptible(Fiber.join(fiber)).pipe(
      Effect.onInterrupt(() => Fiber.interrupt(fiber)),
      Effect.ensuring(Effect.sync(() => creating.delete(key)))
    )
  }, Effect.uninterruptible)

  const toTheEnd = yield* makeToTheEnd(watchers.tell)
  const freezer = yield* makeFreezer(toTheEnd, watchers.tell)
  const send = yield* makeSignals(freezer)

  const start = Effect.fn("ProcessHost.start")(function* (ref: ContainerRef) {
    const container = yield* find(ref)
    const { driver, init, target } = container
    // Its start was ordered by an earlier host, or by a caller that is gone.
    if (init.record.started) return
    const starting = Effect.andThen(driver.start(target), LiveProcess.note(directory, init, { started: true }))
    yield* toTheEnd(container, starting, "started")
  })

  const execute = Effect.fnUntraced(function* (request: ExecRequest) {
    const container = yield* find(request)
    const { driver, execs, init, target } = container
    const { containerId, execId, logFile, namespace, stdio } = request
    const ref: Ref = { namespace, containerId, execId }
    if (execs.has(execId)) return yield* new AlreadyExists({ kind: "exec", id: execId })
    const processScope = yield* Scope.fork(scope)
    let folder: string | null = null
    let started: Live | null = null
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
        yield* reaper.pin(child.identity, pinIn(made))
        const about = { ref, runtime: init.record.runtime, identity: child.identity, terminal, stdio, logFile }
        const record: HostedRecord = { ...about, started: true, paused: false, exit: null }
        const live = yield* LiveProcess.make(record, io, processScope)
        started = live
        // Nobody is told of it before it is written down.
        yield* directory.save(record)
        if (container.closing) return yield* new NotFound({ kind: "task", id: containerId })
        execs.set(execId, live)
        yield* watch(live, child, null)
        const stdin = stdio.stdin && !terminal ? `${made}/stdin` : null
        return { identity: child.identity, bundle: target.bundle, stdin }
      })
    ).pipe(
      Effect.onExit((exit) =>
        // One that others have been told of goes on, whoever asked for it.
        Outcome.isSuccess(exit) || (started !== null && execs.get(execId) === started)
          ? Effect.void
          : Effect.gen(function* () {
              if (started !== null) {
                // Nobody else knows of it.
                const killing = Effect.catchTag(
                  reaper.signal(started.record.identity, sigkill),
                  "PermissionDenied",
                  (error) => Effect.logWarning(`${processKey(ref)} goes on: ${error.message}`)
                )
                yield* Effect.forkIn(untilKnown(`end ${processKey(ref)}`, killing), scope, { startImmediately: true })
              }
              yield* Scope.close(processScope, Outcome.void)
              if (folder !== null) yield* undone(ref, directory.remove(ref))
            })
      )
    )
  })

  /** A deletion of it that comes meanwhile waits for what comes of this. */
  const exec = Effect.fn("ProcessHost.exec")((request: ExecRequest) => {
    const key = processKey(request)
    const begun = Effect.suspend(() => {
      if (executing.has(key)) return Effect.fail(new AlreadyExists({ kind: "exec", id: request.execId }))
      const settled = Deferred.makeUnsafe<void>()
      executing.set(key, settled)
      return Effect.succeed(settled)
    })
    return Effect.acquireUseRelease(
      begun,
      () => execute(request),
      (settled) => {
        executing.delete(key)
        return Deferred.succeed(settled, undefined)
      }
    )
  })

  const signal = Effect.fn("ProcessHost.signal")(function* (request: HostSignal) {
    yield* send(yield* find(request.ref), request)
  })

  const pause = Effect.fn("ProcessHost.pause")(function* (ref: ContainerRef) {
    const container = yield* find(ref)
    yield* toTheEnd(container, freezer.pause(container), "paused")
  })

  const resume = Effect.fn("ProcessHost.resume")(function* (ref: ContainerRef) {
    const container = yield* find(ref)
    yield* toTheEnd(container, freezer.resume(container), "resumed")
  })

  /** Kills what is left and waits until its exits are told, or patience ends. */
  const endAll = Effect.fnUntraced(function* (container: Container) {
    const { init, underWay } = container
    yield* Effect.forEach(Array.from(underWay), Fiber.interrupt, { discard: true })
    if (init.record.exit !== null) return
    yield* reaper.signal(init.record.identity, sigkill)
    yield* freezer.letAllDie(container)
    yield* Deferred.await(init.told).pipe(Effect.timeoutOption(killPatience))
  })

  const removeContainer = Effect.fnUntraced(function* (ref: ContainerRef): Effect.fn.Return<DeleteResult, HostError> {
    const key = containerKey(ref)
    const pending = creating.get(key)
    if (pending !== undefined) yield* Fiber.interrupt(pending)
    yield* terminals.forget({ ...ref, execId: null })
    const container = containers.get(key)
    if (container === undefined) return yield* Effect.as(halfMade.end(ref), nothing)
    yield* endAll(container)
    const { driver, execs, forgotten, init, target } = container
    const force = init.record.exit === null
    // Where the runtime did not forget it by itself: one that was paused as it ended it still takes for paused.
    if (force || !(yield* Deferred.await(forgotten))) yield* driver.delete(target, { force: true })
    // What patience did not see the runtime may have brought about.
    if (force) yield* Deferred.await(init.told).pipe(Effect.timeoutOption("1 second"))
    container.closing = true
    for (const live of [...execs.values(), init]) yield* Scope.close(live.scope, Outcome.void)
    yield* directory.remove(init.record.ref)
    containers.delete(key)
    return {
      init: init.record.exit,
      execs: Array.from(execs).flatMap(([execId, { record }]) =>
        record.exit === null ? [] : [{ execId, exit: record.exit }]
      )
    }
  })

  const remove = Effect.fn("ProcessHost.delete")((ref: ContainerRef) => inTurn(ref, removeContainer(ref)))

  const deleteExec = Effect.fn("ProcessHost.deleteExec")(function* (ref: Ref) {
    yield* terminals.forget(ref)
    const pending = executing.get(processKey(ref))
    if (pending !== undefined) yield* Deferred.await(pending)
    const container = containers.get(containerKey(ref))
    const live = ref.execId === null ? undefined : container?.execs.get(ref.execId)
    if (container === undefined || live === undefined || ref.execId === null) return null
    yield* reaper.signal(live.record.identity, sigkill)
    yield* freezer.letDie(container, live.record.identity)
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

  yield* halfMade.undoAll
  yield* adoptAll({ containers, tell: watchers.tell, terminals, accountingOf, watch })

  return ProcessHost.of({
    create,
    start,
    exec,
    signal,
    pause,
    resume,
    update: makeUpdate(find, toTheEnd),
    delete: remove,
    deleteExec,
    ...makeReading(containers, find),
    writeStdin,
    closeStdin,
    resize,
    watch: watchers.stream
  })
})

/** Takes over what the task folders hold, then serves. */
export const layer = Layer.effect(ProcessHost, make)
