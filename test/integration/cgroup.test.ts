/** What the kernel accounts for real containers, as `Cgroups` reads it while runc and crun run them. */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, layer as suiteLayer } from "@effect/vitest"
import { DateTime, Effect, Fiber, Layer, Result, Schedule, Stream } from "effect"
import { chmodSync, existsSync, mkdirSync, readdirSync, readlinkSync, writeFileSync } from "node:fs"
import { Berth, Containers, ExecId, ProcessSpec, Spec, Tasks } from "../../src/index.ts"
import * as CgroupFs from "../../src/layers/cgroup/CgroupFs.ts"
import { Cgroups } from "../../src/services/Cgroups.ts"
import type { SpecOptions } from "../../src/spec/SpecOptions.ts"
import { freshId } from "../support/container.ts"
import { folders } from "../support/daemon.ts"
import { canRunContainers, installed, rootfsOfFile } from "../support/rootfs.ts"

const rootfs = rootfsOfFile()
chmodSync(rootfs, 0o755)
const mebi = 2 ** 20

/** A created task and its groups; both deleted with the scope. */
const created = Effect.fnUntraced(function* (script: string, options: Partial<SpecOptions> = {}) {
  const [containers, tasks, cgroups] = [yield* Containers, yield* Tasks, yield* Cgroups]
  const id = yield* freshId
  const spec = Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args: ["/bin/sh", "-c", script], ...options }))
  const { spec: stored } = yield* Effect.acquireRelease(containers.create({ id, spec }), () =>
    Effect.ignore(Effect.andThen(Effect.ignore(tasks.delete({ id, force: true })), containers.delete(id)))
  )
  const { pid } = yield* tasks.create({ id })
  const cgroup = yield* cgroups.find({ containerId: id, pid, cgroupsPath: stored.linux?.cgroupsPath ?? null })
  return { id, pid: pid ?? 0, tasks, cgroup }
})

const running = Effect.fnUntraced(function* (script: string, options: Partial<SpecOptions> = {}) {
  const found = yield* created(script, options)
  yield* found.tasks.start(found.id)
  return found
})

/** Asks again until it is so. */
const until = <A, E, R>(effect: Effect.Effect<A, E, R>, holds: (value: A) => boolean) =>
  Effect.timeout(Effect.repeat(effect, { until: holds, schedule: Schedule.spaced("20 millis") }), "15 seconds")

