/** What every berth tells of the use of its containers, and of kills for want of memory: one program, on the mock and on real containers. */
import { assert, layer as suiteLayer } from "@effect/vitest"
import { Effect, Result, Schedule } from "effect"
import type { Scope } from "effect"
import type { BerthError, ContainerId, System } from "../../src/index.ts"
import { Containers, CurrentNamespace, Events, ExecId, Namespace, ProcessSpec, Spec, Tasks } from "../../src/index.ts"
import type { SpecOptions } from "../../src/spec/SpecOptions.ts"
import { container, freshId, history, running } from "../support/container.ts"
import { untilDone } from "../support/testTime.ts"
import type { Place } from "./berth.ts"

const mebi = 2 ** 20
const forever = ["/bin/sleep", "1000"]
/** Takes memory until it is killed for it. On the mock it is a script. */
export const hog = "tail /dev/zero"

const tagOf = <A, R>(effect: Effect.Effect<A, BerthError, R>) => Effect.map(Effect.flip(effect), ({ _tag }) => _tag)

/** Asks again until it is so. */
const until = <A, E, R>(effect: Effect.Effect<A, E, R>, holds: (value: A) => boolean) =>
  Effect.timeout(Effect.repeat(effect, { until: holds, schedule: Schedule.spaced("20 millis") }), "20 seconds")

