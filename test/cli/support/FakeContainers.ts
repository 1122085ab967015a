/** What the fake daemon knows and was asked for, and its containers; `FakeDaemon.ts` does the rest of the services over it. */
import { Effect } from "effect"
import type { Container } from "../../../src/schema/Container.ts"
import type { BerthError } from "../../../src/schema/Errors.ts"
import { AlreadyExists, FailedPrecondition, NotFound } from "../../../src/schema/Errors.ts"
import type { Consumer, Event } from "../../../src/schema/Events.ts"
import { ContainerId, type ExecId, RuntimeName } from "../../../src/schema/Ids.ts"
import type { Process } from "../../../src/schema/Process.ts"
import type { DriverInfo } from "../../../src/schema/Runtime.ts"
import type { Task } from "../../../src/schema/Task.ts"
import { Containers } from "../../../src/services/Containers.ts"
import { CurrentNamespace } from "../../../src/services/CurrentNamespace.ts"
import { at, type Running } from "./FakeProcess.ts"

interface Entry {
  readonly container: Container
  task: Running | null
  autoRemove: boolean
  readonly execs: Map<ExecId, Running>
}

/** Its state, with what happened to it. */
export class FakeContainers {
  readonly entries = new Map<string, Entry>()
  readonly calls: Array<{ readonly call: string; readonly request: unknown }> = []
  events: ReadonlyArray<Event> = []
  consumers: ReadonlyArray<Consumer> = []
  /** How many samples were taken: each one later than the one before by a second. */
  samples = 0
  drivers: ReadonlyArray<DriverInfo> = []
  /** Raised by every call, as by a daemon that is not there. */
  failure: BerthError | null = null
  namespaces = new Set<string>()

  requests(call: string): ReadonlyArray<unknown> {
    return this.calls.filter((one) => one.call === call).map(({ request }) => request)
  }

  protected readonly answer = <A>(call: string, request: unknown, effect: Effect.Effect<A, BerthError>) =>
    Effect.gen({ self: this }, function* () {
      this.calls.push({ call, request })
      this.namespaces.add(yield* CurrentNamespace)
      if (this.failure !== null) return yield* this.failure
      return yield* effect
    })

  protected readonly entry = (id: string) => {
    const entry = this.entries.get(id)
    return entry === undefined ? Effect.fail(new NotFound({ kind: "container", id })) : Effect.succeed(entry)
  }

  protected readonly running = (id: string, execId?: ExecId | null) =>
    Effect.gen({ self: this }, function* () {
      const entry = this.entries.get(id)
      const found = execId === null || execId === undefined ? entry?.task : entry?.execs.get(execId)
      if (found === null || found === undefined) {
        return yield* new NotFound({
          kind: execId === null || execId === undefined ? "task" : "exec",
          id: execId ?? id
        })
      }
      return found
    })

  protected readonly living = (id: string) =>
    Effect.filterOrFail(
      this.running(id),
      ({ exit }) => exit === null,
      () => new FailedPrecondition({ operation: `take statistics of "${id}"`, found: "stopped", allowed: ["running"] })
    )

  protected readonly task = (id: string): Effect.Effect<Task, BerthError> =>
    Effect.map(this.running(id), (running) => ({
      namespace: this.entries.get(id)!.container.namespace,
      id: ContainerId.make(id),
      containerId: ContainerId.make(id),
      runtime: RuntimeName.make("fake"),
      status: running.status,
      pid: running.pid,
      exitStatus: running.exit?.exitStatus ?? null,
      exitedAt: running.exit?.exitedAt ?? null,
      oomKilled: running.exit?.oomKilled ?? false,
      exitSource: running.exit?.source ?? null,
      stdin: running.stdio.stdin ? "/stdin" : null,
      stdout: null,
      stderr: null,
      terminal: running.terminal,
      createdAt: at,
      startedAt: running.status === "created" ? null : at,
      restartCount: 0,
      oomCount: running.exit?.oomCount ?? running.oomCount
    }))

  protected readonly removeWhenEnded = (id: string) => {
    const entry = this.entries.get(id)
    if (entry?.autoRemove === true && entry.task?.exit !== null) this.entries.delete(id)
  }

  protected readonly steer = (id: string, operation: string, from: Running["status"], to: Running["status"]) =>
    Effect.gen({ self: this }, function* () {
      const running = yield* this.running(id)
      if (running.status !== from)
        return yield* new FailedPrecondition({ operation, found: running.status, allowed: [from] })
      running.status = to
    })

  protected readonly process = (id: ContainerId, execId: ExecId): Effect.Effect<Process, BerthError> =>
    Effect.map(this.running(id, execId), (running) => ({
      namespace: this.entries.get(id)!.container.namespace,
      containerId: id,
      id: execId,
      status: running.status === "paused" ? "running" : running.status,
      pid: running.pid,
      exitStatus: running.exit?.exitStatus ?? null,
      exitedAt: running.exit?.exitedAt ?? null,
      exitSource: running.exit?.source ?? null,
      stdin: null,
      stdout: null,
      stderr: null,
      terminal: running.terminal,
      spec: { cwd: "/", args: running.args },
      createdAt: at,
      startedAt: null
    }))

  readonly containers = Containers.of({
    create: (request) =>
      this.answer(
        "containers.create",
        request,
        Effect.gen({ self: this }, function* () {
          if (this.entries.has(request.id)) return yield* new AlreadyExists({ kind: "container", id: request.id })
          const container: Container = {
            namespace: yield* CurrentNamespace,
            id: request.id,
            labels: request.labels ?? {},
            runtime: { name: request.runtime?.name ?? RuntimeName.make("fake"), options: {} },
            spec: request.spec,
            snapshotKey: null,
            snapshotter: null,
            createdAt: at,
            updatedAt: at,
            extensions: {}
          }
          this.entries.set(request.id, { container, task: null, autoRemove: false, execs: new Map() })
          return container
        })
      ),
    get: (id) =>
      this.answer(
        "containers.get",
        id,
        Effect.map(this.entry(id), ({ container }) => container)
      ),
    list: (request) =>
      this.answer(
        "containers.list",
        request,
        Effect.sync(() => [...this.entries.values()].map(({ container }) => container))
      ),
    update: (id, patch) =>
      this.answer(
        "containers.update",
        { id, patch },
        Effect.map(this.entry(id), (entry) => {
          const labels = Object.entries({ ...entry.container.labels, ...patch.labels }).flatMap(([key, value]) =>
            value === null ? [] : [[key, value] as const]
          )
          const container = { ...entry.container, labels: Object.fromEntries(labels) }
          this.entries.set(id, { ...entry, container })
          return container
        })
      ),
    delete: (id) =>
      this.answer(
        "containers.delete",
        id,
        Effect.map(this.entry(id), () => void this.entries.delete(id))
      )
  })
}
