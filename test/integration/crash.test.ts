/** Daemon and shim killed at a moment's notice: containers do not notice, and what they did meanwhile is known afterwards. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Scope, Stream } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ContainerId, Containers, Events, ExecId, Seq, Spec, Tasks } from "../../src/index.ts"
import type { BerthError, CreateTask, System } from "../../src/index.ts"
import { folders, life, shimsOf } from "../support/daemon.ts"
import type { Daemon } from "../support/daemon.ts"
import { eventually } from "../support/eventually.ts"
import { cgroupsOf, filesWith, kernelTells, lives, processesWith } from "../support/host.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"

const rootfs = rootfsOfFile()
const runtimes = ["runc", "crun"]
type Services = Containers | Tasks | Events | System
type Place = Effect.Success<typeof folders>

const killed = <A, E>(
  where: Place,
  runtime: string,
  body: (daemon: Daemon) => Effect.Effect<A, E, Services | Scope.Scope>
) => life(where, body, { runtime })

/** A running container; it is the test that deletes it. */
const run = Effect.fnUntraced(function* (
  name: string,
  args: ReadonlyArray<string>,
  options: Omit<CreateTask, "id"> = {}
) {
  const id = ContainerId.make(`${name}-${randomUUID().slice(0, 8)}`)
  const tasks = yield* Tasks
  yield* (yield* Containers).create({ id, spec: Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args })) })
  yield* tasks.create({ id, ...options })
  const { pid } = yield* tasks.start(id)
  return { id, pid: pid ?? 0 }
})

const remove = Effect.fnUntraced(function* (...ids: ReadonlyArray<ContainerId>) {
  for (const id of ids) {
    yield* (yield* Tasks).delete({ id, force: true })
    yield* (yield* Containers).delete(id)
  }
})

const sh = (text: string) => ["/bin/sh", "-c", text]
const forever = ["/bin/sleep", "1000"]
/** Ends with that code when a file of that name is there. */
const untilTold = (name: string, code: number) => sh(`while [ ! -e /tmp/${name} ]; do sleep 0.1; done; exit ${code}`)
const signalFile = (name: string) => writeFileSync(join(rootfs, "tmp", name), "")
const execId = ExecId.make("job")
const text = (id: ContainerId) =>
  Effect.flatMap(Tasks, (tasks) =>
    Stream.runFold(
      tasks.output({ id }),
      () => "",
      (all, { bytes }) => all + new TextDecoder().decode(bytes)
    )
  )
const newSeqs = (after: number) =>
  Effect.flatMap(Events, (events) =>
    Effect.map(Stream.runCollect(events.subscribe({ after: Seq.make(after) })), (found) =>
      found.map(({ event, seq, topic }) => ({ seq, topic, of: "containerId" in event ? event.containerId : event.id }))
    )
  )
/** Runs a command beside init to its end. */
const beside = Effect.fnUntraced(function* (id: ContainerId, args: ReadonlyArray<string>) {
  const tasks = yield* Tasks
  yield* tasks.exec({ id, execId, process: { args, cwd: "/" } })
  yield* tasks.startExec({ id, execId })
  const exit = yield* tasks.wait({ id, execId })
  yield* tasks.deleteExec({ id, execId })
  return exit
})

const nothingOf = (where: Place, ...ids: ReadonlyArray<ContainerId>) =>
  Effect.sync(() => {
    for (const id of ids) {
      assert.deepStrictEqual([cgroupsOf(id), processesWith(id), filesWith(where.folder, id)], [[], [], []])
    }
  })

const test = (name: string, body: (where: Place, runtime: string) => Effect.Effect<void, unknown, Scope.Scope>) => {
  for (const runtime of runtimes) {
    it.live(
      `${name} (${runtime})`,
      () => Effect.scoped(Effect.flatMap(folders, (where) => body(where, runtime))),
      120_000
    )
  }
}