export const statsSuite = (place: Place) => {
  suiteLayer(place.layer, { excludeTestServices: place.real, timeout: "60 seconds" })(`${place.name}: use`, (it) => {
    const test = (
      name: string,
      body: () => Effect.Effect<void, unknown, Containers | Tasks | Events | System | Scope.Scope>
    ) => it.effect(name, () => (place.real ? body() : untilDone(Effect.scoped(body()))))

    /** A container with limits, running. */
    const limited = Effect.fnUntraced(function* (args: ReadonlyArray<string>, options: Partial<SpecOptions>) {
      const containers = yield* Containers
      const tasks = yield* Tasks
      const id = yield* freshId
      const spec = Result.getOrThrow(Spec.make({ rootfs: { path: place.rootfs }, args, ...options }))
      yield* Effect.acquireRelease(containers.create({ id, spec }), () =>
        Effect.ignore(Effect.andThen(Effect.ignore(tasks.delete({ id, force: true })), containers.delete(id)))
      )
      yield* tasks.create({ id })
      yield* tasks.start(id)
      return id
    })
    const little = { memory: 32 * mebi, memorySwap: 32 * mebi }

    const startExec = Effect.fnUntraced(function* (id: ContainerId, args: ReadonlyArray<string>) {
      const tasks = yield* Tasks
      const execId = ExecId.make("job")
      const { spec } = yield* (yield* Containers).get(id)
      yield* tasks.exec({ id, execId, process: Result.getOrThrow(ProcessSpec.makeProcess(spec, { args })) })
      return yield* tasks.startExec({ id, execId })
    })

    test("counts the processor time of a container that does not rest, and none while it is paused", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, ["/bin/sh", "-c", "while true; do :; done"])
        const first = yield* tasks.stats(id)
        const second = yield* until(
          tasks.stats(id),
          ({ cpu }) => (cpu.usage ?? 0) - (first.cpu.usage ?? 0) > 100_000_000
        )
        const used = (second.cpu.usage ?? 0) - (first.cpu.usage ?? 0)
        const machine = second.cpu.systemUsage - first.cpu.systemUsage
        assert.isTrue(used < machine * 1.2, `${used} of ${machine}`)
        assert.isAtLeast(second.cpu.onlineCpus, 1)
        assert.strictEqual(second.containerId, id)
        yield* tasks.pause(id)
        const still = yield* tasks.stats(id)
        yield* Effect.sleep("100 millis")
        const later = yield* tasks.stats(id)
        assert.strictEqual(later.cpu.usage, still.cpu.usage)
        assert.isAbove(later.readAt.epochMilliseconds, still.readAt.epochMilliseconds)
      }))

    test("counts memory and processes up to their limits", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        // The end of the pipe keeps all of the one line in memory until the sleeper lets go.
        const script = "(head -c 20m /dev/zero; sleep 1000) | tail -c 20m"
        const id = yield* limited(["/bin/sh", "-c", script], { memory: 64 * mebi, pidsLimit: 20 })
        const held = place.real ? 20 * mebi : mebi
        const { memory, pids } = yield* until(tasks.stats(id), ({ memory }) => (memory.usage ?? 0) >= held)
        assert.strictEqual(memory.limit, 64 * mebi)
        assert.isAtLeast(memory.peak ?? 0, memory.usage ?? 0)
        assert.isBelow(memory.usage ?? 0, 64 * mebi)
        assert.strictEqual(memory.oomKills, 0)
        assert.strictEqual(pids.limit, 20)
        assert.isAtLeast(pids.current ?? 0, 1)
        const free = yield* tasks.stats(yield* running(place.rootfs, forever))
        assert.isAbove(free.memory.limit, 64 * mebi)
        assert.isNull(free.pids.limit)
      }))

    test("gives samples of many at once, of one namespace, without those that have stopped", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const ids = [yield* running(place.rootfs, forever), yield* running(place.rootfs, forever)].toSorted()
        const ended = yield* running(place.rootfs, ["/bin/true"])
        yield* tasks.wait({ id: ended })
        const nobody = yield* freshId
        const found = yield* tasks.listStats({ ids: [...ids, ended, nobody] })
        assert.deepStrictEqual(
          found.map(({ containerId }) => containerId),
          ids
        )
        const every = (yield* tasks.listStats({})).map(({ containerId }) => containerId)
        for (const id of ids) assert.include(every, id)
        assert.notInclude(every, ended)
        assert.deepStrictEqual(yield* tasks.listStats({ ids: [] }), [])
        const elsewhere = Effect.provideService(CurrentNamespace, Namespace.make("other"))
        assert.deepStrictEqual(yield* elsewhere(tasks.listStats({ ids })), [])
        assert.strictEqual(yield* tagOf(elsewhere(tasks.stats(ended))), "NotFound")
      }))

    test("says why there are no statistics, and no processes", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const nobody = yield* freshId
        const idle = yield* container(place.rootfs, "/bin/true")
        const ended = yield* running(place.rootfs, ["/bin/true"])
        yield* tasks.wait({ id: ended })
        const stats = (id: ContainerId) => Effect.asVoid(tasks.stats(id))
        const processTable = (id: ContainerId) => Effect.asVoid(tasks.processTable(id))
        for (const ask of [stats, processTable]) {
          for (const id of [nobody, idle]) assert.strictEqual(yield* tagOf(ask(id)), "NotFound")
          const error = yield* Effect.flip(ask(ended))
          assert.deepInclude(error, { _tag: "FailedPrecondition", found: "stopped" })
        }
        assert.deepStrictEqual(yield* tasks.pids(ended), [])
      }))

    test("knows the processes: what they are, since when, and which came by exec", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, forever)
        const exec = yield* startExec(id, ["/bin/sleep", "1001"])
        const { pid } = yield* tasks.get(id)
        const found = yield* until(tasks.processTable(id), (all) => all.every(({ args }) => args.length === 2))
        assert.sameMembers([...(yield* tasks.pids(id))], [pid ?? 0, exec.pid ?? 0])
        const brief = found.map(({ args, command, execId, pid, user }) => ({ args, command, execId, pid, user }))
        assert.sameDeepMembers(brief, [
          { pid: pid ?? 0, user: 0, command: "sleep", args: forever, execId: null },
          { pid: exec.pid ?? 0, user: 0, command: "sleep", args: ["/bin/sleep", "1001"], execId: exec.id }
        ])
        for (const { cpuTime, rss, state } of found) {
          assert.isAbove(rss, 0)
          assert.isBelow(cpuTime, 10_000_000_000)
          assert.match(state, /^[RSDI]$/)
        }
        yield* tasks.signal({ id, execId: exec.id, signal: 9 })
        yield* tasks.wait({ id, execId: exec.id })
        assert.deepStrictEqual(yield* tasks.pids(id), [pid ?? 0])
      }))

    test("tells that init was killed for want of memory, before its exit", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* limited(["/bin/sh", "-c", `exec ${hog}`], little)
        const exit = yield* tasks.wait({ id })
        assert.deepInclude(exit, { exitStatus: 137, oomKilled: true, oomCount: 1 })
        const peak = exit.memoryPeak ?? 0
        assert.isTrue(peak > 30 * mebi && peak <= 33 * mebi, `${peak}`)
        assert.deepInclude(yield* tasks.get(id), { status: "stopped", oomKilled: true, oomCount: 1 })
        assert.deepStrictEqual((yield* history(id)).slice(1), [
          "/tasks/create",
          "/tasks/start",
          "/tasks/oom",
          "/tasks/exit"
        ])
        assert.deepStrictEqual(yield* tasks.delete({ id }), exit)
      }))

    test("tells that an exec was killed for want of memory, while init lives on", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* limited(forever, little)
        const { id: execId } = yield* startExec(id, ["/bin/sh", "-c", `exec ${hog}`])
        const exit = yield* tasks.wait({ id, execId })
        assert.deepInclude(exit, { exitStatus: 137, oomKilled: true, oomCount: null, memoryPeak: null })
        assert.deepInclude(yield* tasks.get(id), { status: "running", oomKilled: false, oomCount: 1 })
        assert.deepStrictEqual((yield* history(id)).slice(3), [
          "/tasks/exec-added:job",
          "/tasks/exec-started:job",
          "/tasks/oom",
          "/tasks/exit:job"
        ])
        assert.strictEqual((yield* tasks.stats(id)).memory.oomKills, 1)
        const last = yield* tasks.delete({ id, force: true })
        assert.strictEqual(last?.oomCount, 1)
        assert.strictEqual((yield* history(id)).filter((topic) => topic === "/tasks/oom").length, 1)
      }))

    test("has no such thing to tell of a container that ends in peace", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, ["/bin/sh", "-c", "exit 137"])
        const exit = yield* tasks.wait({ id })
        assert.deepInclude(exit, { exitStatus: 137, oomKilled: false, oomCount: 0 })
        assert.isAbove(exit.memoryPeak ?? 0, 0)
        assert.notInclude(yield* history(id), "/tasks/oom")
      }))

    if (!place.real) return
    test("tells that a child was killed for want of memory, while init lives on", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* limited(["/bin/sh", "-c", `${hog}; ${hog}; sleep 1000`], little)
        const { oomKilled, status } = yield* until(tasks.get(id), ({ oomCount }) => oomCount === 2)
        assert.deepStrictEqual([status, oomKilled], ["running", false])
        const topics = yield* history(id)
        assert.include(topics, "/tasks/oom")
        assert.notInclude(topics, "/tasks/exit")
      }))
  })
}
