/**
 * A daemon and a shim that may have few files open: a container too many is refused, and when both are killed, one after the other, no exit is invented for want of
 * descriptors to look with. Whoever takes over has to look at every process while most descriptors are in use.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schedule } from "effect"
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Berth, ContainerId, Containers, ExecId, Spec, Tasks } from "../../src/index.ts"
import { daemonOn, folders, life, shimsOf } from "../support/daemon.ts"
import { cgroupsOf, filesWith, kernelTells, processesWith } from "../support/host.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"

const rootfs = rootfsOfFile()
/** What the daemon and its shim may have open. */
const limit = 150

const kill = (pids: ReadonlyArray<number>) =>
  Effect.sync(() => {
    for (const pid of pids) process.kill(pid, "SIGKILL")
  })

const spec = Result.getOrThrow(
  // Ends by itself when it is told to, with a status of its own.
  Spec.make({ rootfs: { path: rootfs }, args: ["/bin/sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done"] })
)

describe.skipIf(!canRunContainers || !kernelTells)("with few descriptors", () => {
  for (const runtime of ["runc", "crun"]) {
    it.live(
      `nothing is half-made, and nothing ends but what has ended (${runtime})`,
      () =>
        Effect.gen(function* () {
          const where = yield* folders
          const prefix = `few-${randomUUID().slice(0, 8)}`
          const options = { runtime, openFiles: limit }
          const made: Array<{ readonly id: ContainerId; readonly pid: number }> = []

          const untilRefused = Effect.gen(function* () {
            const [containers, tasks] = [yield* Containers, yield* Tasks]
            for (let number = 0; number < 60; number++) {
              const id = ContainerId.make(`${prefix}-${number}`)
              yield* containers.create({ id, spec })
              const created = yield* Effect.result(tasks.create({ id }))
              if (Result.isFailure(created)) {
                assert.include(["ResourceExhausted", "Unavailable"], created.failure._tag, created.failure.message)
                assert.deepStrictEqual([cgroupsOf(id), processesWith(id)], [[], []])
                yield* containers.delete(id)
                return
              }
              yield* tasks.start(id)
              made.push({ id, pid: (yield* tasks.get(id)).pid ?? 0 })
            }
            assert.fail("none was refused")
          })
          /** All as they were: the same processes, which live. */
          const allRun = Effect.gen(function* () {
            for (const { id, pid } of made) {
              const task = yield* (yield* Tasks).get(id)
              assert.deepStrictEqual([task.status, task.pid], ["running", pid], id)
              assert.include(readFileSync(`/proc/${pid}/status`, "utf8"), "sh\n")
            }
          })
          const untilShim = (before: ReadonlyArray<number>) =>
            Effect.sync(() => shimsOf(where.state).filter((pid) => !before.includes(pid))).pipe(
              Effect.repeat({ until: (pids) => pids.length > 0, schedule: Schedule.spaced("20 millis") }),
              Effect.timeout("10 seconds")
            )

          yield* life(
            where,
            () =>
              Effect.gen(function* () {
                yield* untilRefused
                assert.isAbove(made.length, 12)
                const shims = shimsOf(where.state)
                yield* kill(shims)
                yield* untilShim(shims)
                yield* Effect.sleep("3 seconds")
                yield* allRun
              }),
            options
          )
          // Both at once: nobody holds anything now.
          yield* kill(shimsOf(where.state))
          const { address } = yield* daemonOn(where, options)
          yield* Effect.gen(function* () {
            const [containers, tasks] = [yield* Containers, yield* Tasks]
            yield* Effect.sleep("3 seconds")
            yield* allRun
            // Each is taken over: its end is heard of, with its true status, and it can be deleted.
            for (const [number, { id }] of made.entries()) {
              yield* tasks.signal({ id, signal: number % 2 === 0 ? 15 : 9 })
              const { exitStatus } = yield* tasks.wait({ id }).pipe(Effect.timeout("10 seconds"))
              assert.strictEqual(exitStatus, number % 2 === 0 ? 7 : 137, id)
              yield* tasks.delete({ id })
              yield* containers.delete(id)
            }
            const id = ContainerId.make(`${prefix}-last`)
            yield* containers.create({ id, spec })
            yield* tasks.create({ id })
            yield* tasks.start(id)
            const execId = ExecId.make("job")
            yield* tasks.exec({ id, execId, process: { args: ["/bin/sh", "-c", "exit 3"], cwd: "/" } })
            yield* tasks.startExec({ id, execId })
            assert.strictEqual((yield* tasks.wait({ id, execId })).exitStatus, 3)
            yield* tasks.delete({ id, force: true })
            yield* containers.delete(id)
          }).pipe(Effect.provide(Berth.layerClient({ address })))
          assert.deepStrictEqual([cgroupsOf(prefix), processesWith(prefix)], [[], []])
          assert.deepStrictEqual(filesWith(join(where.state, "tasks"), prefix), [])
        }).pipe(Effect.scoped),
      180_000
    )
  }

  it.live(
    "what cannot be taken over for want of them runs on as it is written down, and is taken over when others have ended",
    () =>
      Effect.gen(function* () {
        const where = yield* folders
        const prefix = `less-${randomUUID().slice(0, 8)}`
        const ids = Array.from({ length: 24 }, (_, number) => ContainerId.make(`${prefix}-${number}`))
        yield* life(
          where,
          () =>
            Effect.gen(function* () {
              const [containers, tasks] = [yield* Containers, yield* Tasks]
              for (const id of ids) {
                yield* containers.create({ id, spec })
                yield* tasks.create({ id })
                yield* tasks.start(id)
              }
            }),
          { runtime: "crun" }
        )
        yield* kill(shimsOf(where.state))
        const { address } = yield* daemonOn(where, { runtime: "crun", openFiles: 80 })
        yield* Effect.gen(function* () {
          const [containers, tasks] = [yield* Containers, yield* Tasks]
          yield* Effect.sleep("4 seconds")
          for (const id of ids) assert.strictEqual((yield* tasks.get(id)).status, "running", id)
          const log = readFileSync(join(where.state, "shim.log"), "utf8")
          const waiting = ids.filter((id) => log.includes(`cannot take over default/${id} yet`))
          assert.isAbove(waiting.length, 2)
          assert.isBelow(waiting.length, ids.length)
          const end = Effect.fnUntraced(function* (id: ContainerId) {
            yield* tasks.signal({ id, signal: 15 })
            assert.strictEqual((yield* tasks.wait({ id })).exitStatus, 7, id)
            yield* tasks.delete({ id })
            yield* containers.delete(id)
          })
          // In no order: the end of one that waits is told when another has made room for it.
          yield* Effect.timeout(Effect.forEach(ids, end, { concurrency: "unbounded", discard: true }), "60 seconds")
        }).pipe(Effect.provide(Berth.layerClient({ address })))
        assert.deepStrictEqual([cgroupsOf(prefix), processesWith(prefix)], [[], []])
      }).pipe(Effect.scoped),
    120_000
  )
})
