/**
 * What is left when daemon and host are dead: the pretended machine with its processes, and the task folders. It runs in a domain of its own. The ports that a
 * host gets of it cross over by messages, so that a runtime that was called goes on though its caller is dead, and what a dead host had open is closed by the kernel.
 */
import { Context, Deferred, Effect, Exit, Layer, Option, Scheduler, Scope } from "effect"
import * as Mock from "../../src/layers/mock/MockLayers.ts"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ResourceExhausted } from "../../src/schema/Errors.ts"
import type { ExecId, ProcessRef } from "../../src/schema/Ids.ts"
import { containerKey, processKey } from "../../src/schema/Ids.ts"
import type { Driver, DriverError, Target } from "../../src/services/OciRuntime.ts"
import { Cgroups } from "../../src/services/Cgroups.ts"
import { OciRuntime } from "../../src/services/OciRuntime.ts"
import { OutputLog } from "../../src/services/OutputLog.ts"
import * as MemoryTaskDirectory from "../../src/services/MemoryTaskDirectory.ts"
import { ProcessIo } from "../../src/services/ProcessIo.ts"
import { ProcessReaper } from "../../src/services/ProcessReaper.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import type { Domain, Kernel } from "./Kernel.ts"
import type { Command } from "./Runtimes.ts"
import { make as makeRuntimes } from "./Runtimes.ts"
import { build } from "./Kernel.ts"

export type HostPorts = Cgroups | OciRuntime | ProcessReaper | ProcessIo | TaskDirectory

/** Wraps a port of the host, for mutations. */
export interface HostWrap {
  readonly directory?: (inner: TaskDirectory["Service"]) => TaskDirectory["Service"]
  readonly reaper?: (inner: ProcessReaper["Service"], world: MockWorld["Service"]) => ProcessReaper["Service"]
}

export interface Machine {
  readonly domain: Domain
  readonly world: MockWorld["Service"]
  readonly outputLog: OutputLog["Service"]
  readonly runtime: OciRuntime["Service"]
  readonly directory: TaskDirectory["Service"]
  /** Task folders that exist, with a record or without. */
  readonly folders: ReadonlySet<string>
  /** While it is full, nothing is written to the task folders. */
  readonly disk: { full: boolean }
  /** Its pids are used again soon. */
  readonly fewPids: boolean
  /** How many milliseconds the next call of the runtime takes before it acts. Past its deadline it fails instead. */
  readonly delays: Map<Command, number>
  /** Containers whose last start, pause or resume has failed: what it did first nobody knows. */
  readonly doubtful: ReadonlySet<string>
  /** The ports for a host, and what the kernel does when that host is dead. */
  readonly portsFor: (host: Domain) => { readonly ports: Context.Context<HostPorts>; readonly close: () => void }
}

/** As many as a machine with few of them has. */
export const pids = 25
/** Of a call of the runtime, in milliseconds. */
const deadline = 30_000

