/**
 * What every berth does, whatever is under it: the mock, a runtime in this process, or a daemon behind a socket. One program, unchanged, on all of them.
 */
import { assert, layer as suiteLayer } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import type { Scope } from "effect"
import type { Capability } from "../../src/schema/Runtime.ts"
import type { BerthError, ContainerId, System } from "../../src/index.ts"
import {
  ConsumerName,
  Containers,
  CurrentNamespace,
  Events,
  ExecId,
  Namespace,
  ProcessSpec,
  Seq,
  Tasks
} from "../../src/index.ts"
import { untilDone } from "../support/testTime.ts"
import { container, created, freshId, history, running } from "../support/container.ts"

export interface Place {
  readonly name: string
  readonly layer: Layer.Layer<Containers | Tasks | Events | System, BerthError>
  /** Cases that need another capability are left out, and it says so; where it is absent none is. */
  readonly capabilities?: ReadonlyArray<Capability>
  /** A root filesystem with busybox in it, or any path where none is looked at. */
  readonly rootfs: string
  /** Real processes in real time; else the test clock is moved on until a case is done. */
  readonly real: boolean
  /** Behind a typed client. */
  readonly remote?: boolean
}

const text = (id: ContainerId, execId: ExecId | null = null) =>
  Effect.flatMap(Tasks, (tasks) =>
    Stream.runFold(
      Stream.filter(tasks.output({ id, execId, follow: true }), ({ stream }) => stream === "stdout"),
      () => "",
      (all, { bytes }) => all + new TextDecoder().decode(bytes)
    )
  )

const tagOf = <A, R>(effect: Effect.Effect<A, BerthError, R>) => Effect.map(Effect.flip(effect), ({ _tag }) => _tag)

