/** What a daemon holds of processes while it has no shim: nothing of it is left when they have ended, and nothing of a container that is deleted. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { readdirSync, readlinkSync } from "node:fs"
import { Berth, Containers, ExecId, Tasks } from "../../src/index.ts"
import { running } from "../support/container.ts"
import { daemon, shimsOf } from "../support/daemon.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"

const rootfs = rootfsOfFile()
const names = [1, 2, 3, 4, 5, 6].map((number) => ExecId.make(`job-${number}`))

/** What that process has open of processes: their pidfds, and their pipes below the state folder. */
const heldBy = (pid: number, state: string) =>
  readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`)
      return target.includes("pidfd") || target.startsWith(`${state}/tasks`) ? [target] : []
    } catch {
      return []
    }
  })

describe.skipIf(!canRunContainers)("the descriptors of a daemon", () => {
  it.live(
    "of execs that end with their shim, and of a container that is deleted with those that run, are closed",
    () =>
      Effect.gen(function* () {
        const { address, pid, state } = yield* daemon()
        yield* Effect.gen(function* () {
          const tasks = yield* Tasks
          const held = () => heldBy(pid, state)
          const before = held()
          const id = yield* running(rootfs, ["/bin/sleep", "1000"])
          const start = Effect.forEach(names, (execId) =>
            Effect.andThen(
              tasks.exec({ id, execId, process: { args: ["/bin/sleep", "1000"], cwd: "/" } }),
              tasks.startExec({ id, execId })
            )
          )
          const init = held().length
          const started = yield* start
          assert.lengthOf(held(), init + 3 * names.length)

          const pids = started.flatMap((found) => (found.pid === null ? [] : [found.pid]))
          assert.lengthOf(pids, names.length)
          for (const one of [...shimsOf(state), ...pids]) process.kill(one, "SIGKILL")
          for (const execId of names) yield* tasks.wait({ id, execId })
          yield* Effect.sync(held).pipe(
            Effect.repeat({ until: (left) => left.length === init, schedule: Schedule.spaced("20 millis") }),
            Effect.timeout("10 seconds")
          )
          for (const execId of names) yield* tasks.deleteExec({ id, execId })
          yield* start
          assert.lengthOf(held(), init + 3 * names.length)
          yield* tasks.delete({ id, force: true })
          yield* (yield* Containers).delete(id)
          assert.deepStrictEqual(held(), before)
        }).pipe(Effect.scoped, Effect.provide(Berth.layerClient({ address })))
      }).pipe(Effect.scoped),
    60_000
  )
})
