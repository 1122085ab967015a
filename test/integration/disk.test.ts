/** A daemon whose disk is full, read-only or damaged: every refusal has a type, what runs is not harmed, and all goes on when the cause is gone. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result, Stream } from "effect"
import { execFileSync } from "node:child_process"
import { mkdirSync, readFileSync, rmSync, statfsSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Berth, ContainerId, Containers, Events, Spec, Tasks } from "../../src/index.ts"
import type { BerthError } from "../../src/index.ts"
import { daemonOn, folders, shimsOf } from "../support/daemon.ts"
import { lives } from "../support/host.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"

const rootfs = rootfsOfFile()
const sh = (text: string) => ["/bin/sh", "-c", text]

const shims = (state: string) =>
  Effect.addFinalizer(() => Effect.sync(() => shimsOf(state).forEach((pid) => process.kill(pid, "SIGKILL"))))

/** A root folder on a file system of its own, of two megabytes. */
const smallRoot = Effect.acquireRelease(
  Effect.map(folders, (place) => {
    mkdirSync(place.root)
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", place.root])
    return place
  }),
  ({ root }) => Effect.sync(() => execFileSync("umount", ["-l", root]))
)

/** Takes every byte that is left. */
const fill = (root: string) => {
  const { bavail, bsize } = statfsSync(root)
  try {
    writeFileSync(join(root, "filler"), Buffer.alloc(bavail * bsize + 1))
  } catch {
    // That is the point.
  }
}
const free = (root: string) => rmSync(join(root, "filler"), { force: true })

const record = (name: string, args: ReadonlyArray<string>) =>
  Effect.flatMap(Containers, (containers) =>
    containers.create({
      id: ContainerId.make(name),
      spec: Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args }))
    })
  )
const running = Effect.fnUntraced(function* (name: string, args: ReadonlyArray<string>) {
  const tasks = yield* Tasks
  const { id } = yield* record(name, args)
  yield* tasks.create({ id, stdio: { stdin: false, log: { _tag: "none" } } })
  return yield* tasks.start(id)
})
const remove = Effect.fnUntraced(function* (id: ContainerId) {
  yield* (yield* Tasks).delete({ id, force: true })
  yield* (yield* Containers).delete(id)
})
/** Until the disk refuses: a few commits still find room in what the database has already. */
const untilRefused = Effect.fnUntraced(function* () {
  for (let n = 0; n < 500; n++) {
    const result = yield* Effect.result(record(`filler-${n}`, ["/bin/true"]))
    if (Result.isFailure(result)) return result.failure
  }
  return assert.fail("the disk took everything")
})
const tagOf = (error: BerthError) => error._tag

describe.skipIf(!canRunContainers)("a daemon whose disk", () => {
  it.live(
    "is full refuses with a type, loses no exit, and goes on when there is room",
    () =>
      Effect.gen(function* () {
        const place = yield* smallRoot
        yield* shims(place.state)
        const daemon = yield* daemonOn(place)
        yield* Effect.gen(function* () {
          const [containers, tasks] = [yield* Containers, yield* Tasks]
          const go = `go-${process.pid}`
          const ends = yield* running("ends", sh(`while [ ! -e /tmp/${go} ]; do sleep 0.05; done; exit 6`))
          const stays = yield* running("stays", ["/bin/sleep", "1000"])
          fill(place.root)
          assert.strictEqual(tagOf(yield* untilRefused()), "ResourceExhausted")
          assert.isTrue(lives(stays.pid ?? 0))
          // What needs no disk still answers.
          assert.strictEqual((yield* tasks.get(stays.id)).status, "running")
          const waiter = yield* Effect.forkChild(tasks.wait({ id: ends.id }))
          writeFileSync(join(rootfs, "tmp", go), "")
          yield* Effect.sleep("1500 millis")
          assert.isUndefined(waiter.pollUnsafe(), "an exit that is not stored was told")
          free(place.root)
          assert.strictEqual((yield* Fiber.join(waiter)).exitStatus, 6)
          yield* remove(ends.id)
          yield* remove(stays.id)
          for (const { id } of yield* containers.list({})) yield* containers.delete(id)
          const events = yield* Stream.runCollect((yield* Events).subscribe({ follow: false }))
          assert.deepStrictEqual(
            events.map(({ seq }) => Number(seq)),
            events.map((_, index) => index + 1)
          )
        }).pipe(Effect.provide(Berth.layerClient({ address: daemon.address })))
      }).pipe(Effect.scoped),
    60_000
  )

  it.live(
    "is read-only says so, and begins when it is writable",
    () =>
      Effect.gen(function* () {
        const place = yield* smallRoot
        yield* shims(place.state)
        execFileSync("mount", ["-o", "remount,ro", place.root])
        assert.match(String(yield* Effect.exit(Effect.scoped(daemonOn(place)))), /berth: .*(read-only|EROFS|readonly)/i)
        execFileSync("mount", ["-o", "remount,rw", place.root])
        const daemon = yield* daemonOn(place)
        yield* Effect.flatMap(running("stays", ["/bin/sleep", "1000"]), ({ id }) => remove(id)).pipe(
          Effect.provide(Berth.layerClient({ address: daemon.address }))
        )
      }).pipe(Effect.scoped),
    60_000
  )

  it.live(
    "has a damaged database says so, and takes the containers of the folder back when it is mended",
    () =>
      Effect.gen(function* () {
        const place = yield* folders
        yield* shims(place.state)
        const pid = yield* Effect.scoped(
          Effect.gen(function* () {
            const daemon = yield* daemonOn(place)
            return yield* Effect.map(running("stays", ["/bin/sleep", "1000"]), ({ pid }) => pid).pipe(
              Effect.provide(Berth.layerClient({ address: daemon.address }))
            )
          })
        )
        const file = join(place.root, "berth.db")
        const whole = readFileSync(file)
        truncateSync(file, 5000)
        const broken = yield* Effect.exit(Effect.scoped(daemonOn(place)))
        assert.match(String(broken), /berth\.db.*damaged.*restore it from a backup/)
        assert.isTrue(lives(pid ?? 0))
        for (const suffix of ["-wal", "-shm"]) rmSync(`${file}${suffix}`, { force: true })
        writeFileSync(file, whole)
        const daemon = yield* daemonOn(place)
        yield* Effect.gen(function* () {
          const task = yield* (yield* Tasks).get(ContainerId.make("stays"))
          assert.deepStrictEqual([task.status, task.pid], ["running", pid])
          yield* remove(task.id)
        }).pipe(Effect.provide(Berth.layerClient({ address: daemon.address })))
      }).pipe(Effect.scoped),
    60_000
  )
})