export const berthSuite = (place: Place) => {
  suiteLayer(place.layer, { excludeTestServices: place.real, timeout: "60 seconds" })(place.name, (it) => {
    const test = (
      name: string,
      body: () => Effect.Effect<void, unknown, Containers | Tasks | Events | System | Scope.Scope>,
      needs: ReadonlyArray<Capability> = []
    ) => {
      const lacking = needs.filter((capability) => place.capabilities?.includes(capability) === false)
      if (lacking.length === 0) {
        return it.effect(name, () => (place.real ? body() : untilDone(Effect.scoped(body()))))
      }
      process.stderr.write(`berth suite ${place.name}: without ${lacking.join(", ")}, so without: ${name}\n`)
    }

    test("runs a command: output, exit code, events in order", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* created(place.rootfs, ["/bin/sh", "-c", "echo hi; exit 7"])
        const output = yield* Effect.forkChild(text(id), { startImmediately: true })
        const waiter = yield* Effect.forkChild(tasks.wait({ id }), { startImmediately: true })
        assert.strictEqual((yield* tasks.get(id)).status, "created")
        yield* tasks.start(id)
        const exit = yield* Fiber.join(waiter)
        assert.deepStrictEqual([exit.exitStatus, exit.source, exit.oomKilled], [7, "reaped", false])
        assert.strictEqual(yield* Fiber.join(output), "hi\n")
        const stopped = yield* tasks.get(id)
        assert.deepStrictEqual([stopped.status, stopped.exitStatus, stopped.exitSource], ["stopped", 7, "reaped"])
        assert.deepStrictEqual(yield* tasks.wait({ id }), exit)
        assert.deepStrictEqual(yield* tasks.delete({ id }), exit)
        yield* (yield* Containers).delete(id)
        assert.deepStrictEqual(yield* history(id), [
          "/containers/create",
          "/tasks/create",
          "/tasks/start",
          "/tasks/exit",
          "/tasks/delete",
          "/containers/delete"
        ])
      }))

    test("is cleaned as often as one likes, whatever it is at", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, ["/bin/sleep", "1000"])
        const exits = yield* Effect.all([tasks.clean(id), tasks.clean(id), tasks.clean(id)], {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          exits.map((exit) => exit?.exitStatus),
          [137, 137, 137]
        )
        assert.isNull(yield* tasks.clean(id))
        yield* (yield* Containers).delete(id)
        assert.isNull(yield* tasks.clean(id))
      }))

    test("keeps the place of a reader of events", () =>
      Effect.gen(function* () {
        const events = yield* Events
        const consumer = ConsumerName.make("billing")
        const rest = Effect.map(Stream.runCollect(events.subscribe({ consumer })), (found) =>
          found.map(({ seq }) => seq)
        )
        yield* created(place.rootfs, ["/bin/true"])
        const all = yield* rest
        const [first, second] = all
        if (first === undefined || second === undefined) return assert.fail("too few events")
        yield* events.acknowledge({ consumer, seq: second })
        assert.deepStrictEqual(yield* rest, all.slice(2))
        yield* events.acknowledge({ consumer, seq: first })
        const kept = yield* events.consumers
        assert.deepStrictEqual(
          kept.map(({ name, seq }) => [name, seq]),
          [[consumer, second]]
        )
        const beyond = Seq.make(1_000_000)
        assert.strictEqual(yield* tagOf(events.acknowledge({ consumer, seq: beyond })), "InvalidArgument")
        const elsewhere = yield* Effect.provideService(events.consumers, CurrentNamespace, Namespace.make("elsewhere"))
        assert.deepStrictEqual(elsewhere, [])
        yield* events.forget(consumer)
        yield* events.forget(consumer)
        assert.deepStrictEqual((yield* rest).slice(0, all.length), all)
      }))

    test("pauses and resumes", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, ["/bin/sleep", "1000"])
        assert.strictEqual((yield* tasks.pause(id)).status, "paused")
        assert.strictEqual(yield* tagOf(tasks.pause(id)), "FailedPrecondition")
        assert.strictEqual((yield* tasks.resume(id)).status, "running")
        yield* tasks.pause(id)
        yield* tasks.signal({ id, signal: 9 })
        assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 137)
      }))

    test("runs a process beside init, with its own id, output and code", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, ["/bin/sleep", "1000"])
        const execId = ExecId.make("job")
        const { spec } = yield* (yield* Containers).get(id)
        const process = yield* Effect.fromResult(
          ProcessSpec.makeProcess(spec, { args: ["/bin/sh", "-c", "echo job; exit 3"] })
        )
        assert.strictEqual((yield* tasks.exec({ id, execId, process })).status, "created")
        assert.strictEqual(yield* tagOf(tasks.exec({ id, execId, process })), "AlreadyExists")
        yield* tasks.startExec({ id, execId })
        assert.strictEqual((yield* tasks.wait({ id, execId })).exitStatus, 3)
        assert.strictEqual(yield* text(id, execId), "job\n")
        assert.strictEqual((yield* tasks.deleteExec({ id, execId }))?.exitStatus, 3)
        assert.strictEqual((yield* tasks.get(id)).status, "running")
        yield* tasks.exec({ id, execId, process })
        assert.isNull(yield* tasks.deleteExec({ id, execId }))
        assert.deepStrictEqual((yield* history(id)).slice(3), [
          "/tasks/exec-added:job",
          "/tasks/exec-started:job",
          "/tasks/exit:job",
          "/tasks/exec-added:job"
        ])
      }))

    test("ends execs before init", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, ["/bin/sleep", "1000"])
        const { spec } = yield* (yield* Containers).get(id)
        const process = yield* Effect.fromResult(ProcessSpec.makeProcess(spec, { args: ["/bin/sleep", "1000"] }))
        for (const name of ["a", "b", "c"]) {
          yield* tasks.exec({ id, execId: ExecId.make(name), process })
          yield* tasks.startExec({ id, execId: ExecId.make(name) })
        }
        yield* tasks.signal({ id, signal: 9 })
        yield* tasks.wait({ id })
        const exits = (yield* history(id)).filter((topic) => topic.startsWith("/tasks/exit"))
        assert.deepStrictEqual(exits.slice(0, 3).sort(), ["/tasks/exit:a", "/tasks/exit:b", "/tasks/exit:c"])
        assert.deepStrictEqual(exits.slice(3), ["/tasks/exit"])
      }))

    test("feeds standard input and ends it", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, ["/bin/cat"], { stdio: { stdin: true, log: { _tag: "json" } } })
        yield* tasks.writeStdin({ id, bytes: new TextEncoder().encode("one\n") })
        yield* tasks.writeStdin({ id, bytes: new TextEncoder().encode("two\n") })
        yield* tasks.closeStdin({ id })
        assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 0)
        assert.strictEqual(yield* text(id), "one\ntwo\n")
      }))

    const alone = ["isolation"] as const
    test(
      "stops: the signal where it is heeded, else SIGKILL",
      () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          // The first process of a pid namespace does not heed what it has no handler for.
          const deaf = yield* running(place.rootfs, ["/bin/sleep", "1000"])
          const killed = yield* tasks.stop({ id: deaf, timeoutMillis: 200 })
          assert.deepStrictEqual([killed.stage, killed.exit.exitStatus], ["kill", 137])
          assert.strictEqual((yield* tasks.stop({ id: deaf })).stage, "already-stopped")
        }),
      alone
    )

    test("says what is wrong, and leaves nothing", () =>
      Effect.gen(function* () {
        const containers = yield* Containers
        const tasks = yield* Tasks
        const nobody = yield* freshId
        assert.strictEqual(yield* tagOf(tasks.get(nobody)), "NotFound")
        assert.strictEqual(yield* tagOf(tasks.create({ id: nobody })), "NotFound")
        assert.strictEqual(yield* tagOf(containers.delete(nobody)), "NotFound")
        const id = yield* container(place.rootfs, "/no/such/program")
        const { spec } = yield* containers.get(id)
        assert.strictEqual(yield* tagOf(containers.create({ id, spec })), "AlreadyExists")
        const error = yield* Effect.flip(tasks.create({ id }))
        assert.deepStrictEqual(
          [error._tag, "reason" in error ? error.reason : null],
          ["RuntimeFailed", "command-not-found"]
        )
        assert.strictEqual(yield* tagOf(tasks.get(id)), "NotFound")
        yield* containers.delete(id)
        const alive = yield* running(place.rootfs, ["/bin/sleep", "1000"])
        assert.strictEqual(yield* tagOf(tasks.create({ id: alive })), "AlreadyExists")
        assert.strictEqual(yield* tagOf(tasks.start(alive)), "FailedPrecondition")
        assert.strictEqual(yield* tagOf(tasks.resume(alive)), "FailedPrecondition")
        assert.strictEqual(yield* tagOf(tasks.delete({ id: alive })), "FailedPrecondition")
        assert.strictEqual(yield* tagOf(containers.delete(alive)), "FailedPrecondition")
        assert.strictEqual(yield* tagOf(tasks.wait({ id: alive, timeoutMillis: 20 })), "WaitTimeout")
        assert.strictEqual((yield* tasks.delete({ id: alive, force: true }))?.exitStatus, 137)
        assert.strictEqual(yield* tagOf(tasks.get(alive)), "NotFound")
      }))

    test("keeps namespaces apart", () =>
      Effect.gen(function* () {
        const containers = yield* Containers
        const id = yield* container(place.rootfs, "/bin/true")
        const other = Effect.provideService(CurrentNamespace, Namespace.make("other"))
        assert.strictEqual(yield* tagOf(containers.get(id).pipe(other)), "NotFound")
        assert.deepStrictEqual(yield* containers.list({}).pipe(other), [])
        assert.strictEqual((yield* containers.list({ filters: [`id==${id}`] })).length, 1)
      }))

    test("removes a task and its container by itself on exit", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* created(place.rootfs, ["/bin/true"], { autoRemove: true })
        const exit = yield* Effect.forkChild(tasks.wait({ id }), { startImmediately: true })
        const gone = yield* (yield* Events).subscribe({ follow: true, filters: [`id==${id}`] }).pipe(
          Stream.takeUntil(({ topic }) => topic === "/containers/delete"),
          Stream.runDrain,
          Effect.forkChild({ startImmediately: true })
        )
        yield* tasks.start(id)
        assert.strictEqual((yield* Fiber.join(exit)).exitStatus, 0)
        yield* Fiber.join(gone)
        assert.strictEqual(yield* tagOf((yield* Containers).get(id)), "NotFound")
      }))

    test("twenty at once", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const codes = yield* Effect.forEach(
          Array.from({ length: 20 }, (_, n) => n),
          Effect.fnUntraced(function* (n: number) {
            const id = yield* running(place.rootfs, ["/bin/sh", "-c", `exit ${n}`])
            return (yield* tasks.wait({ id })).exitStatus
          }),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          codes,
          Array.from({ length: 20 }, (_, n) => n)
        )
      }))
  })
}