for (const runtime of ["runc", "crun"]) {
  const layer = Layer.mergeAll(
    Layer.unwrap(Effect.map(folders, (place) => Berth.layerEmbedded({ ...place, runtime }))),
    CgroupFs.layer()
  ).pipe(Layer.provide(NodeServices.layer), Layer.orDie)

  describe.skipIf(!canRunContainers || installed(runtime) === null)(`cgroups on ${runtime}`, () => {
    suiteLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
      it.effect("memory that a process allocates, up to its limit, and limits of the machine without", () =>
        Effect.gen(function* () {
          // The end of the pipe keeps all of the one line in memory until the sleeper lets go.
          const script = "(head -c 50m /dev/zero; sleep 100) | tail -c 50m"
          const { cgroup } = yield* running(script, { memory: 128 * mebi, memorySwap: 128 * mebi, pidsLimit: 20 })
          const { memory, pids } = yield* until(cgroup.stats, ({ memory }) => (memory.rss ?? 0) >= 50 * mebi)
          assert.strictEqual(memory.limit, 128 * mebi)
          assert.isTrue((memory.usage ?? 0) >= 50 * mebi && (memory.usage ?? 0) < 128 * mebi, `${memory.usage}`)
          assert.isTrue((memory.peak ?? 0) >= (memory.usage ?? 0), `${memory.peak}`)
          assert.isTrue((memory.workingSet ?? 0) >= 50 * mebi)
          assert.strictEqual(pids.limit, 20)
          assert.isTrue(pids.current === 3 || pids.current === 4, `${pids.current}`)
          const free = yield* running("sleep 100")
          const unlimited = yield* free.cgroup.stats
          assert.isTrue(unlimited.memory.limit > 128 * mebi && unlimited.memory.limit < 2 ** 50)
          assert.isNull(unlimited.pids.limit)
        })
      )

      it.effect("a kill for want of memory while init lives: the count rises and the watch tells it", () =>
        Effect.gen(function* () {
          const { cgroup, id, tasks } = yield* created("tail /dev/zero; echo $?; sleep 100", {
            memory: 16 * mebi,
            memorySwap: 16 * mebi
          })
          assert.strictEqual(yield* cgroup.oomKills, 0)
          const first = yield* Effect.forkChild(Stream.runHead(cgroup.watchOom(0)), { startImmediately: true })
          yield* tasks.start(id)
          assert.deepInclude(yield* Effect.timeout(Fiber.join(first), "15 seconds"), { _tag: "Some", value: 1 })
          assert.strictEqual(yield* cgroup.oomKills, 1)
          assert.strictEqual((yield* cgroup.stats).memory.oomKills, 1)
          assert.strictEqual((yield* tasks.get(id)).status, "running")
        })
      )

      it.effect("nothing any more, once the runtime has taken the group of what has ended away", () =>
        Effect.gen(function* () {
          const { cgroup, id, tasks } = yield* running("exec tail /dev/zero", {
            memory: 16 * mebi,
            memorySwap: 16 * mebi
          })
          const { exitStatus, memoryPeak, oomCount } = yield* tasks.wait({ id })
          assert.deepStrictEqual([exitStatus, oomCount], [137, 1])
          assert.isTrue((memoryPeak ?? 0) > 15 * mebi && (memoryPeak ?? 0) <= 17 * mebi, `${memoryPeak}`)
          yield* tasks.delete({ id })
          for (const read of [cgroup.stats, cgroup.pids, cgroup.oomKills, cgroup.memoryPeak]) {
            assert.deepInclude(yield* Effect.flip<unknown, unknown, never>(read), { _tag: "NotFound", id })
          }
          assert.deepStrictEqual(yield* Stream.runCollect(cgroup.watchOom(0)), [])
        })
      )

      it.effect("the network, of which nothing is held any more when init has ended", () =>
        Effect.gen(function* () {
          const { id, pid, tasks } = yield* running("sleep 100")
          const held = () =>
            readdirSync("/proc/self/fd").filter((fd) => {
              try {
                return readlinkSync(`/proc/self/fd/${fd}`) === `/proc/${pid}/net/dev`
              } catch {
                // That of the listing itself.
                return false
              }
            }).length
          for (let times = 0; times < 2; times++) {
            const { network } = yield* tasks.stats(id)
            assert.deepStrictEqual(
              network?.map((found) => found.interface),
              ["lo"]
            )
            assert.strictEqual(held(), 1)
          }
          yield* tasks.signal({ id, signal: 9 })
          yield* tasks.wait({ id })
          assert.strictEqual(held(), 0)
        })
      )

      it.effect("found by the specification alone, where init is not known", () =>
        Effect.gen(function* () {
          const script = "tail /dev/zero; sleep 100"
          const { cgroup, id } = yield* running(script, { memory: 16 * mebi, memorySwap: 16 * mebi })
          yield* until(cgroup.oomKills, (count) => count === 1)
          const { spec } = yield* (yield* Containers).get(id)
          const { find } = yield* Cgroups
          const late = yield* find({ containerId: id, pid: null, cgroupsPath: spec.linux?.cgroupsPath ?? null })
          assert.strictEqual(yield* late.oomKills, 1)
          assert.isNull((yield* late.stats).network)
        })
      )

      it.effect("every process: children, execs and those in groups below, with what is known of them", () =>
        Effect.gen(function* () {
          const before = yield* DateTime.now
          const script = "sh -c 'sleep 1000 & sleep 1000 & wait' & wait"
          const { cgroup, id, pid, tasks } = yield* running(script, { user: "65534:65534" })
          const execId = ExecId.make("probe")
          const { spec } = yield* (yield* Containers).get(id)
          const process = Result.getOrThrow(ProcessSpec.makeProcess(spec, { args: ["sleep", "1001"], user: "1234" }))
          yield* tasks.exec({ id, execId, process })
          const exec = yield* tasks.startExec({ id, execId })
          const group = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
            .map((hierarchy) => `${hierarchy}${spec.linux?.cgroupsPath}`)
            .find((path) => existsSync(path))
          mkdirSync(`${group}/below`)
          writeFileSync(`${group}/below/cgroup.procs`, `${exec.pid}`)
          const all = yield* until(
            cgroup.processes,
            (found) => found.filter(({ command }) => command === "sleep").length === 3
          )
          assert.strictEqual(all.length, 5)
          const pids = all.map((process) => process.pid)
          assert.deepStrictEqual(yield* cgroup.pids, pids)
          assert.deepStrictEqual(
            pids,
            [...(yield* tasks.pids(id))].sort((a, b) => a - b)
          )
          const init = all.find((process) => process.pid === pid)
          assert.deepInclude(init, { user: 65_534, command: "sh", args: ["/bin/sh", "-c", script], execId: null })
          assert.strictEqual(all.filter(({ args }) => args.join(" ") === "sleep 1000").length, 2)
          assert.strictEqual(all.find(({ ppid }) => ppid === pid)?.command, "sh")
          assert.deepInclude(
            all.find((process) => process.pid === exec.pid),
            { user: 1234, args: ["sleep", "1001"] }
          )
          const started = init === undefined ? 0 : DateTime.toEpochMillis(init.startedAt)
          const offset = started - DateTime.toEpochMillis(before)
          assert.isTrue(offset > -50 && offset < 15_000, `${offset}`)
        })
      )

      it.effect("processor time of a busy loop, and how it is throttled", () =>
        Effect.gen(function* () {
          const { cgroup } = yield* running("while :; do :; done", { cpus: 0.2 })
          const first = yield* cgroup.stats
          yield* Effect.sleep("1 second")
          const second = yield* cgroup.stats
          const used = (second.cpu.usage ?? 0) - (first.cpu.usage ?? 0)
          const machine = second.cpu.systemUsage - first.cpu.systemUsage
          assert.isTrue(used > 30e6 && used < 500e6, `${used}`)
          assert.isTrue(machine > 0.7e9 * second.cpu.onlineCpus, `${machine}`)
          assert.isTrue((second.cpu.throttledPeriods ?? 0) > (first.cpu.throttledPeriods ?? 0))
          assert.isTrue((second.cpu.throttledTime ?? 0) > (first.cpu.throttledTime ?? 0))
          const split = (second.cpu.user ?? 0) + (second.cpu.system ?? 0)
          assert.isTrue(Math.abs(split - (second.cpu.usage ?? 0)) < 100e6, `${split} ${second.cpu.usage}`)
          assert.isTrue(DateTime.toEpochMillis(second.readAt) - DateTime.toEpochMillis(first.readAt) >= 990)
        })
      )

      it.effect("the counters of a network of its own, and none of the host's", () =>
        Effect.gen(function* () {
          const own = yield* running("ping -c 3 -i 0.2 127.0.0.1 >/dev/null; sleep 100")
          const { network } = yield* until(own.cgroup.stats, ({ network }) => (network?.[0]?.txPackets ?? 0) >= 6)
          assert.deepStrictEqual(
            network?.map((found) => found.interface),
            ["lo"]
          )
          assert.strictEqual(network?.[0]?.rxBytes, network?.[0]?.txBytes)
          assert.isTrue((network?.[0]?.rxBytes ?? 0) >= 6 * 84)
          const host = yield* running("sleep 100", { network: "host" })
          assert.isNull((yield* host.cgroup.stats).network)
        })
      )
    })
  })
}
