/**
 * The process table and the containers of a pretended machine. A process that has ended stays until it is claimed, as a zombie does. When an init in a pid
 * namespace of its own ends, it takes the others of its container with it, and they are gone before its own end is known. Every step is noted in the trace.
 */
import { Clock, DateTime, Deferred, Effect, PubSub, Queue } from "effect"
import type { ContainerId, Namespace, ProcessRef } from "../../schema/Ids.ts"
import { containerKey, processKey } from "../../schema/Ids.ts"
import type { Resources } from "../../schema/Resources.ts"
import type { Identity } from "../../schema/TaskState.ts"
import type { Reaped } from "../../schema/Process.ts"
import type { Machinery } from "./MockLife.ts"
import { live } from "./MockLife.ts"
import type { Pipes } from "./MockPipes.ts"
import type { Proc, Surroundings } from "./MockProcess.ts"
import { deliver, doom, makeProc, settle } from "./MockProcess.ts"
import type { Program } from "./MockScript.ts"

export interface MachineOptions {
  /** Which cgroup freezer it has: only on `v2` does KILL reach a frozen process. `v2` by default. */
  readonly freezer?: "v1" | "v2"
  readonly bootId?: string
  /** Whether its kernel keeps the end of a process that is pinned (Linux 6.15); it does by default. */
  readonly keepsEnds?: boolean
  readonly firstPid?: number
  /** After this pid they start again at the first. */
  readonly lastPid?: number
}

export interface Container extends Surroundings {
  readonly namespace: Namespace
  readonly containerId: ContainerId
  /** Of init. */
  readonly args: ReadonlyArray<string>
  status: "created" | "running" | "stopped"
  /** Whether it ever ran. */
  started: boolean
  /** What its specification limits, or what it was changed to. */
  limits: Resources
  /** Those that live, oldest first. */
  readonly procs: Set<Proc>
  /** The most processes that it ever had. */
  mostProcs: number
  /** Processes killed for want of memory. */
  oomKills: number
}

/** What a new process is made of. */
export type Birth = Pick<Proc, "args" | "program" | "stdio">

const killed = 137

