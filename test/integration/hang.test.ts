/** A runtime that hangs: its task is steered and removed all the same, and nobody else notices. On a real daemon, shim and runc. */
import { assert, layer } from "@effect/vitest"
import { Clock, Context, Effect, Fiber, Layer, Result } from "effect"
import { randomUUID } from "node:crypto"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { Berth, ContainerId, Containers, ExecId, Spec, Tasks } from "../../src/index.ts"
import type { BerthError, Events, System } from "../../src/index.ts"
import { running } from "../support/container.ts"
import { daemonOn, folders, shimsOf } from "../support/daemon.ts"
import type { Daemon } from "../support/daemon.ts"
import { cgroupsOf, filesWith, processesWith } from "../support/host.ts"
import { canRunContainers, installed, rootfsOfFile } from "../support/rootfs.ts"
import { writeScript } from "../support/stubRuntime.ts"

const rootfs = rootfsOfFile()
const runc = installed("runc")
/** Marks what the stub leaves running. */
const mark = `31${process.pid}`

/** runc, except that `start` of what is called hang, and `create` of what is called stuck, never end. */
const stub = `
for last; do :; done
case " $* " in
  *" start "*) case "$last" in hang*) exec sleep ${mark} ;; esac ;;
  *" create "*) case "$last" in stuck*) exec sleep ${mark} ;; esac ;;
esac
exec ${runc} "$@"`

class Served extends Context.Service<Served, Daemon>()("berth/test/Served") {
  static readonly layer = Layer.effect(
    Served,
    Effect.gen(function* () {
      const place = yield* folders
      const bin = join(place.folder, "bin")
      mkdirSync(bin)
      writeScript(join(bin, "runc"), stub)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => shimsOf(place.state).forEach((pid) => process.kill(pid, "SIGKILL")))
      )
      return yield* daemonOn(place, { runtime: "runc", env: { PATH: `${bin}:${process.env["PATH"] ?? ""}` } })
    })
  ).pipe(Layer.orDie)
}

type Services = Containers | Tasks | Events | System
const client: Layer.Layer<Services | Served, BerthError> = Layer.unwrap(
  Effect.map(Served, ({ address }) => Berth.layerClient({ address }))
).pipe(Layer.provideMerge(Served.layer))

/** A container of that name with its task removed at the end, whatever becomes of it. */
const named = Effect.fnUntraced(function* (prefix: string) {
  const containers = yield* Containers
  const id = ContainerId.make(`${prefix}-${randomUUID().slice(0, 8)}`)
  const spec = Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args: ["/bin/sleep", "1000"] }))
  yield* Effect.acquireRelease(containers.create({ id, spec }), () =>
    Effect.ignore(
      Effect.andThen(
        Effect.ignore(Effect.flatMap(Tasks, (tasks) => tasks.delete({ id, force: true }))),
        containers.delete(id)
      )
    )
  )
  return id
})

const timings: Array<readonly [string, number]> = []

/** How long it took: printed at the end, and far from hanging even on a machine that is busy. */
const timed = Effect.fnUntraced(function* <A, E, R>(name: string, bound: number, effect: Effect.Effect<A, E, R>) {
  const begun = yield* Clock.monotonicTimeNanos
  const result = yield* effect
  const took = Number((yield* Clock.monotonicTimeNanos) - begun) / 1e6
  timings.push([name, took])
  assert.isBelow(took, bound, name)
  return result
})

/** What answers from memory or by one signal; and what must run the runtime itself. */
const [quick, slow] = [1_000, 10_000]

const untilThere = (what: string) =>
  Effect.sync(() => processesWith(what).length).pipe(
    Effect.repeat({ until: (count) => count > 0 }),
    Effect.timeout("10 seconds")
  )

/** Nothing of it is left on this machine. */
const nothingOf = Effect.fnUntraced(function* (id: string) {
  const { folder } = yield* Served
  assert.deepStrictEqual(
    [cgroupsOf(id), processesWith(id), processesWith(mark), filesWith(folder, id)],
    [[], [], [], []]
  )
})

