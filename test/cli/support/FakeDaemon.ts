/**
 * A daemon of a few lines for tests of the command line: containers and tasks in memory, processes that are small scripts. It knows the errors that
 * commands have to deal with, and keeps what it was asked for.
 */
import { DateTime, Deferred, Effect, Layer, Stream } from "effect"
import * as TaskRun from "../../../src/actors/TaskRun.ts"
import type { Container } from "../../../src/schema/Container.ts"
import type { BerthError } from "../../../src/schema/Errors.ts"
import {
  AlreadyExists,
  FailedPrecondition,
  NotFound,
  RuntimeFailed,
  Unavailable,
  WaitTimeout
} from "../../../src/schema/Errors.ts"
import type { Consumer, Event } from "../../../src/schema/Events.ts"
import { ContainerId, type ExecId, RuntimeName } from "../../../src/schema/Ids.ts"
import type { OciProcess } from "../../../src/schema/OciSpec.ts"
import { defaultStdio } from "../../../src/schema/Process.ts"
import type { Exit, OutputChunk, Process, Stdio } from "../../../src/schema/Process.ts"
import type { DriverInfo } from "../../../src/schema/Runtime.ts"
import type { OutputRequest } from "../../../src/schema/Requests.ts"
import type { Task } from "../../../src/schema/Task.ts"
import { processInfo, sample } from "./Samples.ts"
import { Containers } from "../../../src/services/Containers.ts"
import { CurrentNamespace } from "../../../src/services/CurrentNamespace.ts"
import { Events } from "../../../src/services/Events.ts"
import * as OutputTail from "../../../src/services/OutputTail.ts"
import { leaveOut } from "../../../src/services/OutputTail.ts"
import { System } from "../../../src/services/System.ts"
import { Tasks } from "../../../src/services/Tasks.ts"

const none = () => ({ stdout: 0, stderr: 0 })
const at = DateTime.makeUnsafe("2026-01-01T00:00:00Z")
const text = new TextDecoder()
const reaped = { source: "reaped", oomCount: 0, memoryPeak: null } as const
const bytes = new TextEncoder()

/** One process: what it is to do is in its arguments. */
class Running {
  readonly args: ReadonlyArray<string>
  readonly stdio: Stdio
  readonly pid: number
  readonly terminal: boolean
  status: "created" | "running" | "paused" | "stopped" = "created"
  exit: Exit | null = null
  oomCount = 0
  readonly ended = Deferred.makeUnsafe<Exit>()
  readonly chunks: Array<OutputChunk> = []
  changed = Deferred.makeUnsafe<void>()
  input = ""

  constructor(process: OciProcess | undefined, stdio: Stdio = defaultStdio, pid = 500) {
    this.args = process?.args ?? []
    this.terminal = process?.terminal === true
    this.stdio = stdio
    this.pid = pid
  }

  print(stream: "stdout" | "stderr", data: string) {
    this.chunks.push({ stream, at, bytes: bytes.encode(data) })
    const { changed } = this
    this.changed = Deferred.makeUnsafe()
    Deferred.doneUnsafe(changed, Effect.void)
  }

  end(id: string, exitStatus: number) {
    if (this.exit !== null) return
    this.status = "stopped"
    this.exit = { id, pid: this.pid, exitStatus, exitedAt: at, oomKilled: false, ...reaped }
    Deferred.doneUnsafe(this.ended, Effect.succeed(this.exit))
    Deferred.doneUnsafe(this.changed, Effect.void)
  }

  /**
   * `echo WORDS`, `warn WORDS` and `exit N` end at once; `cat` ends with its input; `shell` prints what is typed and ends
   * at ctrl-D; anything else runs until it is killed.
   */
  begin(id: string) {
    this.status = "running"
    const [program, ...words] = this.args
    if (program === "shell") this.print("stdout", "$ ")
    if (program === "echo") this.print("stdout", `${words.join(" ")}\n`)
    if (program === "warn") this.print("stderr", `${words.join(" ")}\n`)
    if (program === "echo" || program === "warn") this.end(id, 0)
    if (program === "exit") this.end(id, Number(words[0]))
  }

  type(id: string, data: string) {
    this.input += data
    if (this.args[0] !== "shell") return
    this.print("stdout", data)
    if (data.includes("\u0004")) this.end(id, 0)
  }

