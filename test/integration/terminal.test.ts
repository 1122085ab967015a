/** Terminals of real containers, through a daemon with its shim, on runc and on crun. */
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { NodeServices } from "@effect/platform-node"
import { Context, Effect, Fiber, Layer, Result, Schedule, Scope, Stream } from "effect"
import { Berth, ContainerId, Containers, ExecId, ProcessSpec, Spec, Tasks } from "../../src/index.ts"
import type { CreateTask, ExecTask, OutputRequest } from "../../src/index.ts"
import { freshId } from "../support/container.ts"
import { daemonOn, folders, shimsOf } from "../support/daemon.ts"
import { canRunContainers, installed, rootfsOfFile } from "../support/rootfs.ts"

const rootfs = rootfsOfFile()
const interactive: CreateTask["stdio"] = { stdin: true, log: { _tag: "json" } }
const ctrlC = "\u0003"
const ctrlD = "\u0004"

/** The daemon of a test, which can be killed and started again. */
class Server extends Context.Service<Server, { readonly state: string; readonly restart: Effect.Effect<void> }>()(
  "test/terminal/Server"
) {}

const served = (runtime: string) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const place = yield* folders
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => shimsOf(place.state).forEach((pid) => process.kill(pid, "SIGKILL")))
      )
      const { address, pid } = yield* daemonOn(place, { runtime })
      const restart = Effect.gen(function* () {
        process.kill(pid, "SIGKILL")
        yield* daemonOn(place, { runtime })
      }).pipe(Effect.orDie, Scope.provide(scope))
      return Layer.merge(Berth.layerClient({ address }), Layer.succeed(Server)({ state: place.state, restart }))
    })
  ).pipe(Layer.provide(NodeServices.layer), Layer.orDie)

const sh = (script: string) => ["/bin/sh", "-c", script]

const created = Effect.fnUntraced(function* (args: ReadonlyArray<string>, options: Partial<CreateTask> = {}) {
  const containers = yield* Containers
  const tasks = yield* Tasks
  const id = yield* freshId
  const spec = Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args, terminal: true }))
  yield* Effect.acquireRelease(containers.create({ id, spec }), () =>
    Effect.ignore(Effect.andThen(Effect.ignore(tasks.delete({ id, force: true })), containers.delete(id)))
  )
  yield* tasks.create({ id, stdio: interactive, ...options })
  return id
})

const running = Effect.fnUntraced(function* (args: ReadonlyArray<string>, options: Partial<CreateTask> = {}) {
  const id = yield* created(args, options)
  yield* (yield* Tasks).start(id)
  return id
})

const type = (id: ContainerId, text: string, execId: ExecId | null = null) =>
  Effect.flatMap(Tasks, (tasks) => tasks.writeStdin({ id, execId, bytes: new TextEncoder().encode(text) }))

const chunks = (request: OutputRequest) => Stream.unwrap(Effect.map(Tasks, (tasks) => tasks.output(request)))

/** All that a terminal has shown, when its process has ended. */
const shown = (id: ContainerId, execId: ExecId | null = null) =>
  Stream.runFold(
    chunks({ id, execId, follow: true }),
    () => "",
    (all, { bytes, stream }) => {
      assert.strictEqual(stream, "stdout")
      return all + new TextDecoder().decode(bytes)
    }
  )

/** Waits until a terminal has shown this. */
const untilShown = (id: ContainerId, text: string, execId: ExecId | null = null) =>
  chunks({ id, execId, follow: true }).pipe(
    Stream.scan(
      () => "",
      (all: string, { bytes }) => all + new TextDecoder().decode(bytes)
    ),
    Stream.takeUntil((all) => all.includes(text)),
    Stream.runDrain
  )

/** For a shell that traps a signal: it must not come between two commands and be missed. */
const asleep = "while [ -z $woken ]; do sleep 0.02; done"
const winch = "trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.05; done"