if (canRunContainers && runc !== null) {
  layer(client, { excludeTestServices: true, timeout: "60 seconds" })("a runtime that hangs", (it) => {
    it.effect(
      "in start: reads, kill and delete --force answer, others go on, and nothing is left",
      () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const other = yield* running(rootfs, ["/bin/sleep", "1000"])
          const id = yield* named("hang")
          yield* tasks.create({ id })
          const start = yield* Effect.forkChild(tasks.start(id), { startImmediately: true })
          yield* untilThere(mark)

          assert.strictEqual((yield* timed("get", quick, tasks.get(id))).status, "created")
          assert.lengthOf(yield* timed("list", quick, tasks.list({})), 2)
          assert.isAtLeast((yield* timed("pids", quick, tasks.pids(id))).length, 1)
          assert.deepStrictEqual(yield* timed("processes", quick, tasks.processes(id)), [])
          assert.strictEqual(
            (yield* timed("delete", quick, Effect.flip(tasks.delete({ id }))))._tag,
            "FailedPrecondition"
          )
          yield* timed("kill", quick, tasks.signal({ id, signal: 9 }))

          yield* timed("other: get", quick, tasks.get(other))
          yield* timed("other: pause", slow, tasks.pause(other))
          yield* timed("other: resume", slow, tasks.resume(other))
          const execId = ExecId.make("job")
          yield* timed(
            "other: exec",
            quick,
            tasks.exec({ id: other, execId, process: { args: ["/bin/true"], cwd: "/" } })
          )
          yield* timed("other: start exec", slow, tasks.startExec({ id: other, execId }))
          assert.strictEqual(
            (yield* timed("other: wait for it", slow, tasks.wait({ id: other, execId }))).exitStatus,
            0
          )
          const third = yield* named("third")
          yield* timed("third: create", slow, tasks.create({ id: third }))
          yield* timed("third: start", slow, tasks.start(third))
          yield* timed("third: kill", quick, tasks.signal({ id: third, signal: 9 }))
          assert.strictEqual((yield* timed("third: wait", slow, tasks.wait({ id: third }))).exitStatus, 137)
          yield* timed("third: delete", slow, tasks.delete({ id: third }))

          assert.isUndefined(start.pollUnsafe())
          assert.lengthOf(processesWith(mark), 1)
          yield* timed("delete --force", slow, tasks.delete({ id, force: true }))
          assert.strictEqual(
            (yield* timed("the answer to start", quick, Effect.flip(Fiber.join(start))))._tag,
            "FailedPrecondition"
          )
          assert.strictEqual((yield* Effect.flip(tasks.get(id)))._tag, "NotFound")
          yield* (yield* Containers).delete(id)
          yield* nothingOf(id)
        }).pipe(Effect.scoped),
      120_000
    )

    it.effect(
      "in create: the task is there to be seen and removed, and its id is free",
      () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const id = yield* named("stuck")
          const create = yield* Effect.forkChild(tasks.create({ id }), { startImmediately: true })
          yield* untilThere(mark)
          assert.strictEqual((yield* timed("stuck: get", quick, tasks.get(id))).status, "created")
          assert.strictEqual(
            (yield* timed("stuck: kill", quick, Effect.flip(tasks.signal({ id, signal: 9 }))))._tag,
            "FailedPrecondition"
          )
          assert.isNull(yield* timed("stuck: delete --force", slow, tasks.delete({ id, force: true })))
          assert.strictEqual(
            (yield* timed("stuck: the answer to create", quick, Effect.flip(Fiber.join(create))))._tag,
            "FailedPrecondition"
          )
          yield* (yield* Containers).delete(id)
          yield* nothingOf(id)
          const [name] = [yield* named("free")]
          yield* tasks.create({ id: name })
          yield* tasks.delete({ id: name })
        }).pipe(Effect.scoped),
      120_000
    )

    it.effect("costs nobody else his time", () =>
      Effect.sync(() => {
        const width = Math.max(...timings.map(([name]) => name.length))
        console.log(timings.map(([name, took]) => `${name.padEnd(width)} ${took.toFixed(1).padStart(8)} ms`).join("\n"))
        assert.isAbove(timings.length, 15)
      })
    )
  })
}