  output({ follow = false, live = false, since, stream, tail }: OutputRequest): Stream.Stream<OutputChunk> {
    const empty: OutputChunk = { stream: "stdout", at, bytes: new Uint8Array() }
    const { from, skip } = tail === undefined ? { from: live ? this.chunks.length : 0, skip: none() } : this.#tail(tail)
    const rest = this.#output(follow, from).pipe(
      Stream.flatMap((chunk) => Stream.fromIterable([leaveOut(skip, chunk)].filter((each) => each !== null))),
      Stream.filter((chunk) => stream === undefined || chunk.stream === stream),
      Stream.filter((chunk) => since === undefined || DateTime.isGreaterThanOrEqualTo(chunk.at, since))
    )
    return live ? Stream.prepend(rest, [empty]) : rest
  }

  #tail(count: number) {
    const counter = OutputTail.make(count)
    let from = this.chunks.length
    while (count > 0 && from > 0 && !counter.add(this.chunks[--from]));
    return { from, skip: counter.skip() }
  }

  #output(follow: boolean, from: number): Stream.Stream<OutputChunk> {
    return Stream.unfold(from, (index) =>
      Effect.gen({ self: this }, function* () {
        while (follow && index >= this.chunks.length && this.exit === null) yield* Deferred.await(this.changed)
        const chunk = this.chunks[index]
        return chunk === undefined ? undefined : ([chunk, index + 1] as const)
      })
    )
  }
}

interface Entry {
  readonly container: Container
  task: Running | null
  autoRemove: boolean
  readonly execs: Map<ExecId, Running>
}

/** A fake daemon with what happened to it. */
export class FakeDaemon {
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

  readonly #call = <A>(call: string, request: unknown, effect: Effect.Effect<A, BerthError>) =>
    Effect.gen({ self: this }, function* () {
      this.calls.push({ call, request })
      this.namespaces.add(yield* CurrentNamespace)
      if (this.failure !== null) return yield* this.failure
      return yield* effect
    })

