import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Children } from "../../../src/layers/posix/Children.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import * as Proc from "../../../src/layers/posix/Proc.ts"
import * as HostDriver from "../../../src/layers/runtime/HostDriver.ts"
import * as Reaper from "../../../src/layers/Reaper.ts"
import { ContainerId, ExecId, Namespace } from "../../../src/schema/Ids.ts"
import { ProcessReaper } from "../../../src/services/ProcessReaper.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { lives } from "../../support/host.ts"

const nothing = { stdin: null, stdout: null, stderr: null }
const programOf = (args: ReadonlyArray<string>) => ({ cwd: "/", args, env: ["PATH=/usr/bin:/bin"] })

const host = Effect.fnUntraced(function* (args: ReadonlyArray<string>, more: object = {}) {
  const folder = yield* temporaryFolder
  const bundle = join(folder, "bundle")
  mkdirSync(bundle)
  writeFileSync(
    join(bundle, "config.json"),
    JSON.stringify({ ociVersion: "1.0.2", process: { ...programOf(args), ...more } })
  )
  const target = { namespace: Namespace.make("ns"), containerId: ContainerId.make("box"), bundle }
  let enabled = true
  const driver = yield* HostDriver.make({ root: join(folder, "state"), enabled: () => enabled })
  yield* Effect.addFinalizer(() => Effect.ignore(driver.delete(target, { force: true })))
  const records = join(folder, "state/ns/box")
  return { driver, target, records, disable: () => void (enabled = false) }
})

const isGone = (pid: number) =>
  Effect.map(
    Effect.repeat(
      Effect.sync(() => !lives(pid)),
      { until: (gone) => gone, schedule: Schedule.spaced("5 millis"), times: 400 }
    ),
    (gone) => assert.isTrue(gone)
  )

const layer = Reaper.layer.pipe(Layer.provideMerge(Children.layer), Layer.provideMerge(Libc.layer))

describe("HostDriver", () => {
  it.live("ends what waits when it is deleted, also where nobody came to write it down", () =>
    Effect.gen(function* () {
      const { driver, records, target } = yield* host(["sleep", "1000"])
      const first = yield* driver.create(target, nothing)
      yield* driver.delete(target, { force: false })
      yield* isGone(first)
      const second = yield* driver.create(target, nothing)
      yield* Effect.sleep("50 millis")
      rmSync(join(records, "init.json"))
      yield* driver.delete(target, { force: true })
      yield* isGone(second)
      assert.isFalse(existsSync(records))
    }).pipe(Effect.provide(layer))
  )

  it.live("takes no other process for its own that has got the pid of one", () =>
    Effect.gen(function* () {
      const { driver, records, target } = yield* host(["sleep", "1000"])
      const stranger = yield* Effect.acquireRelease(
        Effect.sync(() => spawn("sleep", ["1000"], { detached: true, stdio: "ignore" })),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      const ours = yield* driver.create(target, nothing)
      const known = JSON.parse(readFileSync(join(records, "init.json"), "utf8"))
      yield* driver.start(target)
      for (const wrong of [{ startTime: "1" }, { startTime: known.startTime, bootId: "another" }]) {
        writeFileSync(join(records, "other.json"), JSON.stringify({ ...known, pid: stranger.pid, ...wrong }))
        assert.deepStrictEqual(yield* driver.pids(target), [ours])
      }
      yield* driver.delete(target, { force: true })
      assert.isTrue(lives(stranger.pid ?? 0))
      yield* isGone(ours)
    }).pipe(Effect.provide(layer))
  )

  it.live("counts what init started, in its session and out of it, and ends all of it with init", () =>
    Effect.gen(function* () {
      const { driver, target } = yield* host(["sh", "-c", "setsid sleep 1000 & sleep 1000"])
      const child = yield* (yield* ProcessReaper).claim(yield* driver.create(target, nothing))
      yield* driver.start(target)
      yield* driver.exec(target, ExecId.make("e"), programOf(["sleep", "1000"]), nothing)
      const isSleep = (pid: number) => Effect.map(Proc.argv(pid), (argv) => argv[0] === "sleep")
      const found = Effect.flatMap(driver.pids(target), (pids) =>
        Effect.map(Effect.filter(pids, isSleep), (sleeps) => ({ pids, sleeps }))
      )
      const { pids } = yield* Effect.repeat(found, {
        until: ({ sleeps }) => sleeps.length === 3,
        schedule: Schedule.spaced("10 millis"),
        times: 300
      })
      assert.strictEqual(pids.length, 4)
      yield* driver.pause(target)
      for (const pid of pids) assert.match(readFileSync(`/proc/${pid}/stat`, "utf8"), /\) T /)
      yield* driver.delete(target, { force: true })
      assert.strictEqual((yield* child.exit).exitStatus, 137)
      for (const pid of pids) yield* isGone(pid)
    }).pipe(Effect.provide(layer))
  )

  it.live("starts once, and only what it has made", () =>
    Effect.gen(function* () {
      const { driver, target } = yield* host(["sleep", "1000"])
      const wrong = (call: Effect.Effect<unknown, { readonly message: string }>) =>
        Effect.map(Effect.flip(call), ({ message }) => message)
      assert.match(yield* wrong(driver.start(target)), /does not exist/)
      assert.match(yield* wrong(driver.pids(target)), /does not exist/)
      yield* driver.create(target, nothing)
      yield* driver.start(target)
      assert.match(yield* wrong(driver.start(target)), /has been started/)
      assert.match(yield* wrong(driver.delete(target, { force: false })), /is running/)
    }).pipe(Effect.provide(layer))
  )

  it.live("starts nothing once it is disabled, and still ends what runs", () =>
    Effect.gen(function* () {
      const { disable, driver, target } = yield* host(["sleep", "1000"])
      const pid = yield* driver.create(target, nothing)
      yield* driver.start(target)
      disable()
      const refused = yield* Effect.flip(driver.exec(target, ExecId.make("e"), programOf(["true"]), nothing))
      assert.strictEqual(refused._tag, "Unavailable")
      yield* driver.delete(target, { force: true })
      yield* isGone(pid)
    }).pipe(Effect.provide(layer))
  )

  it.live("leaves no process where a limit or a score cannot be set", () =>
    Effect.gen(function* () {
      for (const more of [
        { rlimits: [{ type: "RLIMIT_NOSUCH", soft: 1, hard: 1 }] },
        { rlimits: [{ type: "RLIMIT_NOFILE", soft: 9, hard: 1 }] },
        { oomScoreAdj: 5000 }
      ]) {
        const { driver, records, target } = yield* host(["sleep", "1000"], more)
        assert.strictEqual((yield* Effect.flip(driver.create(target, nothing)))._tag, "InvalidArgument")
        assert.isFalse(existsSync(records))
      }
    }).pipe(Effect.provide(layer))
  )
})
