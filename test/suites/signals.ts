/** Signals, stops and kills, whatever is under them: by name of the process, by pid, to all; frozen, deaf or gone. */
import { assert, layer as suiteLayer } from "@effect/vitest"
import { Effect, Fiber, Schedule, Schema, Stream } from "effect"
import type { Scope } from "effect"
import type { BerthError, ContainerId, Event, System } from "../../src/index.ts"
import { Containers, Events, ExecId, ProcessSpec, Tasks } from "../../src/index.ts"
import { Signal } from "../../src/schema/Units.ts"
import { created, freshId, running } from "../support/container.ts"
import { untilDone } from "../support/testTime.ts"
import type { Place } from "./berth.ts"

const tagOf = <A, R>(effect: Effect.Effect<A, BerthError, R>) => Effect.map(Effect.flip(effect), ({ _tag }) => _tag)
const number = Schema.decodeSync(Signal)

/** A process beside init. */
const exec = Effect.fnUntraced(function* (id: ContainerId, name: string, ...args: ReadonlyArray<string>) {
  const tasks = yield* Tasks
  const { spec } = yield* (yield* Containers).get(id)
  const execId = ExecId.make(name)
  yield* tasks.exec({ id, execId, process: yield* Effect.fromResult(ProcessSpec.makeProcess(spec, { args })) })
  return yield* tasks.startExec({ id, execId })
})

/** Waits until it has printed so many lines, which says that its traps are set. */
const printed = (id: ContainerId, lines: number) =>
  Effect.flatMap(Tasks, (tasks) =>
    tasks.output({ id, follow: true }).pipe(
      Stream.map(({ bytes }) => new TextDecoder().decode(bytes)),
      Stream.scan(
        () => "",
        (all, more) => all + more
      ),
      Stream.takeUntil((all) => all.split("\n").length > lines),
      Stream.runDrain
    )
  )

/** The pids of the container, when there are as many. */
const pids = (id: ContainerId, count: number) =>
  Effect.flatMap(Tasks, (tasks) =>
    Effect.repeat(tasks.pids(id), {
      until: (all) => all.length === count,
      schedule: Schedule.spaced("20 millis"),
      times: 250
    })
  )

const exits = (id: ContainerId) =>
  Effect.flatMap(Events, (events) =>
    Effect.map(Stream.runCollect(events.subscribe({ filters: [`id==${id}`] })), (all) =>
      all.flatMap((event: Event) =>
        event.topic === "/tasks/exit" ? [`${event.event.execId ?? "init"} ${event.event.exitStatus}`] : []
      )
    )
  )