  readonly #entry = (id: string) => {
    const entry = this.entries.get(id)
    return entry === undefined ? Effect.fail(new NotFound({ kind: "container", id })) : Effect.succeed(entry)
  }

  readonly #running = (id: string, execId?: ExecId | null) =>
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

  readonly #living = (id: string) =>
    Effect.filterOrFail(
      this.#running(id),
      ({ exit }) => exit === null,
      () => new FailedPrecondition({ operation: `take statistics of "${id}"`, found: "stopped", allowed: ["running"] })
    )

  readonly #task = (id: string): Effect.Effect<Task, BerthError> =>
    Effect.map(this.#running(id), (running) => ({
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

  readonly #removeWhenEnded = (id: string) => {
    const entry = this.entries.get(id)
    if (entry?.autoRemove === true && entry.task?.exit !== null) this.entries.delete(id)
  }

  readonly containers = Containers.of({
    create: (request) =>
      this.#call(
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
      this.#call(
        "containers.get",
        id,
        Effect.map(this.#entry(id), ({ container }) => container)
      ),
    list: (request) =>
      this.#call(
        "containers.list",
        request,
        Effect.sync(() => [...this.entries.values()].map(({ container }) => container))
      ),
    update: (id, patch) =>
      this.#call(
        "containers.update",
        { id, patch },
        Effect.map(this.#entry(id), (entry) => {
          const labels = Object.entries({ ...entry.container.labels, ...patch.labels }).flatMap(([key, value]) =>
            value === null ? [] : [[key, value] as const]
          )
          const container = { ...entry.container, labels: Object.fromEntries(labels) }
          this.entries.set(id, { ...entry, container })
          return container
        })
      ),
    delete: (id) =>
      this.#call(
        "containers.delete",
        id,
        Effect.map(this.#entry(id), () => void this.entries.delete(id))
      )
  })

  readonly tasks: Tasks["Service"] = Tasks.of({
    ...TaskRun.make(
      this.containers,
      {
        create: (request) => this.tasks.create(request),
        start: (id) => this.tasks.start(id),
        wait: (request) => this.tasks.wait(request),
        output: (request) => this.tasks.output(request),
        writeStdin: (request) => this.tasks.writeStdin(request),
        closeStdin: (request) => this.tasks.closeStdin(request)
      },
      (id) => {
        const task = this.entries.get(id)?.task
        return task == null ? Effect.succeed(null) : this.tasks.delete({ id, force: true })
      }
    ),
    create: (request) =>
      this.#call(
        "tasks.create",
        request,
        Effect.gen({ self: this }, function* () {
          const entry = yield* this.#entry(request.id)
          const { process } = entry.container.spec
          if (process?.args?.[0] === "uncreatable") return yield* failed("create", "failed")
          entry.task = new Running(process, request.stdio, 100 + this.entries.size)
          entry.autoRemove = request.autoRemove ?? false
          return yield* this.#task(request.id)
        })
      ),
    start: (id) =>
      this.#call(
        "tasks.start",
        id,
        Effect.gen({ self: this }, function* () {
          const running = yield* this.#running(id)
          if (running.status !== "created") {
            return yield* new FailedPrecondition({ operation: "start", found: running.status, allowed: ["created"] })
          }
          if (running.args[0] === "nowhere") return yield* failed("start", "command-not-found")
          if (running.args[0] === "/etc/passwd") return yield* failed("start", "command-not-executable")
          running.begin(id)
          const task = yield* this.#task(id)
          this.#removeWhenEnded(id)
          return task
        })
      ),
    get: (id) => this.#call("tasks.get", id, this.#task(id)),
    list: (request) =>
      this.#call(
        "tasks.list",
        request,
        Effect.suspend(() =>
          Effect.forEach(
            [...this.entries].filter(([, { task }]) => task !== null),
            ([id]) => this.#task(id)
          )
        )
      ),
    signal: (request) =>
      this.#call(
        "tasks.signal",
        request,
        Effect.map(this.#running(request.id, request.execId), (running) => {
          if (running.args[0] === "stubborn" && request.signal !== 9) return
          running.end(request.execId ?? request.id, 128 + request.signal)
          this.#removeWhenEnded(request.id)
        })
      ),
    stop: (request) =>
      this.#call(
        "tasks.stop",
        request,
        Effect.map(this.#running(request.id), (running) => {
          running.end(request.id, 128 + (request.signal ?? 15))
          return { stage: "signal" as const, exit: running.exit! }
        })
      ),
    pause: (id) =>
      this.#call("tasks.pause", id, Effect.andThen(this.#steer(id, "pause", "running", "paused"), this.#task(id))),
    resume: (id) =>
      this.#call("tasks.resume", id, Effect.andThen(this.#steer(id, "resume", "paused", "running"), this.#task(id))),
    wait: (request) =>
      this.#call(
        "tasks.wait",
        request,
        Effect.flatMap(this.#running(request.id, request.execId), (running) =>
          request.timeoutMillis === undefined
            ? Deferred.await(running.ended)
            : Effect.timeoutOrElse(Deferred.await(running.ended), {
                duration: request.timeoutMillis,
                orElse: () => Effect.fail(new WaitTimeout({ id: request.id, milliseconds: request.timeoutMillis ?? 0 }))
              })
        )
      ),
    clean: (id) =>
      this.#call(
        "tasks.clean",
        id,
        Effect.catchTag(this.tasks.delete({ id, force: true }), "NotFound", () => Effect.succeed(null))
      ),
    delete: (request) =>
      this.#call(
        "tasks.delete",
        request,
        Effect.gen({ self: this }, function* () {
          const running = yield* this.#running(request.id)
          if (running.status === "running" && request.force !== true) {
            return yield* new FailedPrecondition({
              operation: "delete",
              found: "running",
              allowed: ["created", "stopped"]
            })
          }
          if (running.status !== "created") running.end(request.id, 137)
          this.entries.get(request.id)!.task = null
          return running.exit
        })
      ),
    update: (request) =>
      this.#call(
        "tasks.update",
        request,
        Effect.as(this.#running(request.id), {
          id: request.id,
          resources: {
            memory: { limit: 67_108_864, swap: -1 },
            cpu: { quota: 150_000, period: 100_000 },
            ...request.resources
          },
          annotations: Object.fromEntries(
            Object.entries(request.annotations ?? {}).flatMap(([key, value]) => (value === null ? [] : [[key, value]]))
          )
        })
      ),
    pids: (id) =>
      this.#call(
        "tasks.pids",
        id,
        Effect.map(this.#running(id), ({ pid }) => [pid, pid + 1])
      ),
    processTable: (id) =>
      this.#call(
        "tasks.processTable",
        id,
        Effect.map(this.#living(id), ({ args, pid }) => [processInfo(pid, args, ++this.samples)])
      ),
    stats: (id) =>
      this.#call(
        "tasks.stats",
        id,
        Effect.map(this.#living(id), () => sample(id, ++this.samples))
      ),
    listStats: (request) =>
      this.#call(
        "tasks.listStats",
        request,
        Effect.sync(() => {
          this.samples++
          return [...this.entries]
            .filter(
              ([id, { task }]) =>
                task !== null && task.exit === null && (request.ids?.includes(ContainerId.make(id)) ?? true)
            )
            .map(([id]) => sample(id, this.samples))
        })
      ),
    exec: (request) =>
      this.#call(
        "tasks.exec",
        request,
        Effect.gen({ self: this }, function* () {
          yield* this.#running(request.id)
          const { execs } = yield* this.#entry(request.id)
          if (execs.has(request.execId)) return yield* new AlreadyExists({ kind: "exec", id: request.execId })
          execs.set(request.execId, new Running(request.process, request.stdio))
          return yield* this.#process(request.id, request.execId)
        })
      ),
    startExec: ({ execId, id }) =>
      this.#call(
        "tasks.startExec",
        { execId, id },
        Effect.gen({ self: this }, function* () {
          const running = yield* this.#running(id, execId)
          if (running.args[0] === "nowhere") {
            // As crun does: what it has to say is on the standard error of the process too.
            running.print("stderr", "nowhere: not found\n")
            yield* Effect.yieldNow
            return yield* failed("exec", "command-not-found")
          }
          running.begin(execId ?? "")
          return yield* this.#process(id, execId!)
        })
      ),
    deleteExec: (request) =>
      this.#call(
        "tasks.deleteExec",
        request,
        Effect.map(this.#running(request.id, request.execId), (running) => {
          this.entries.get(request.id)!.execs.delete(request.execId)
          return running.exit
        })
      ),
    processes: (id) =>
      this.#call(
        "tasks.processes",
        id,
        Effect.flatMap(this.#entry(id), ({ execs }) =>
          Effect.forEach([...execs.keys()], (execId) => this.#process(id, execId))
        )
      ),
    output: (request) =>
      Stream.unwrap(
        this.#call(
          "tasks.output",
          request,
          Effect.map(this.#running(request.id, request.execId), (running) => running.output(request))
        )
      ),
    writeStdin: (request) =>
      this.#call(
        "tasks.writeStdin",
        request.bytes.length,
        Effect.map(this.#running(request.id, request.execId), (running) => {
          running.type(request.execId ?? request.id, text.decode(request.bytes))
          this.#removeWhenEnded(request.id)
        })
      ),
    resize: (request) => this.#call("tasks.resize", request, Effect.void),
    closeStdin: ({ execId, id }) =>
      this.#call(
        "tasks.closeStdin",
        { execId, id },
        Effect.map(this.#running(id, execId), (running) => {
          if (running.args[0] !== "cat") return
          running.print("stdout", running.input)
          running.end(execId ?? id, 0)
        })
      )
  })

  readonly #steer = (id: string, operation: string, from: Running["status"], to: Running["status"]) =>
    Effect.gen({ self: this }, function* () {
      const running = yield* this.#running(id)
      if (running.status !== from)
        return yield* new FailedPrecondition({ operation, found: running.status, allowed: [from] })
      running.status = to
    })

  readonly #process = (id: ContainerId, execId: ExecId): Effect.Effect<Process, BerthError> =>
    Effect.map(this.#running(id, execId), (running) => ({
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

  readonly #subscribe = Events.of({
    subscribe: (request) =>
      Stream.unwrap(
        this.#call(
          "events.subscribe",
          request,
          Effect.sync(() => Stream.fromIterable(this.events))
        )
      ),
    acknowledge: (request) => this.#call("events.acknowledge", request, Effect.void),
    consumers: Effect.suspend(() => this.#call("events.consumers", null, Effect.succeed(this.consumers))),
    forget: (consumer) => this.#call("events.forget", consumer, Effect.void)
  })

  readonly #system = System.of({
    orphans: (request) => this.#call("system.orphans", request, Effect.succeed([])),
    info: this.#call(
      "system.info",
      null,
      Effect.succeed({
        version: "9.9.9",
        pid: 42,
        startedAt: at,
        node: "v24.0.0",
        kernel: "6.18.0",
        cgroup: "v2" as const,
        defaultRuntime: "fake",
        root: "/r",
        state: "/s"
      })
    ),
    runtimes: Effect.suspend(() => this.#call("system.runtimes", null, Effect.succeed(this.drivers)))
  })

  /** The four services. */
  get layer() {
    return Layer.mergeAll(
      Layer.succeed(Containers, this.containers),
      Layer.succeed(Tasks, this.tasks),
      Layer.succeed(Events, this.#subscribe),
      Layer.succeed(System, this.#system)
    )
  }
}

const failed = (command: string, reason: RuntimeFailed["reason"]) =>
  new RuntimeFailed({ runtime: "fake", command, exitCode: 1, reason, detail: `${reason}: no such thing`, log: [] })

/** What every call to a daemon that is not there fails with. */
export const nobody = new Unavailable({
  what: "daemon",
  problem: "nobody answers",
  mend: `start one with "berth daemon"`
})