describe.skipIf(!canRunContainers)("kill -9 of the daemon", () => {
  test("leaves containers running; exits, steering and events go on where they were", (where, runtime) =>
    Effect.gen(function* () {
      const before = yield* killed(where, runtime, () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const stays = yield* run("stays", forever)
          const go = `go-${randomUUID()}`
          const ends = { ...(yield* run("ends", untilTold(go, 7))), go }
          const cold = yield* run("cold", forever)
          yield* tasks.pause(cold.id)
          yield* tasks.exec({ id: stays.id, execId, process: { args: untilTold(go, 3), cwd: "/" } })
          yield* tasks.startExec({ id: stays.id, execId })
          const shims = shimsOf(where.state)
          return { stays, ends, cold, shims, last: (yield* newSeqs(0)).at(-1)?.seq ?? 0 }
        })
      )
      const { cold, ends, last, shims, stays } = before
      signalFile(ends.go)
      yield* eventually(
        "its end",
        Effect.sync(() => !lives(ends.pid))
      )
      assert.deepStrictEqual([lives(stays.pid), lives(cold.pid), shimsOf(where.state)], [true, true, shims])
      yield* killed(where, runtime, () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          assert.deepStrictEqual(shimsOf(where.state), shims)
          const found = yield* Effect.forEach([stays, cold], ({ id }) => tasks.get(id))
          assert.deepStrictEqual(
            found.map(({ pid, status }) => [pid, status]),
            [
              [stays.pid, "running"],
              [cold.pid, "paused"]
            ]
          )
          const exit = yield* tasks.wait({ id: ends.id })
          assert.deepStrictEqual([exit.exitStatus, exit.source, exit.pid], [7, "reaped", ends.pid])
          const ofExec = yield* tasks.wait({ id: stays.id, execId })
          assert.deepStrictEqual([ofExec.exitStatus, ofExec.source], [3, "reaped"])
          yield* tasks.deleteExec({ id: stays.id, execId })
          assert.strictEqual((yield* beside(stays.id, sh("exit 9"))).exitStatus, 9)
          assert.strictEqual((yield* tasks.resume(cold.id)).status, "running")
          yield* tasks.signal({ id: stays.id, signal: 9 })
          assert.strictEqual((yield* tasks.wait({ id: stays.id })).exitStatus, 137)
          const since = yield* newSeqs(last)
          assert.deepStrictEqual(
            since.map(({ seq }) => seq),
            Array.from(since, (_, n) => last + n + 1)
          )
          for (const { id } of [ends, stays]) {
            const exits = since.filter(({ of, topic }) => of === id && topic === "/tasks/exit")
            assert.lengthOf(exits, id === stays.id ? 3 : 1)
          }
          yield* remove(stays.id, ends.id, cold.id)
          yield* nothingOf(where, stays.id, ends.id, cold.id)
        })
      )
    }))

  test("in the middle of a hundred things leaves nothing half-done", (where, runtime) =>
    Effect.gen(function* () {
      const all = Array.from({ length: 12 }, (_, n) => ContainerId.make(`half${n}-${randomUUID().slice(0, 6)}`))
      for (const wait of [40, 120, 250]) {
        yield* killed(where, runtime, () =>
          Effect.gen(function* () {
            const [containers, tasks] = [yield* Containers, yield* Tasks]
            const spec = Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args: forever }))
            const one = (id: ContainerId) =>
              Effect.ignore(containers.create({ id, spec })).pipe(
                Effect.andThen(Effect.ignore(tasks.create({ id }))),
                Effect.andThen(Effect.ignore(tasks.start(id))),
                Effect.andThen(Effect.ignore(tasks.delete({ id, force: true }))),
                Effect.forever
              )
            yield* Effect.forEach(all, (id) => Effect.forkScoped(one(id)), { discard: true })
            yield* Effect.sleep(wait)
          })
        )
      }
      yield* killed(where, runtime, () =>
        Effect.gen(function* () {
          const [containers, tasks] = [yield* Containers, yield* Tasks]
          yield* eventually(
            "every task is somewhere",
            Effect.map(tasks.list({}), (list) => list.every(({ pid }) => pid !== null))
          )
          for (const task of yield* tasks.list({})) {
            assert.include(["created", "running"], task.status)
            assert.isTrue(lives(task.pid ?? 0), `${task.id} is ${task.status}, and its process is gone`)
          }
          for (const { id } of yield* tasks.list({})) yield* tasks.delete({ id, force: true })
          for (const { id } of yield* containers.list({})) yield* containers.delete(id)
          yield* eventually(
            "nothing is left",
            Effect.sync(() => all.every((id) => cgroupsOf(id).length + processesWith(id).length === 0))
          )
          yield* nothingOf(where, ...all)
          // A task is told of from its beginning to its end, whatever came between.
          const topics = (yield* newSeqs(0)).map(({ of, topic }) => `${of} ${topic}`)
          for (const id of all) {
            const [created, deleted] = ["create", "delete"].map(
              (what) => topics.filter((topic) => topic === `${id} /tasks/${what}`).length
            )
            assert.strictEqual(created, deleted, id)
          }
        })
      )
    }))
})