export const makeMachine = Effect.fnUntraced(function* (options: MachineOptions, pipes: Pipes) {
  const { bootId = "mock-boot", firstPid = 1000, freezer = "v2", keepsEnds = true, lastPid = 4_194_304 } = options
  const scope = yield* Effect.scope
  const containers = new Map<string, Container>()
  const table = new Map<number, Proc>()
  const claimed = new WeakSet<Proc>()
  const outOfMemory = new Set<string>()
  const pins = new Map<string, Proc>()
  /** Containers in which one was killed for want of memory, and those that are gone. */
  const changes = yield* Effect.acquireRelease(PubSub.unbounded<Container>(), PubSub.shutdown)
  const lines: Array<string> = []
  let pid = firstPid - 1
  let startTime = 0

  const note = (what: string) => Effect.map(Clock.currentTimeMillis, (now) => void lines.push(`${now} ${what}`))

  const newIdentity = Effect.map(Clock.currentTimeMillis, (now): Identity => {
    if (table.size > lastPid - firstPid) throw new Error("the pretended machine has no pid left")
    do pid = pid >= lastPid ? firstPid : pid + 1
    while (table.has(pid))
    // No two processes share a start time here, so that even a pid used again at once is told apart.
    startTime = Math.max(Math.floor(now / 10), startTime + 1)
    return { pid, startTime: `${startTime}`, bootId }
  })

  const spawn = Effect.fnUntraced(function* (container: Container, kind: Proc["kind"], ref: ProcessRef, birth: Birth) {
    const proc = yield* makeProc({ ...birth, ref, kind, around: container, identity: yield* newIdentity })
    table.set(proc.identity.pid, proc)
    container.procs.add(proc)
    container.mostProcs = Math.max(container.mostProcs, container.procs.size)
    yield* note(`${processKey(ref)} ${kind} ${proc.identity.pid}: ${birth.args.join(" ")}`)
    const life = Effect.flatMap(live(proc, machinery(container)), (status) => end(container, proc, status))
    yield* Effect.forkIn(life, scope, { startImmediately: true })
    return proc
  }, Effect.uninterruptible)

  const machinery = (container: Container): Machinery => ({
    spawnChild: Effect.fnUntraced(function* (parent, steps) {
      if (parent.ended || Deferred.isDoneUnsafe(parent.doomed)) return
      if (container.isolated && container.status === "stopped") return
      const { stderr, stdout } = parent.stdio
      const program: Program = { steps, exit: 0, ignores: parent.program.ignores, handles: new Map(), oomAfter: null }
      const stdio = { stdin: null, stdout: pipes.share(stdout), stderr: pipes.share(stderr) }
      parent.children.push(yield* spawn(container, "child", parent.ref, { args: parent.args, program, stdio }))
    }),
    signalInit: (_, signal) =>
      Effect.sync(() => {
        for (const proc of container.procs) if (proc.kind === "init") deliver(proc, signal, "within")
      })
  })

  /** Ends processes by force and waits until they are gone. */
  const kill = (procs: ReadonlyArray<Proc>) =>
    Effect.suspend(() => {
      for (const proc of procs) doom(proc, killed)
      return Effect.forEach(procs, (proc) => Deferred.await(proc.exit), { discard: true })
    })

  const end = Effect.fnUntraced(function* (container: Container, proc: Proc, exitStatus: number) {
    const { pid, startTime } = proc.identity
    if (proc.oomKilled) {
      outOfMemory.add(`${pid}/${startTime}`)
      container.oomKills++
      yield* PubSub.publish(changes, container)
    }
    if (proc.kind === "init") {
      container.status = "stopped"
      if (container.isolated) yield* kill([...container.procs].filter((other) => other !== proc))
    }
    proc.ended = true
    container.procs.delete(proc)
    if (proc.kind === "child" || claimed.has(proc)) table.delete(pid)
    yield* Queue.shutdown(proc.signals)
    for (const pipe of Object.values(proc.stdio)) if (pipe !== null) yield* pipes.release(pipe)
    yield* note(`${processKey(proc.ref)} ${proc.kind} ${pid} ends ${exitStatus}`)
    const reaped: Reaped = { exitStatus, exitedAt: yield* DateTime.now, source: "reaped" }
    yield* Deferred.succeed(proc.exit, reaped)
  }, Effect.uninterruptible)

  /** A container with an init that waits to be started. */
  const create = (
    of: { readonly namespace: Namespace; readonly containerId: ContainerId },
    isolated: boolean,
    limits: Resources,
    birth: Birth
  ) =>
    Effect.suspend(() => {
      const { containerId, namespace } = of
      const container: Container = {
        namespace,
        containerId,
        args: birth.args,
        status: "created",
        started: false,
        paused: false,
        isolated,
        killsFrozen: freezer === "v2",
        cpuTime: 0,
        procs: new Set(),
        limits,
        mostProcs: 0,
        oomKills: 0
      }
      containers.set(containerKey(of), container)
      return spawn(container, "init", { namespace, containerId, execId: null }, birth)
    })

  const start = (container: Container) =>
    Effect.andThen(
      note(`${containerKey(container)} starts`),
      Effect.sync(() => {
        container.status = "running"
        container.started = true
        for (const proc of container.procs) proc.started.openUnsafe()
      })
    )

  const setPaused = (container: Container, paused: boolean) =>
    Effect.andThen(
      note(`${containerKey(container)} ${paused ? "pauses" : "resumes"}`),
      Effect.sync(() => {
        container.paused = paused
        for (const proc of container.procs) settle(proc)
      })
    )

  /** Kills what is left of a container and forgets it. */
  const destroy = (container: Container) =>
    Effect.andThen(
      Effect.suspend(() => {
        container.status = "stopped"
        return kill([...container.procs])
      }),
      Effect.suspend(() =>
        containers.get(containerKey(container)) === container && containers.delete(containerKey(container))
          ? Effect.andThen(note(`${containerKey(container)} is gone`), PubSub.publish(changes, container))
          : Effect.void
      )
    )

  /** From now on it is out of the table as soon as it has ended. */
  const claim = (proc: Proc): void => {
    claimed.add(proc)
    if (proc.ended && table.get(proc.identity.pid) === proc) table.delete(proc.identity.pid)
  }

  /** Sends a signal from outside of the container. */
  const signal = (proc: Proc, number: number) =>
    Effect.andThen(
      note(`${processKey(proc.ref)} ${proc.kind} ${proc.identity.pid} gets signal ${number}`),
      Effect.sync(() => deliver(proc, number, "without"))
    )

  const find = ({ bootId: boot, pid, startTime }: Identity): Proc | undefined => {
    const proc = table.get(pid)
    return proc?.identity.startTime === startTime && boot === bootId ? proc : undefined
  }

  const ranOut = ({ pid, startTime }: Identity): boolean => outOfMemory.has(`${pid}/${startTime}`)

  return {
    bootId,
    containers,
    table,
    lines,
    changes,
    note,
    spawn,
    create,
    start,
    setPaused,
    destroy,
    claim,
    signal,
    find,
    ranOut,
    pins,
    keepsEnds
  } as const
})
export type Machine = Effect.Success<ReturnType<typeof makeMachine>>