export const make = (kernel: Kernel, wrap: HostWrap = {}): Machine => {
  const { random } = kernel
  const fewPids = random.chance(0.6)
  const options: Mock.Options = {
    freezer: random.chance(0.3) ? "v1" : "v2",
    firstPid: 100,
    keepsEnds: random.chance(0.5),
    ...(fewPids ? { lastPid: 99 + pids } : {})
  }
  const domain = kernel.domain("machine")
  const building = Layer.build(
    Mock.layerBundles.pipe(Layer.provide(MemoryTaskDirectory.layer), Layer.provideMerge(Mock.layer(options)))
  )
  const services = build(kernel, domain, Effect.provideService(building, Scope.Scope, Scope.makeUnsafe()))
  const world = Context.get(services, MockWorld)
  const cgroups = Context.get(services, Cgroups)
  const plain = Context.get(services, TaskDirectory)
  const runtime = Context.get(services, OciRuntime)
  const reaper = Context.get(services, ProcessReaper)
  const io = Context.get(services, ProcessIo)
  const folders = new Set<string>()
  const disk = { full: false }
  const delays = new Map<Command, number>()
  const doubtful = new Set<string>()
  const runtimes = makeRuntimes(world.inner.machine.bootId)

  const writing = <A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E | ResourceExhausted> =>
    Effect.suspend((): Effect.Effect<A, E | ResourceExhausted> => {
      const late = random.chance(0.2) ? Effect.sleep(random.int(1, 20)) : Effect.void
      if (disk.full && random.chance(0.8)) {
        return Effect.andThen(late, Effect.fail(new ResourceExhausted({ resource: "disk", limit: 0 })))
      }
      return Effect.andThen(late, work)
    })

  /** With its entry in `folders`, in one turn: nobody dies in between. */
  const noted = <A, E>(work: Effect.Effect<A, E>, note: () => void) =>
    Effect.provideService(
      Effect.tap(work, () => Effect.sync(note)),
      Scheduler.PreventSchedulerYield,
      true
    )

  const directory = TaskDirectory.of({
    ...plain,
    create: (namespace, id, spec) =>
      writing(
        noted(plain.create(namespace, id, spec), () =>
          folders.add(processKey({ namespace, containerId: id, execId: null }))
        )
      ),
    prepareExec: (namespace, id, execId) =>
      writing(
        noted(plain.prepareExec(namespace, id, execId), () =>
          folders.add(processKey({ namespace, containerId: id, execId }))
        )
      ),
    save: (record) => writing(plain.save(record)),
    remove: (ref: ProcessRef) =>
      noted(plain.remove(ref), () => {
        const key = processKey(ref)
        for (const name of folders) if (name === key || name.startsWith(`${key}/`)) folders.delete(name)
      })
  })

  const portsFor: Machine["portsFor"] = (host) => {
    const open = new Set<Scope.Closeable>()
    const there = <A, E>(effect: Effect.Effect<A, E>) => kernel.call(host, domain, effect)

    /**
     * A call of the runtime, which goes on when its host dies, and acts in one turn. What it has done when it is interrupted by a host that lives is undone.
     */
    const call = <A>(
      [command, target, execId = null]: readonly [Command, Target, (ExecId | null)?],
      effect: Effect.Effect<A, DriverError>,
      undo: (made: A) => Effect.Effect<unknown, unknown> = () => Effect.void
    ): Effect.Effect<A, DriverError> =>
      Effect.suspend(() => {
        const delay = delays.get(command) ?? 0
        delays.delete(command)
        const one = runtimes.begin(command, { ...target, execId })
        let made: Option.Option<A> = Option.none()
        const acting = Effect.provideService(
          Effect.tap(effect, (value) => Effect.sync(() => (made = Option.some(value)))),
          Scheduler.PreventSchedulerYield,
          true
        )
        const late = Effect.andThen(Effect.sleep(delay), acting)
        const work = Effect.ensuring(
          Effect.raceFirst(late, Deferred.await(one.killed)),
          Effect.sync(() => runtimes.end(one))
        )
        const undoing = Effect.suspend(() => {
          runtimes.end(one)
          return Option.match(made, { onNone: () => Effect.void, onSome: (value) => Effect.ignore(there(undo(value))) })
        })
        return Effect.timeoutOrElse(
          Effect.onInterrupt(there(work), () => undoing),
          { duration: deadline, orElse: () => Effect.fail(failed(command, "no answer in time", "deadline")) }
        )
      })
    const change = (command: "start" | "pause" | "resume", target: Target, effect: Effect.Effect<void, DriverError>) =>
      Effect.onExit(call([command, target], effect), (exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) doubtful.delete(containerKey(target))
          else doubtful.add(containerKey(target))
        })
      )
    const kill = (pid: number) =>
      Effect.suspend(() => {
        const proc = world.inner.machine.table.get(pid)
        return proc === undefined ? Effect.void : world.inner.machine.signal(proc, 9)
      })

    const driverOf = (inner: Driver): Driver => ({
      info: inner.info,
      create: (target, stdio, console) =>
        call(["create", target], inner.create(target, stdio, console), () => inner.delete(target, { force: true })),
      start: (target) => change("start", target, inner.start(target)),
      exec: (target, id, process, stdio, console) =>
        call(["exec", target, id], inner.exec(target, id, process, stdio, console), kill),
      pause: (target) => change("pause", target, inner.pause(target)),
      resume: (target) => change("resume", target, inner.resume(target)),
      update: (target, resources) => there(inner.update(target, resources)),
      delete: (target, how) => call(["delete", target], inner.delete(target, how)),
      hasStarted: (target) => there(inner.hasStarted(target)),
      isPaused: (target) => there(inner.isPaused(target)),
      leftAtWork: (target, execId) =>
        Effect.map(there(inner.leftAtWork(target, execId)), (left) => [...left, ...runtimes.left(target, execId)]),
      atWork: (targets) => Effect.sync(() => runtimes.on(targets)),
      pids: (target) => there(inner.pids(target))
    })

    const ownReaper = ProcessReaper.of({
      claim: (pid) =>
        Effect.map(reaper.claim(pid), ({ exit, identity }) => ({
          identity,
          exit: there(exit)
        })),
      identify: reaper.identify,
      isAlive: reaper.isAlive,
      signal: (identity, signal) =>
        Effect.suspend(() => (runtimes.kill(identity) ? Effect.succeed(true) : reaper.signal(identity, signal))),
      pin: (identity, path) => there(reaper.pin(identity, path)),
      recall: (path) => there(reaper.recall(path)),
      unpin: (path) => there(reaper.unpin(path))
    })

    const ports = Context.empty().pipe(
      Context.add(
        OciRuntime,
        OciRuntime.of({ ...runtime, driver: (name) => Effect.map(runtime.driver(name), driverOf) })
      ),
      Context.add(ProcessReaper, wrap.reaper?.(ownReaper, world) ?? ownReaper),
      Context.add(Cgroups, cgroups),
      Context.add(TaskDirectory, wrap.directory?.(directory) ?? directory),
      Context.add(
        ProcessIo,
        ProcessIo.of({
          open: Effect.fnUntraced(function* (request) {
            const scope = Scope.makeUnsafe()
            open.add(scope)
            yield* Effect.addFinalizer(() => {
              open.delete(scope)
              return there(Scope.close(scope, Exit.void))
            })
            const opened = yield* there(Scope.provide(io.open(request), scope))
            return {
              ...opened,
              handOver: there(opened.handOver),
              drained: there(opened.drained),
              write: (bytes) => there(opened.write(bytes)),
              closeStdin: there(opened.closeStdin),
              resize: (size) => there(opened.resize(size))
            }
          })
        })
      )
    )
    const close = () => {
      for (const scope of open) kernel.fork(domain, Scope.close(scope, Exit.void))
    }
    return { ports, close }
  }

  return {
    domain,
    world,
    outputLog: Context.get(services, OutputLog),
    runtime,
    directory,
    folders,
    disk,
    fewPids,
    delays,
    doubtful,
    portsFor
  }
}

/** Whether a folder holds a record. */
export const hasRecord = (directory: TaskDirectory["Service"], ref: ProcessRef) =>
  Effect.map(Effect.option(directory.load(ref)), (found) => Option.isSome(found) && Option.isSome(found.value))