describe.skipIf(!canRunContainers)("kill -9 of the shim", () => {
  test("leaves containers running; another takes over their signals, exits and output", (where, runtime) =>
    killed(where, runtime, () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const stays = yield* run(
          "stays",
          sh('trap "exit 5" TERM; n=0; while true; do echo $((n=n+1)); sleep 0.1; done')
        )
        const go = `go-${randomUUID()}`
        const ends = yield* run("ends", untilTold(go, 7))
        const force = yield* run("force", forever)
        yield* eventually(
          "output",
          Effect.map(text(stays.id), (all) => all.includes("3\n"))
        )
        const [shim = 0] = shimsOf(where.state)
        process.kill(shim, "SIGKILL")
        yield* eventually(
          "another shim",
          Effect.sync(() => shimsOf(where.state).some((pid) => pid !== shim))
        )
        assert.deepStrictEqual(
          [stays, ends, force].map(({ pid }) => lives(pid)),
          [true, true, true]
        )
        yield* eventually(
          "it has taken over",
          Effect.map(tasks.pids(ends.id), (pids) => pids.length > 0)
        )
        signalFile(go)
        const known = yield* tasks.wait({ id: ends.id })
        assert.deepStrictEqual([known.exitStatus, known.source], kernelTells ? [7, "kernel"] : [255, "unknown"])
        const seen = yield* text(stays.id)
        yield* eventually(
          "more output",
          Effect.map(text(stays.id), (all) => all.length > seen.length + 10)
        )
        const lines = (yield* text(stays.id)).trimEnd().split("\n").map(Number)
        assert.deepStrictEqual(
          lines,
          Array.from(lines, (_, n) => n + 1),
          "no line lost or told twice"
        )
        assert.strictEqual((yield* beside(stays.id, sh("exit 9"))).exitStatus, 9)
        assert.strictEqual((yield* tasks.pause(stays.id)).status, "paused")
        assert.strictEqual((yield* tasks.resume(stays.id)).status, "running")
        const stopped = yield* tasks.stop({ id: stays.id, timeoutMillis: 20_000 })
        assert.strictEqual(stopped.stage, "signal")
        assert.deepStrictEqual(
          [stopped.exit.exitStatus, stopped.exit.source],
          kernelTells ? [5, "kernel"] : [255, "unknown"]
        )
        assert.strictEqual((yield* tasks.delete({ id: force.id, force: true }))?.exitStatus, 137)
        yield* (yield* Containers).delete(force.id)

        const fresh = yield* run("fresh", sh("exit 4"))
        const own = yield* tasks.wait({ id: fresh.id })
        assert.deepStrictEqual([own.exitStatus, own.source], [4, "reaped"])
        const exits = (yield* newSeqs(0)).filter(({ topic }) => topic === "/tasks/exit").map(({ of }) => of)
        assert.deepStrictEqual(
          [stays, ends, force, fresh].map(({ id }) => exits.filter((of) => of === id).length),
          [2, 1, 1, 1]
        )
        yield* remove(stays.id, ends.id, fresh.id)
        yield* nothingOf(where, stays.id, ends.id, force.id, fresh.id)
      })
    ))

  test("tells the end that came while there was none, and calls of that time fail with a type", (where, runtime) =>
    killed(where, runtime, () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const ends = yield* run("ends", sh("sleep 1000"))
        const [shim = 0] = shimsOf(where.state)
        process.kill(shim, "SIGKILL")
        process.kill(ends.pid, "SIGKILL")
        const result = yield* Effect.result(tasks.pids(ends.id))
        if (result._tag === "Failure") {
          const { _tag }: BerthError = result.failure
          assert.include(["ShimLost", "Unavailable", "NotFound", "RuntimeFailed"], _tag)
        }
        const exit = yield* tasks.wait({ id: ends.id })
        assert.include([["kernel", 137].join(), ["unknown", 255].join()], [exit.source, exit.exitStatus].join())
        assert.isUndefined(exit.truncated, "the daemon held its pipes")
        assert.strictEqual((yield* tasks.get(ends.id)).status, "stopped")
        yield* remove(ends.id)
        yield* nothingOf(where, ends.id)
      })
    ))

  test("and of the daemon at once: what ends while neither lives is known by how the kernel says it ended", (where, runtime) =>
    Effect.gen(function* () {
      const mark = `both-${runtime}-${randomUUID().slice(0, 8)}`
      const { ends, victim } = yield* killed(where, runtime, () =>
        Effect.gen(function* () {
          const ends = yield* run("ends", untilTold(mark, 23))
          const victim = yield* run("victim", forever)
          const tasks = yield* Tasks
          yield* tasks.exec({ id: victim.id, execId, process: { args: untilTold(mark, 24), cwd: "/" } })
          yield* tasks.startExec({ id: victim.id, execId })
          for (const shim of shimsOf(where.state)) process.kill(shim, "SIGKILL")
          return { ends, victim }
        })
      )
      signalFile(mark)
      yield* eventually(
        "it has ended",
        Effect.sync(() => !lives(ends.pid))
      )
      yield* Effect.sleep("300 millis")
      yield* killed(where, runtime, () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const told = [yield* tasks.wait({ id: ends.id }), yield* tasks.wait({ id: victim.id, execId })].map(
            ({ exitStatus, source, truncated }) => [exitStatus, source, truncated]
          )
          // Nobody held what they may have printed last.
          const known = [
            [23, "kernel", true],
            [24, "kernel", true]
          ]
          const ended = [255, "unknown", true]
          assert.deepStrictEqual<unknown>(told, kernelTells ? known : [ended, ended])
          assert.isTrue(lives(victim.pid))
          yield* remove(ends.id, victim.id)
          yield* nothingOf(where, ends.id, victim.id)
          assert.notInclude(readFileSync("/proc/self/mountinfo", "utf8"), where.state)
        })
      )
    }))

  test("and of the daemon: ends what a runtime goes on with, and what was started and never written down", (where, runtime) =>
    Effect.gen(function* () {
      const stays = yield* killed(where, runtime, () => run("stays", forever))
      shimsOf(where.state).forEach((pid) => process.kill(pid, "SIGKILL"))
      const bundle = join(where.state, "tasks", "default", stays.id)
      const pidFile = join(bundle, `exec-${execId}.pid`)
      mkdirSync(join(bundle, "exec", execId), { recursive: true })
      // As the shim calls it, and just before the shim would have written down what it has started.
      const root = join(where.state, "runtime", runtime, "default")
      const call = ["--root", root, "exec", "--detach", "--pid-file", pidFile, stays.id, "/bin/sleep", "1000"]
      execFileSync(runtime, call, { stdio: "ignore" })
      const started = Number(readFileSync(pidFile, "utf8"))
      const late = [pidFile, join(where.state, "tasks", "default", "late", "init.pid")]
      mkdirSync(join(where.state, "tasks", "default", "late"))
      const atWork = late.map((file) =>
        spawn("/bin/sh", ["-c", "read line", "sh", file], { stdio: ["pipe", "ignore", "ignore"] })
      )
      yield* Effect.addFinalizer(() => Effect.sync(() => atWork.forEach((child) => child.kill("SIGKILL"))))
      assert.deepStrictEqual([started, ...atWork.map(({ pid }) => pid ?? 0)].map(lives), [true, true, true])

      yield* killed(where, runtime, () =>
        Effect.gen(function* () {
          yield* eventually(
            "nobody is at work",
            Effect.sync(() => !lives(started) && atWork.every(({ signalCode }) => signalCode === "SIGKILL"))
          )
          assert.isTrue(lives(stays.pid))
          assert.strictEqual((yield* beside(stays.id, sh("exit 3"))).exitStatus, 3)
          yield* remove(stays.id)
        })
      )
      yield* nothingOf(where, stays.id, ContainerId.make("late"))
    }))

  test("and of the daemon at once: the next ones take over", (where, runtime) =>
    Effect.gen(function* () {
      const stays = yield* killed(where, runtime, () =>
        run("stays", sh('trap "exit 6" TERM; while true; do sleep 0.1; done'))
      )
      for (const shim of shimsOf(where.state)) process.kill(shim, "SIGKILL")
      yield* killed(where, runtime, () =>
        Effect.gen(function* () {
          const tasks = yield* Tasks
          const { pid, status } = yield* tasks.get(stays.id)
          assert.deepStrictEqual([pid, status, lives(stays.pid)], [stays.pid, "running", true])
          const { exit, stage } = yield* tasks.stop({ id: stays.id, timeoutMillis: 20_000 })
          assert.deepStrictEqual(
            [stage, exit.exitStatus, exit.source],
            kernelTells ? ["signal", 6, "kernel"] : ["signal", 255, "unknown"]
          )
          yield* remove(stays.id)
          yield* nothingOf(where, stays.id)
        })
      )
    }))
})
