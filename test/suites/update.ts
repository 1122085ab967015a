/**
 * What an update of a live task does, whatever is under it. On real containers the limits are read in the kernel's files and felt inside the container, too.
 */
import { assert, layer as suiteLayer } from "@effect/vitest"
import { Effect, Exit, Stream } from "effect"
import type { Scope } from "effect"
import { readFileSync } from "node:fs"
import type { BerthError, ContainerId, Resources, System } from "../../src/index.ts"
import { Containers, Events, ExecId, ProcessSpec, Tasks } from "../../src/index.ts"
import { created, running } from "../support/container.ts"
import { untilDone } from "../support/testTime.ts"
import type { Place } from "./berth.ts"

const mib = 1_048_576
const sleep = ["/bin/sleep", "1000"]

/** A file of the container's own group; on version 1 of cgroups only. */
const kernel = (id: ContainerId, controller: string, file: string) =>
  Effect.flatMap(Containers, (containers) =>
    Effect.map(containers.get(id), ({ spec }) =>
      readFileSync(`/sys/fs/cgroup/${controller}${spec.linux?.cgroupsPath}/${file}`, "utf8").trim()
    )
  )

/** What a command inside the container prints. */
const inside = Effect.fnUntraced(function* (id: ContainerId, name: string, script: string) {
  const tasks = yield* Tasks
  const { spec } = yield* (yield* Containers).get(id)
  const execId = ExecId.make(name)
  const process = yield* Effect.fromResult(ProcessSpec.makeProcess(spec, { args: ["/bin/sh", "-c", script] }))
  yield* tasks.exec({ id, execId, process })
  yield* tasks.startExec({ id, execId })
  yield* tasks.wait({ id, execId })
  const text = yield* Stream.runFold(
    tasks.output({ id, execId, follow: true }),
    () => "",
    (all, { bytes }) => all + new TextDecoder().decode(bytes)
  )
  yield* tasks.deleteExec({ id, execId })
  return text.trim()
})

const stored = (id: ContainerId) =>
  Effect.flatMap(Containers, (containers) => Effect.map(containers.get(id), ({ spec }) => spec))

const updates = (id: ContainerId) =>
  Effect.flatMap(Events, (events) =>
    Effect.map(Stream.runCollect(events.subscribe({ filters: [`id==${id}`] })), (found) =>
      found.filter(({ topic }) => topic === "/containers/update")
    )
  )

const tagOf = <A, R>(effect: Effect.Effect<A, BerthError, R>) => Effect.map(Effect.flip(effect), ({ _tag }) => _tag)