export const signalSuite = (place: Place) => {
  suiteLayer(place.layer, { excludeTestServices: place.real, timeout: "60 seconds" })(`signals ${place.name}`, (it) => {
    const test = (
      name: string,
      body: () => Effect.Effect<void, unknown, Containers | Tasks | Events | System | Scope.Scope>
    ) => it.effect(name, () => (place.real ? body() : untilDone(Effect.scoped(body()))))
    const trapping = (name: string, code: number) =>
      running(place.rootfs, [
        "/bin/sh",
        "-c",
        `trap 'exit ${code}' ${name}; echo ready; while true; do sleep 0.1; done`
      ])

    test("by any name, and real-time ones by number", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        for (const [trap, spelling] of [
          ["TERM", "sigterm"],
          ["HUP", "Hup"],
          ["USR1", "10"],
          [`${number("SIGRTMIN+1")}`, "rtmin+1"]
        ] as const) {
          const id = yield* trapping(trap, 42)
          yield* printed(id, 1)
          yield* tasks.signal({ id, signal: number(spelling) })
          assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 42, spelling)
        }
      }))

    test("that nobody handles: an init does not notice, an exec dies of it", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, ["/bin/sleep", "1000"])
        const { id: execId } = yield* exec(id, "job", "/bin/sleep", "1000")
        for (const signal of [1, 2, 15, 35]) yield* tasks.signal({ id, signal })
        yield* tasks.signal({ id, execId, signal: number("RTMIN+1") })
        assert.strictEqual((yield* tasks.wait({ id, execId })).exitStatus, 128 + 35)
        assert.strictEqual((yield* tasks.get(id)).status, "running")
        assert.strictEqual(yield* tagOf(tasks.signal({ id, execId, signal: 9 })), "NotFound")
        yield* tasks.signal({ id, signal: 9 })
        assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 137)
        assert.strictEqual(yield* tagOf(tasks.signal({ id, signal: 9 })), "NotFound")
        assert.strictEqual(yield* tagOf(tasks.signal({ id, signal: 9, all: true })), "NotFound")
      }))

    test("by pid: init, an exec, a child of either, and nobody else", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const other = yield* running(place.rootfs, ["/bin/sleep", "1000"])
        const id = yield* running(place.rootfs, ["/bin/sh", "-c", "sleep 1000 & while true; do wait; done"])
        const init = (yield* tasks.get(id)).pid ?? 0
        const { id: execId, pid } = yield* exec(id, "job", "/bin/sleep", "1000")
        const all = yield* pids(id, 3)
        const [child = 0] = all.filter((one) => one !== init && one !== pid)
        const stranger = (yield* tasks.get(other)).pid ?? 0
        for (const nobody of [stranger, place.real ? process.pid : 1, 1, 4_194_304]) {
          assert.strictEqual(yield* tagOf(tasks.signal({ id, pid: nobody, signal: 9 })), "NotFound")
        }
        assert.strictEqual(yield* tagOf(tasks.signal({ id, pid: child, execId, signal: 9 })), "InvalidArgument")
        assert.strictEqual(yield* tagOf(tasks.signal({ id, pid: child, all: true, signal: 9 })), "InvalidArgument")
        assert.strictEqual(yield* tagOf(tasks.signal({ id: yield* freshId, pid: child, signal: 9 })), "NotFound")
        assert.strictEqual((yield* pids(id, 3)).length, 3)
        yield* tasks.signal({ id, pid: child, signal: 9 })
        assert.notInclude(yield* pids(id, 2), child)
        yield* tasks.signal({ id, pid: pid ?? 0, signal: 15 })
        assert.strictEqual((yield* tasks.wait({ id, execId })).exitStatus, 143)
        yield* tasks.signal({ id, pid: init, signal: 9 })
        assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 137)
        assert.strictEqual(yield* tagOf(tasks.signal({ id, pid: init, signal: 9 })), "NotFound")
        assert.strictEqual((yield* tasks.get(other)).status, "running")
      }))

    test("to all: init, execs and children", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, [
          "/bin/sh",
          "-c",
          "trap 'exit 3' USR1; sleep 1000 & echo ready; while true; do sleep 0.1; done"
        ])
        yield* exec(id, "job", "/bin/sleep", "1000")
        yield* printed(id, 1)
        yield* tasks.signal({ id, signal: 10, all: true })
        assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 3)
        assert.deepStrictEqual(yield* exits(id), ["job 138", "init 3"])
      }))

    test("that kill reach the paused: init, all, an exec alone", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        for (const all of [false, true]) {
          const id = yield* running(place.rootfs, ["/bin/sleep", "1000"])
          yield* exec(id, "job", "/bin/sleep", "1000")
          yield* tasks.pause(id)
          yield* tasks.signal({ id, signal: 9, all })
          assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 137)
          assert.deepStrictEqual(yield* exits(id), ["job 137", "init 137"])
        }
        const id = yield* running(place.rootfs, ["/bin/sleep", "1000"])
        const { id: execId } = yield* exec(id, "job", "/bin/sleep", "1000")
        const { id: second } = yield* exec(id, "second", "/bin/sleep", "1000")
        yield* tasks.pause(id)
        yield* tasks.signal({ id, execId, signal: 9 })
        assert.strictEqual((yield* tasks.wait({ id, execId, timeoutMillis: 5_000 })).exitStatus, 137)
        assert.strictEqual((yield* tasks.deleteExec({ id, execId: second, force: true }))?.exitStatus, 137)
        assert.strictEqual((yield* tasks.get(id)).status, "paused")
        assert.strictEqual((yield* tasks.resume(id)).status, "running")
      }))

    test("that do not kill wait in the paused until it goes on", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* trapping("TERM", 7)
        yield* printed(id, 1)
        yield* tasks.pause(id)
        yield* tasks.signal({ id, signal: 15 })
        assert.strictEqual(yield* tagOf(tasks.wait({ id, timeoutMillis: 300 })), "WaitTimeout")
        yield* tasks.resume(id)
        assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 7)
      }))

    test("of a stop: the stage that worked is told, running, paused, deaf or ended", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const heeding = yield* trapping("TERM", 5)
        yield* printed(heeding, 1)
        const asked = yield* tasks.stop({ id: heeding })
        assert.deepStrictEqual([asked.stage, asked.exit.exitStatus], ["signal", 5])
        assert.deepStrictEqual(yield* tasks.stop({ id: heeding }), { stage: "already-stopped", exit: asked.exit })
        const named = yield* trapping("QUIT", 6)
        yield* printed(named, 1)
        yield* tasks.pause(named)
        assert.strictEqual((yield* tasks.stop({ id: named, signal: number("quit") })).stage, "signal")
        const deaf = yield* running(place.rootfs, ["/bin/sleep", "1000"])
        yield* tasks.pause(deaf)
        const killed = yield* tasks.stop({ id: deaf, timeoutMillis: 100 })
        assert.deepStrictEqual([killed.stage, killed.exit.exitStatus], ["kill", 137])
        const unborn = yield* created(place.rootfs, ["/bin/true"])
        assert.strictEqual((yield* tasks.stop({ id: unborn, timeoutMillis: 100 })).exit.source, "reaped")
      }))

    test("that make no sense are refused, by the service or by its client", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, ["/bin/sleep", "1000"])
        if (place.remote === true) {
          for (const bad of [{ signal: 0 }, { signal: 65 }, { signal: 9, pid: 0 }, { signal: 9, pid: 1.5 }]) {
            const error = yield* Effect.flip(tasks.signal({ id, ...bad }))
            assert.strictEqual(error._tag, "InvalidArgument", JSON.stringify(bad))
          }
          const output = yield* Effect.flip(
            Stream.runDrain(tasks.output({ id, execId: ExecId.make("x/y", { disableChecks: true }) }))
          )
          assert.strictEqual(output._tag, "InvalidArgument")
        }
        const stopping = yield* Effect.forkChild(tasks.stop({ id, timeoutMillis: 50 }))
        assert.strictEqual((yield* Fiber.join(stopping)).stage, "kill")
      }))
  })
}
