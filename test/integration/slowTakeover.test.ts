/** A shim that takes long to take over: the daemon waits for it instead of ending; one that dies meanwhile it does not wait for. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result, Schedule } from "effect"
import { randomUUID } from "node:crypto"
import { existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { ContainerId, Containers, Spec, Tasks } from "../../src/index.ts"
import { daemonOn, folders, life, shimsOf } from "../support/daemon.ts"
import { cgroupsOf, filesWith, processesWith } from "../support/host.ts"
import { canRunContainers, installed, rootfsOfFile } from "../support/rootfs.ts"
import { writeScript } from "../support/stubRuntime.ts"

const rootfs = rootfsOfFile()
const crun = installed("crun")

/** crun, except that `state` takes its time: longer than anything that the daemon once waited for. */
const slow = (asked: string) => `
case " $* " in
  *" state "*) echo > ${asked}; sleep 7 ;;
esac
exec ${crun} "$@"`

/** Two containers that wait to be started, whose daemon and shim are killed. */
const left = Effect.gen(function* () {
  const where = yield* folders
  const asked = join(where.folder, "asked")
  const bin = join(where.folder, "bin")
  mkdirSync(bin)
  writeScript(join(bin, "crun"), slow(asked))
  const options = { runtime: "crun", env: { PATH: `${bin}:${process.env["PATH"] ?? ""}` } }
  const prefix = `late-${randomUUID().slice(0, 8)}`
  const ids = ["one", "two"].map((name) => ContainerId.make(`${prefix}-${name}`))
  const spec = Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args: ["/bin/sleep", "1000"] }))
  const made = Effect.gen(function* () {
    for (const id of ids) {
      yield* (yield* Containers).create({ id, spec })
      yield* (yield* Tasks).create({ id })
    }
    for (const shim of shimsOf(where.state)) process.kill(shim, "SIGKILL")
  })
  yield* life(where, () => made, options)
  const untilAsked = Effect.sync(() => existsSync(asked)).pipe(
    Effect.repeat({ until: (found) => found, schedule: Schedule.spaced("10 millis") })
  )
  return { where, options, prefix, ids, untilAsked }
})

describe.skipIf(!canRunContainers || crun === null)("a slow takeover", () => {
  it.live(
    "is waited for: the daemon gets ready, and every container is there",
    () =>
      Effect.gen(function* () {
        const { ids, options, prefix, where } = yield* left
        yield* life(
          where,
          () =>
            Effect.gen(function* () {
              const tasks = yield* Tasks
              for (const id of ids) {
                assert.strictEqual((yield* tasks.get(id)).status, "created")
                yield* tasks.start(id)
                assert.strictEqual((yield* tasks.get(id)).status, "running")
                yield* tasks.delete({ id, force: true })
                yield* (yield* Containers).delete(id)
              }
            }),
          options
        )
        assert.deepStrictEqual(
          [cgroupsOf(prefix), processesWith(prefix), filesWith(where.folder, prefix)],
          [[], [], []]
        )
      }).pipe(Effect.scoped),
    60_000
  )

  it.live(
    "is not waited for once the shim is dead",
    () =>
      Effect.gen(function* () {
        const { options, untilAsked, where } = yield* left
        const next = yield* Effect.forkChild(Effect.exit(daemonOn(where, options)))
        yield* untilAsked
        for (const shim of shimsOf(where.state)) process.kill(shim, "SIGKILL")
        const ended = yield* Fiber.join(next).pipe(Effect.timeout("4 seconds"))
        assert.match(String(ended), /the daemon ended with 125[^]*the shim is gone/)
      }).pipe(Effect.scoped),
    60_000
  )
})