export const updateSuite = (place: Place) => {
  suiteLayer(place.layer, { excludeTestServices: place.real, timeout: "60 seconds" })(`update: ${place.name}`, (it) => {
    const test = (
      name: string,
      body: () => Effect.Effect<void, unknown, Containers | Tasks | Events | System | Scope.Scope>
    ) => it.effect(name, () => (place.real ? body() : untilDone(Effect.scoped(body()))))

    test("changes what it names, leaves the rest, and is stored and told", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, sleep)
        const first = yield* tasks.update({
          id,
          resources: { memory: { limit: 64 * mib, reservation: 32 * mib, swap: 128 * mib }, pids: { limit: 50 } },
          annotations: { team: "blue", stage: "one" }
        })
        assert.deepStrictEqual(first.resources.memory, { limit: 64 * mib, reservation: 32 * mib, swap: 128 * mib })
        assert.deepStrictEqual(first.annotations, { team: "blue", stage: "one" })
        const second = yield* tasks.update({
          id,
          resources: { cpu: { quota: 50_000, shares: 512, cpus: "0", mems: "0" }, pids: { limit: 0 } },
          annotations: { stage: null }
        })
        const { cpu, memory, pids } = second.resources
        assert.deepStrictEqual(memory, first.resources.memory)
        assert.deepInclude(cpu, { quota: 50_000, period: 100_000, shares: 512, cpus: "0", mems: "0" })
        assert.deepStrictEqual(pids, { limit: -1 })
        const spec = yield* stored(id)
        assert.deepStrictEqual(spec.annotations, { team: "blue" })
        assert.deepStrictEqual(spec.linux?.resources?.memory, memory)
        assert.deepInclude(spec.linux?.resources?.cpu, { quota: 50_000, period: 100_000, shares: 512, cpus: "0" })
        assert.isNotEmpty(spec.linux?.resources?.devices)
        assert.strictEqual((yield* updates(id)).length, 2)
        assert.deepStrictEqual((yield* tasks.update({ id })).resources, second.resources)
        assert.strictEqual((yield* updates(id)).length, 2)
        if (!place.real) return
        assert.strictEqual(yield* kernel(id, "memory", "memory.limit_in_bytes"), `${64 * mib}`)
        assert.strictEqual(yield* kernel(id, "memory", "memory.memsw.limit_in_bytes"), `${128 * mib}`)
        assert.strictEqual(yield* kernel(id, "cpu", "cpu.cfs_quota_us"), "50000")
        assert.strictEqual(yield* kernel(id, "pids", "pids.max"), "max")
        assert.strictEqual(
          yield* inside(
            id,
            "look",
            "cat /sys/fs/cgroup/memory/memory.limit_in_bytes; grep Cpus_allowed_list /proc/self/status"
          ),
          `${64 * mib}\nCpus_allowed_list:\t0`
        )
      }))

    test("limits of a created task hold when it is started, and again when it is made anew", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* created(place.rootfs, sleep)
        yield* tasks.update({ id, resources: { memory: { limit: 48 * mib }, pids: { limit: 40 } } })
        yield* tasks.start(id)
        const held = { memory: { limit: 48 * mib }, pids: { limit: 40 } }
        const now = (yield* tasks.update({ id })).resources
        assert.deepStrictEqual([now.memory?.limit, now.pids?.limit], [held.memory.limit, held.pids.limit])
        yield* tasks.delete({ id, force: true })
        yield* tasks.create({ id })
        const anew = (yield* tasks.update({ id })).resources
        assert.deepStrictEqual([anew.memory?.limit, anew.pids?.limit], [held.memory.limit, held.pids.limit])
        yield* tasks.update({ id, resources: { memory: { limit: -1 }, cpu: { quota: 20_000 }, pids: { limit: -1 } } })
        yield* tasks.update({ id, resources: { cpu: { quota: -1 } } })
        const { memory, pids } = (yield* stored(id)).linux?.resources ?? {}
        assert.deepStrictEqual([memory, pids], [undefined, undefined])
        yield* tasks.delete({ id })
        yield* tasks.create({ id })
        const free = (yield* tasks.update({ id })).resources
        if (place.real) assert.deepStrictEqual([free.memory?.limit, free.cpu?.quota, free.pids?.limit], [-1, -1, -1])
      }))

    test("works on a paused task and leaves it paused", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, sleep)
        yield* tasks.pause(id)
        const { resources } = yield* tasks.update({
          id,
          resources: { memory: { limit: 80 * mib }, pids: { limit: 30 }, cpu: { quota: -1 } }
        })
        assert.deepStrictEqual(
          [resources.memory?.limit, resources.pids?.limit, resources.cpu?.quota],
          [80 * mib, 30, -1]
        )
        assert.strictEqual((yield* tasks.get(id)).status, "paused")
        if (place.real) assert.strictEqual(yield* kernel(id, "freezer", "freezer.state"), "FROZEN")
        yield* tasks.resume(id)
      }))

    test("refuses what cannot be, and changes nothing", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, sleep)
        const own: Resources = { memory: { limit: 64 * mib, swap: 64 * mib }, cpu: { quota: 50_000, period: 100_000 } }
        const before = yield* tasks.update({ id, resources: own })
        const wrong: ReadonlyArray<readonly [Resources, string]> = [
          [{ memory: { swap: 32 * mib } }, "memory.limit"],
          [{ memory: { limit: 65 * mib } }, "memory.limit"],
          [{ memory: { limit: -1 } }, "memory.limit"],
          [{ memory: { limit: 0 } }, "memory.limit"],
          [{ memory: { reservation: 65 * mib } }, "memory.reservation"],
          [{ memory: { kernel: 1 } }, "memory.kernel"],
          [{ cpu: { period: 999 } }, "cpu.period"],
          [{ cpu: { quota: 999 } }, "cpu.quota"],
          [{ cpu: { burst: 60_000 } }, "cpu.burst"],
          [{ cpu: { shares: 1 } }, "cpu.shares"],
          [{ cpu: { cpus: "all" } }, "cpu.cpus"],
          [{ pids: { limit: -2 } }, "pids.limit"],
          [{ blockIO: { weight: 5 } }, "blockIO.weight"],
          [{ blockIO: { throttleReadBpsDevice: [{ major: -1, minor: 0, rate: 1 }] } }, "blockIO.throttleReadBpsDevice"],
          [
            { blockIO: { throttleReadBpsDevice: [{ major: 7, minor: 0, rate: -1 }] } },
            "blockIO.throttleReadBpsDevice 7:0"
          ],
          [{ devices: [] }, "devices"],
          [{ unified: { "memory.high": "1" } }, "unified"]
        ]
        for (const [resources, field] of wrong) {
          const error = yield* Effect.flip(
            tasks.update({ id, resources: { ...resources, pids: { limit: 9, ...resources.pids } } })
          )
          assert.deepStrictEqual(
            [error._tag, "field" in error ? error.field : error.message],
            ["InvalidArgument", field]
          )
        }
        assert.deepStrictEqual((yield* tasks.update({ id })).resources, before.resources)
        assert.strictEqual((yield* updates(id)).length, 1)
      }))

    test("is for created, running and paused tasks alone", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, sleep)
        yield* tasks.signal({ id, signal: 9 })
        yield* tasks.wait({ id })
        const change = { resources: { pids: { limit: 9 } }, annotations: { a: "b" } }
        const error = yield* Effect.flip(tasks.update({ id, ...change }))
        assert.strictEqual(error.message, `cannot update "${id}": it is stopped, must be created or running or paused`)
        yield* tasks.delete({ id })
        assert.strictEqual(yield* tagOf(tasks.update({ id, ...change })), "NotFound")
        assert.isUndefined((yield* stored(id)).annotations)
        assert.deepStrictEqual(yield* updates(id), [])
      }))

    test("a hundred at once end in one value, the same in kernel and store", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, sleep)
        const exits = yield* Effect.forEach(
          Array.from({ length: 100 }, (_, n) => n + 1),
          (n) =>
            Effect.exit(
              tasks.update({
                id,
                resources: { memory: { limit: (32 + n) * mib, swap: (64 + n) * mib }, pids: { limit: 100 + n } },
                annotations: { n: `${n}` }
              })
            ),
          { concurrency: 50 }
        )
        assert.isTrue(exits.every(Exit.isSuccess))
        const { linux, ...spec } = yield* stored(id)
        const n = Number(spec.annotations?.["n"])
        const { resources } = yield* tasks.update({ id })
        assert.deepStrictEqual(
          [linux?.resources?.memory?.limit, resources.memory?.limit, resources.memory?.swap, resources.pids?.limit],
          [(32 + n) * mib, (32 + n) * mib, (64 + n) * mib, 100 + n]
        )
        assert.strictEqual((yield* updates(id)).length, 100)
      }))

    if (!place.real) return

    test("throttles, huge pages and weights, which runtimes pass over or refuse", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, sleep)
        const rate = { major: 7, minor: 0, rate: mib }
        const { resources } = yield* tasks.update({
          id,
          resources: {
            blockIO: { weight: 300, throttleReadBpsDevice: [rate], throttleWriteIOPSDevice: [{ ...rate, rate: 50 }] },
            hugepageLimits: [{ pageSize: "2MB", limit: 4 * mib }],
            cpu: { quota: 20_000, burst: 10_000 }
          }
        })
        assert.deepStrictEqual(resources.blockIO, {
          weight: 300,
          throttleReadBpsDevice: [rate],
          throttleWriteIOPSDevice: [{ ...rate, rate: 50 }]
        })
        assert.strictEqual(yield* kernel(id, "blkio", "blkio.throttle.read_bps_device"), `7:0 ${mib}`)
        assert.strictEqual(yield* kernel(id, "cpu", "cpu.cfs_burst_us"), "10000")
        assert.strictEqual(yield* kernel(id, "hugetlb", "hugetlb.2MB.limit_in_bytes"), `${4 * mib}`)
        // The runtime writes what it thinks of the others: they stay as they are.
        const next = yield* tasks.update({
          id,
          resources: { cpu: { shares: 256 }, blockIO: { throttleReadBpsDevice: [{ ...rate, rate: 0 }] } }
        })
        assert.deepStrictEqual(next.resources.blockIO, {
          weight: 300,
          throttleWriteIOPSDevice: [{ ...rate, rate: 50 }]
        })
        assert.deepStrictEqual(next.resources.hugepageLimits, resources.hugepageLimits)
        assert.deepStrictEqual((yield* stored(id)).linux?.resources?.blockIO, next.resources.blockIO)
      }))

    test("what the kernel refuses half-way is taken back", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, [
          "/bin/sh",
          "-c",
          "dd if=/dev/zero of=/dev/shm/f bs=1M count=24; sleep 1000"
        ])
        const own: Resources = { memory: { limit: 256 * mib, swap: 256 * mib }, pids: { limit: 90 } }
        const before = yield* tasks.update({ id, resources: own })
        yield* inside(id, "fill", "until [ $(wc -c < /dev/shm/f) -eq 25165824 ]; do sleep 0.05; done")
        const refused: ReadonlyArray<Resources> = [
          // Less than is in use, of memory that cannot be given back.
          { pids: { limit: 9 }, cpu: { shares: 2000 }, memory: { limit: 4 * mib, swap: 4 * mib } },
          { pids: { limit: 9 }, cpu: { shares: 2000, cpus: "0,900" }, memory: { limit: 128 * mib, swap: 256 * mib } },
          { pids: { limit: 9 }, blockIO: { throttleReadBpsDevice: [{ major: 4000, minor: 77, rate: 10 }] } }
        ]
        for (const resources of refused) {
          assert.strictEqual(yield* tagOf(tasks.update({ id, resources, annotations: { a: "b" } })), "RuntimeFailed")
          assert.deepStrictEqual((yield* tasks.update({ id })).resources, before.resources)
        }
        const spec = yield* stored(id)
        assert.deepStrictEqual([spec.annotations, spec.linux?.resources?.pids], [undefined, { limit: 90 }])
        const later = yield* tasks.update({ id, resources: { pids: { limit: 91 } } })
        assert.deepStrictEqual(later.resources, { ...before.resources, pids: { limit: 91 } })
      }))

    test("a lower limit of processes is felt inside", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* running(place.rootfs, sleep)
        const script = `for i in ${Array.from({ length: 40 }, (_, n) => n).join(" ")}; do sleep 1 & done; wait; echo done`
        assert.strictEqual(yield* inside(id, "many", script), "done")
        // The runtime's own program has a dozen threads in the container before it becomes the shell.
        yield* tasks.update({ id, resources: { pids: { limit: 24 } } })
        assert.include(yield* inside(id, "few", script), "fork")
      }))
  })
}
