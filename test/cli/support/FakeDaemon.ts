/**
 * A daemon of a few lines for tests of the command line: containers and tasks in memory, processes that are small scripts. It knows the errors that
 * commands have to deal with, and keeps what it was asked for.
 */
import { Deferred, Effect, Layer, Stream } from "effect"
import * as TaskRun from "../../../src/actors/TaskRun.ts"
import {
  AlreadyExists,
  FailedPrecondition,
  RuntimeFailed,
  Unavailable,
  WaitTimeout
} from "../../../src/schema/Errors.ts"
import { ContainerId } from "../../../src/schema/Ids.ts"
import { Containers } from "../../../src/services/Containers.ts"
import { Events } from "../../../src/services/Events.ts"
import { System } from "../../../src/services/System.ts"
import { Tasks } from "../../../src/services/Tasks.ts"
import { FakeContainers } from "./FakeContainers.ts"
import { at, Running } from "./FakeProcess.ts"
import { processInfo, sample } from "./Samples.ts"

const text = new TextDecoder()

/** A fake daemon with what happened to it. */
export class FakeDaemon extends FakeContainers {
  readonly tasks: Tasks["Service"] = Tasks.of({
    ...TaskRun.make(
      {
        createBoth: (container, request) =>
          Effect.as(this.containers.create(container), { created: this.tasks.create(request) }),
        start: (id) => this.tasks.start(id),
        wait: (request) => this.tasks.wait(request),
        output: (request) => this.tasks.output(request),
        writeStdin: (request) => this.tasks.writeStdin(request),
        closeStdin: (request) => this.tasks.closeStdin(request)
      },
      (id) => {
        const task = this.entries.get(id)?.task
        const removed = task == null ? Effect.succeed(null) : this.tasks.delete({ id, force: true })
        return Effect.ensuring(
          removed,
          Effect.sync(() => void this.entries.delete(id))
        )
      }
    ),
    create: (request) =>
      this.answer(
        "tasks.create",
        request,
        Effect.gen({ self: this }, function* () {
          const entry = yield* this.entry(request.id)
          const { process } = entry.container.spec
          if (process?.args?.[0] === "uncreatable") return yield* failed("create", "failed")
          entry.task = new Running(process, request.stdio, 100 + this.entries.size)
          entry.autoRemove = request.autoRemove ?? false
          return yield* this.task(request.id)
        })
      ),
    start: (id) =>
      this.answer(
        "tasks.start",
        id,
        Effect.gen({ self: this }, function* () {
          const running = yield* this.running(id)
          if (running.status !== "created") {
            return yield* new FailedPrecondition({ operation: "start", found: running.status, allowed: ["created"] })
          }
          if (running.args[0] === "nowhere") return yield* failed("start", "command-not-found")
          if (running.args[0] === "/etc/passwd") return yield* failed("start", "command-not-executable")
          running.begin(id)
          const task = yield* this.task(id)
          this.removeWhenEnded(id)
          return task
        })
      ),
    get: (id) => this.answer("tasks.get", id, this.task(id)),
    list: (request) =>
      this.answer(
        "tasks.list",
        request,
        Effect.suspend(() =>
          Effect.forEach(
            [...this.entries].filter(([, { task }]) => task !== null),
            ([id]) => this.task(id)
          )
        )
      ),
    signal: (request) =>
      this.answer(
        "tasks.signal",
        request,
        Effect.map(this.running(request.id, request.execId), (running) => {
          if (running.args[0] === "stubborn" && request.signal !== 9) return
          running.end(request.execId ?? request.id, 128 + request.signal)
          this.removeWhenEnded(request.id)
        })
      ),
    stop: (request) =>
      this.answer(
        "tasks.stop",
        request,
        Effect.map(this.running(request.id), (running) => {
          running.end(request.id, 128 + (request.signal ?? 15))
          return { stage: "signal" as const, exit: running.exit! }
        })
      ),
    pause: (id) =>
      this.answer("tasks.pause", id, Effect.andThen(this.steer(id, "pause", "running", "paused"), this.task(id))),
    resume: (id) =>
      this.answer("tasks.resume", id, Effect.andThen(this.steer(id, "resume", "paused", "running"), this.task(id))),
    wait: (request) =>
      this.answer(
        "tasks.wait",
        request,
        Effect.flatMap(this.running(request.id, request.execId), (running) =>
          request.timeoutMillis === undefined
            ? Deferred.await(running.ended)
            : Effect.timeoutOrElse(Deferred.await(running.ended), {
                duration: request.timeoutMillis,
                orElse: () => Effect.fail(new WaitTimeout({ id: request.id, milliseconds: request.timeoutMillis ?? 0 }))
              })
        )
      ),
    clean: (id) =>
      this.answer(
        "tasks.clean",
        id,
        Effect.catchTag(this.tasks.delete({ id, force: true }), "NotFound", () => Effect.succeed(null))
      ),
    delete: (request) =>
      this.answer(
        "tasks.delete",
        request,
        Effect.gen({ self: this }, function* () {
          const running = yield* this.running(request.id)
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
      this.answer(
        "tasks.update",
        request,
        Effect.as(this.running(request.id), {
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
      this.answer(
        "tasks.pids",
        id,
        Effect.map(this.running(id), ({ pid }) => [pid, pid + 1])
      ),
    processTable: (id) =>
      this.answer(
        "tasks.processTable",
        id,
        Effect.map(this.living(id), ({ args, pid }) => [processInfo(pid, args, ++this.samples)])
      ),
    stats: (id) =>
      this.answer(
        "tasks.stats",
        id,
        Effect.map(this.living(id), () => sample(id, ++this.samples))
      ),
    listStats: (request) =>
      this.answer(
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
      this.answer(
        "tasks.exec",
        request,
        Effect.gen({ self: this }, function* () {
          yield* this.running(request.id)
          const { execs } = yield* this.entry(request.id)
          if (execs.has(request.execId)) return yield* new AlreadyExists({ kind: "exec", id: request.execId })
          execs.set(request.execId, new Running(request.process, request.stdio))
          return yield* this.process(request.id, request.execId)
        })
      ),
    startExec: ({ execId, id }) =>
      this.answer(
        "tasks.startExec",
        { execId, id },
        Effect.gen({ self: this }, function* () {
          const running = yield* this.running(id, execId)
          if (running.args[0] === "nowhere") {
            // As crun does: what it has to say is on the standard error of the process too.
            running.print("stderr", "nowhere: not found\n")
            yield* Effect.yieldNow
            return yield* failed("exec", "command-not-found")
          }
          running.begin(execId ?? "")
          return yield* this.process(id, execId!)
        })
      ),
    deleteExec: (request) =>
      this.answer(
        "tasks.deleteExec",
        request,
        Effect.map(this.running(request.id, request.execId), (running) => {
          this.entries.get(request.id)!.execs.delete(request.execId)
          return running.exit
        })
      ),
    processes: (id) =>
      this.answer(
        "tasks.processes",
        id,
        Effect.flatMap(this.entry(id), ({ execs }) =>
          Effect.forEach([...execs.keys()], (execId) => this.process(id, execId))
        )
      ),
    output: (request) =>
      Stream.unwrap(
        this.answer(
          "tasks.output",
          request,
          Effect.map(this.running(request.id, request.execId), (running) => running.output(request))
        )
      ),
    writeStdin: (request) =>
      this.answer(
        "tasks.writeStdin",
        request.bytes.length,
        Effect.map(this.running(request.id, request.execId), (running) => {
          running.type(request.execId ?? request.id, text.decode(request.bytes))
          this.removeWhenEnded(request.id)
        })
      ),
    resize: (request) => this.answer("tasks.resize", request, Effect.void),
    closeStdin: ({ execId, id }) =>
      this.answer(
        "tasks.closeStdin",
        { execId, id },
        Effect.map(this.running(id, execId), (running) => {
          if (running.args[0] !== "cat") return
          running.print("stdout", running.input)
          running.end(execId ?? id, 0)
        })
      )
  })

  readonly #subscribe = Events.of({
    subscribe: (request) =>
      Stream.unwrap(
        this.answer(
          "events.subscribe",
          request,
          Effect.sync(() => Stream.fromIterable(this.events))
        )
      ),
    acknowledge: (request) => this.answer("events.acknowledge", request, Effect.void),
    consumers: Effect.suspend(() => this.answer("events.consumers", null, Effect.succeed(this.consumers))),
    forget: (consumer) => this.answer("events.forget", consumer, Effect.void)
  })

  readonly #system = System.of({
    orphans: (request) => this.answer("system.orphans", request, Effect.succeed([])),
    info: this.answer(
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
    runtimes: Effect.suspend(() => this.answer("system.runtimes", null, Effect.succeed(this.drivers)))
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