const added = Effect.fnUntraced(function* (id: ContainerId, args: ReadonlyArray<string>, more: Partial<ExecTask> = {}) {
  const { spec } = yield* (yield* Containers).get(id)
  const process = yield* Effect.fromResult(ProcessSpec.makeProcess(spec, { args, terminal: true }))
  const execId = ExecId.make("beside")
  yield* (yield* Tasks).exec({ id, execId, process, stdio: interactive, ...more })
  return execId
})

for (const runtime of ["runc", "crun"]) {
  describe.skipIf(!canRunContainers || installed(runtime) === null)(`terminals on ${runtime}`, () => {
    withLayer(served(runtime), { excludeTestServices: true, timeout: "60 seconds" })((it) => {
      it.effect("are the process's own: its streams as one, its size from the first moment, its exit code", () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const script = "tty; stty size; echo $TERM; echo error >&2; echo after; exit 7"
          const id = yield* created(sh(script), { size: { width: 91, height: 31 } })
          const task = yield* tasks.get(id)
          assert.isTrue(task.terminal)
          assert.isNotNull(task.stdout)
          assert.isNull(task.stderr)
          yield* tasks.start(id)
          assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 7)
          assert.strictEqual(yield* shown(id), "/dev/pts/0\r\n31 91\r\nxterm\r\nerror\r\nafter\r\n")
        })
      )

      it.effect("take the last size: before the start, right after it, and later", () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const id = yield* created(sh(winch))
          yield* tasks.resize({ id, width: 11, height: 12 })
          yield* tasks.resize({ id, width: 101, height: 41 })
          yield* tasks.start(id)
          yield* untilShown(id, "ready")
          yield* tasks.resize({ id, width: 13, height: 14 })
          yield* tasks.resize({ id, width: 102, height: 42 })
          yield* untilShown(id, "42 102")
          yield* tasks.resize({ id, width: 103, height: 43 })
          yield* untilShown(id, "43 103")
          yield* tasks.signal({ id, signal: 9 })
          const text = yield* shown(id)
          assert.isTrue(text.startsWith("41 101\r\nready\r\n"), text)
          // It has ended: there is nothing to size, and that is no error.
          yield* tasks.resize({ id, width: 80, height: 24 })
        })
      )

      it.effect("interrupt at ctrl-C, and end input at ctrl-D", () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const id = yield* running(sh(`trap woken=yes INT; echo asleep; ${asleep}; echo woken; cat; exit 3`))
          yield* untilShown(id, "asleep")
          yield* type(id, ctrlC)
          yield* untilShown(id, "woken")
          yield* type(id, "one line\n")
          yield* type(id, ctrlD)
          assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 3)
          assert.strictEqual(yield* shown(id), "asleep\r\n^Cwoken\r\none line\r\none line\r\n")
        })
      )

      it.effect("have job control, a prompt and a line editor", () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const id = yield* running(["/bin/sh", "-i"], { size: { width: 80, height: 24 } })
          yield* untilShown(id, "# ")
          yield* type(id, "echo on\u001b[D\u001b[Dmo\n")
          yield* untilShown(id, "\r\nmoon\r\n")
          yield* type(id, "exit 5\n")
          assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 5)
          const text = yield* shown(id)
          assert.notInclude(text, "job control")
        })
      )

      it.effect("are each process's own", () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const id = yield* running(sh("stty size; read go; stty size; exit 1"), { size: { width: 20, height: 10 } })
          const execId = yield* added(id, sh("tty; stty size; read go; echo got $go; exit 9"), {
            size: { width: 30, height: 15 }
          })
          yield* tasks.resize({ id, execId, width: 31, height: 16 })
          yield* tasks.resize({ id, execId, width: 32, height: 17 })
          yield* tasks.startExec({ id, execId })
          yield* untilShown(id, "17 32", execId)
          yield* type(id, "it\n", execId)
          assert.strictEqual((yield* tasks.wait({ id, execId })).exitStatus, 9)
          assert.match(yield* shown(id, execId), /^\/dev\/pts\/1\r\n17 32\r\nit\r\ngot it\r\n$/)
          yield* tasks.deleteExec({ id, execId })
          yield* untilShown(id, "10 20")
          yield* type(id, "\n")
          assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 1)
          assert.strictEqual(yield* shown(id), "10 20\r\n\r\n10 20\r\n")
        })
      )

      it.effect("forget a size with the process that it was for", () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const id = yield* running(sh("sleep 1000"))
          const execId = yield* added(id, sh("stty size"))
          yield* tasks.resize({ id, execId, width: 50, height: 50 })
          yield* tasks.deleteExec({ id, execId })
          // crun lets the process of an exec go before its terminal has a size.
          yield* added(id, sh("sleep 0.2; stty size"), { size: { width: 33, height: 22 } })
          yield* tasks.startExec({ id, execId })
          yield* tasks.wait({ id, execId })
          assert.strictEqual(yield* shown(id, execId), "22 33\r\n")
        })
      )

      it.effect("stand beside processes without one", () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const id = yield* running(sh("sleep 1000"))
          const { spec } = yield* (yield* Containers).get(id)
          const execId = ExecId.make("plain")
          const process = yield* Effect.fromResult(ProcessSpec.makeProcess(spec, { args: sh("tty; echo error >&2") }))
          yield* tasks.exec({ id, execId, process })
          yield* tasks.startExec({ id, execId })
          yield* tasks.resize({ id, execId, width: 10, height: 10 })
          yield* tasks.wait({ id, execId })
          const streams = yield* Stream.runCollect(chunks({ id, execId, follow: true }))
          assert.sameMembers(
            streams.map(({ stream }) => stream),
            ["stdout", "stderr"]
          )
          assert.include(
            new TextDecoder().decode(streams.find(({ stream }) => stream === "stdout")?.bytes),
            "not a tty"
          )
        })
      )

      it.effect("can be watched from now on, by any number", () =>
        Effect.gen(function* () {
          const id = yield* running(sh("echo before; read go; echo after; read go"))
          yield* untilShown(id, "before")
          const lines: Array<string> = []
          const live = chunks({ id, follow: true, live: true }).pipe(
            Stream.runForEach(({ bytes }) => Effect.sync(() => lines.push(new TextDecoder().decode(bytes))))
          )
          const watching = yield* Effect.forkChild(live)
          while (lines.length === 0) yield* Effect.sleep("5 millis")
          assert.deepStrictEqual(lines, [""])
          yield* type(id, "\n")
          yield* untilShown(id, "after")
          yield* type(id, "\n")
          yield* Fiber.join(watching)
          assert.strictEqual(lines.join(""), "\r\nafter\r\n\r\n")
          assert.strictEqual(yield* shown(id), `before\r\n${lines.join("")}`)
        })
      )

      it.effect("outlive the daemon", () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const id = yield* running(sh("echo before; read go; stty size; echo got $go; exit 4"))
          yield* untilShown(id, "before")
          yield* (yield* Server).restart
          yield* Effect.retry(tasks.get(id), Schedule.upTo(Schedule.spaced("50 millis"), { times: 100 }))
          yield* tasks.resize({ id, width: 70, height: 35 })
          yield* type(id, "it\n")
          assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 4)
          assert.strictEqual(yield* shown(id), "before\r\nit\r\n35 70\r\ngot it\r\n")
        })
      )

      it.effect("are hung up when the shim dies", () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const dying = yield* running(sh("trap 'exit 9' HUP; echo ready; while :; do sleep 0.1; done"))
          const deaf = yield* running(sh("trap '' HUP; echo ready; while :; do sleep 0.1; done"))
          for (const id of [dying, deaf]) yield* untilShown(id, "ready")
          const { state } = yield* Server
          for (const pid of shimsOf(state)) process.kill(pid, "SIGKILL")
          const exit = yield* tasks.wait({ id: dying })
          assert.include([9, 255], exit.exitStatus)
          assert.strictEqual((yield* tasks.get(deaf)).status, "running")
          yield* tasks.resize({ id: deaf, width: 80, height: 24 })
          const refused = yield* Effect.flip(type(deaf, "x"))
          assert.strictEqual(refused._tag, "NotFound")
          assert.strictEqual((yield* tasks.delete({ id: deaf, force: true }))?.exitStatus, 137)
        })
      )
    })
  })
}
