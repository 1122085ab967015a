/**
 * What a crash leaves is found, told and removed, at the start of a daemon and by the doctor; what lives, what another daemon has and what anybody else has
 * made beside it stays as it is.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { execFileSync, spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ContainerId, Containers, CurrentNamespace, Namespace, Spec, Tasks } from "../../src/index.ts"
import { cgroupPrefix } from "../../src/layers/DaemonOptions.ts"
import { Orphan } from "../../src/schema/Orphan.ts"
import * as OciJson from "../../src/schema/OciJson.ts"
import { run } from "../cli/support/Command.ts"
import { folders, life, shimsOf } from "../support/daemon.ts"
import { cgroupsOf, lives } from "../support/host.ts"
import { bundleSpec, canRunContainers, installed, rootfsOfFile } from "../support/rootfs.ts"
import { eventually } from "../support/served.ts"

const rootfs = rootfsOfFile()
type Place = Effect.Success<typeof folders>

const Report = Schema.fromJsonString(Schema.Struct({ orphans: Schema.Array(Orphan) }))

/** What the doctor tells: kind, fate and where, sorted. */
const doctor = Effect.fnUntraced(function* (place: Place, ...args: ReadonlyArray<string>) {
  const { stdout } = yield* run(["doctor", "--json", "--root", place.root, "--state", place.state, ...args], {
    address: `unix://${join(place.folder, "berth.sock")}`
  })
  const { orphans } = yield* Schema.decodeEffect(Report)(stdout)
  return orphans
})
const summary = (orphans: ReadonlyArray<Orphan>) =>
  Array.from(new Set(orphans.map(({ fate, kind, owner }) => `${kind} ${owner?.containerId ?? "-"} ${fate}`))).toSorted()

const started = Effect.fnUntraced(function* (name: string) {
  const id = ContainerId.make(`${name}-${randomUUID().slice(0, 8)}`)
  const spec = Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args: ["/bin/sleep", "1000"] }))
  yield* (yield* Containers).create({ id, spec })
  yield* (yield* Tasks).create({ id })
  const { pid } = yield* (yield* Tasks).start(id)
  return { id, pid: pid ?? 0 }
})
const inNamespace = (name: string) => Effect.provideService(CurrentNamespace, Namespace.make(name))

const controller = existsSync("/sys/fs/cgroup/cgroup.controllers") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids"

/** Somebody's, removed with the scope. */
const group = (name: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      mkdirSync(join(controller, name))
      return join(controller, name)
    }),
    (path) => Effect.sync(() => existsSync(path) && rmdirSync(path))
  )

const mounted = (path: string) => readFileSync("/proc/self/mountinfo", "utf8").includes(` ${path} `)

const mount = (type: string, path: string) => execFileSync("mount", ["-t", type, type, path])

/** A socket that nobody listens on any more. */
const deadSocket = (path: string): void => {
  // It is killed, so that it cannot take its socket away.
  const listening = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`
  spawnSync(process.execPath, ["-e", listening], { stdio: "ignore" })
}

/** Runs in the runtime's folder of a berth that knows nothing of it. */
const strangerIn = (folder: string, runtime: string, root: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const bundle = join(folder, "stranger")
      mkdirSync(bundle)
      writeFileSync(join(bundle, "config.json"), OciJson.stringify(bundleSpec(rootfs, ["/bin/sleep", "1000"], "x")))
      const pidFile = join(bundle, "pid")
      const args = ["--root", root, "run", "--detach", "--bundle", bundle, "--pid-file", pidFile, "stranger"]
      execFileSync(runtime, args, { stdio: "ignore" })
      return Number(readFileSync(pidFile, "utf8"))
    }),
    () => Effect.sync(() => spawnSync(runtime, ["--root", root, "delete", "--force", "stranger"], { stdio: "ignore" }))
  )

/** Everything that a daemon could have left of containers that nobody knows. */
const litter = Effect.fnUntraced(function* ({ folder, root, state }: Place, runtime: string) {
  const prefix = cgroupPrefix(state)
  // A container that a runtime has made and not started, of which nothing else is there.
  const bundle = join(folder, "ghost")
  mkdirSync(bundle)
  const spec = bundleSpec(rootfs, ["/bin/sleep", "1000"], "x")
  const cgroupsPath = `/${prefix}--default--ghost`
  writeFileSync(join(bundle, "config.json"), OciJson.stringify({ ...spec, linux: { ...spec.linux, cgroupsPath } }))
  const runtimeRoot = join(state, "runtime", runtime, "default")
  mkdirSync(runtimeRoot, { recursive: true })
  execFileSync(runtime, ["--root", runtimeRoot, "create", "--bundle", bundle, "ghost"], { stdio: "ignore" })
  // Words that no runtime can read, and none at all.
  for (const id of ["garbled", "empty"]) mkdirSync(join(runtimeRoot, id))
  for (const name of ["state.json", "status"]) writeFileSync(join(runtimeRoot, "garbled", name), "{")
  // A folder that was being made, with a mount, a FIFO and a file in it.
  const half = join(state, "tasks/default/half")
  for (const name of ["rootfs", "overlay/upper", "overlay/work"]) mkdirSync(join(half, name), { recursive: true })
  writeFileSync(join(half, "config.json"), "{}")
  execFileSync("mkfifo", [join(half, "stdout")])
  mount("tmpfs", join(half, "rootfs"))
  mkdirSync(join(controller, `${prefix}--default--gone`))
  mkdirSync(join(root, "logs/default/lost"), { recursive: true })
  writeFileSync(join(root, "logs/default/lost/init.log"), "words\n")
  const ghosts = () => cgroupsOf(`${prefix}--default--ghost`)
  return {
    isClear: () =>
      ghosts().length === 0 &&
      ["ghost", "garbled", "empty"].every((id) => !existsSync(join(runtimeRoot, id))) &&
      !existsSync(half) &&
      !mounted(join(half, "rootfs")) &&
      !existsSync(join(controller, `${prefix}--default--gone`)),
    isThere: () => ghosts().length > 0 && existsSync(half) && mounted(join(half, "rootfs")),
    log: join(root, "logs/default/lost/init.log")
  }
})

/** What looks like berth's and is not; returns whether it is all there. */
const decoys = Effect.fnUntraced(function* ({ state }: Place) {
  const prefix = cgroupPrefix(state)
  const groups = yield* Effect.forEach(
    [
      `${prefix}--default`,
      `${prefix}--default--a--b`,
      `${prefix}x--default--gone`,
      `x${prefix}--default--gone`,
      prefix
    ],
    group
  )
  const files = ["mine/file", "tasks/mine/-not-an-id-/file", "tasks/file", "runtime/runc/default/-x-/state.json"]
  for (const file of files) {
    mkdirSync(join(state, file, ".."), { recursive: true })
    writeFileSync(join(state, file), "mine\n")
  }
  const theirs = join(state, "mine/mount")
  mkdirSync(theirs)
  mount("tmpfs", theirs)
  return () =>
    mounted(theirs) && groups.every((path) => existsSync(path)) && files.every((file) => existsSync(join(state, file)))
})

it.live("the doctor makes nothing where there was no berth", () =>
  Effect.gen(function* () {
    const place = yield* folders
    assert.deepStrictEqual(yield* doctor(place), [])
    assert.deepStrictEqual(yield* doctor(place, "--repair"), [])
    assert.isFalse(existsSync(place.root) || existsSync(place.state))
  })
)

for (const runtime of ["runc", "crun"]) {
  describe.skipIf(!canRunContainers || installed(runtime) === null)(`what a crash left, on ${runtime}`, () => {
    it.live(
      "is removed when a daemon starts, and nothing else is",
      () =>
        Effect.gen(function* () {
          const [place, neighbour] = [yield* folders, yield* folders]
          const far = yield* life(neighbour, () => started("far"), { runtime })
          const own = yield* life(place, () => Effect.all([started("own"), inNamespace("other")(started("own"))]), {
            runtime
          })
          const there = yield* decoys(place)
          const { isClear, isThere, log } = yield* litter(place, runtime)
          assert.isTrue(isThere())
          const farGroups = cgroupsOf(far.id)
          yield* life(
            place,
            (daemon) =>
              Effect.gen(function* () {
                yield* eventually("all is clear", isClear)
                assert.isTrue(existsSync(log))
                for (const kind of ["runtime", "folder", "cgroup"]) {
                  assert.match(daemon.log(), new RegExp(`removed what nobody has: ${kind} `))
                }
                assert.deepStrictEqual(summary(yield* doctor(place)), ["log lost found"])
                assert.isTrue(existsSync(log))
                assert.deepStrictEqual(summary(yield* doctor(place, "--repair")), ["log lost removed"])
                assert.isFalse(existsSync(log))
                assert.deepStrictEqual(yield* doctor(place), [])
                assert.isTrue(there() && lives(far.pid))
                assert.deepStrictEqual(cgroupsOf(far.id), farGroups)
                assert.deepStrictEqual(
                  own.map(({ pid }) => lives(pid)),
                  [true, true]
                )
                const tasks = yield* Tasks
                assert.strictEqual((yield* tasks.get(own[0].id)).status, "running")
                yield* tasks.delete({ id: own[0].id, force: true })
                yield* inNamespace("other")(tasks.delete({ id: own[1].id, force: true }))
              }),
            { runtime }
          )
        }).pipe(Effect.scoped),
      60_000
    )

    it.live(
      "is listed and removed by the doctor without a daemon",
      () =>
        Effect.gen(function* () {
          const place = yield* folders
          const [own] = yield* life(place, () => Effect.all([started("own")]), { runtime })
          const there = yield* decoys(place)
          const { isClear, isThere, log } = yield* litter(place, runtime)
          deadSocket(join(place.state, "berth.sock"))
          const kinds = [
            "cgroup ghost",
            "cgroup gone",
            "folder half",
            "log lost",
            "mount half",
            "runtime empty",
            "runtime garbled",
            "runtime ghost",
            "socket -"
          ]
          assert.deepStrictEqual(
            summary(yield* doctor(place)),
            kinds.map((kind) => `${kind} found`)
          )
          assert.isTrue(isThere() && existsSync(log))
          assert.deepStrictEqual(
            summary(yield* doctor(place, "--repair")),
            kinds.map((kind) => `${kind} removed`)
          )
          assert.isTrue(isClear() && there() && lives(own.pid) && !existsSync(log))
          assert.deepStrictEqual(yield* doctor(place), [])
          yield* life(place, () => Effect.flatMap(Tasks, (tasks) => tasks.delete({ id: own.id, force: true })))
        }).pipe(Effect.scoped),
      60_000
    )

    it.live(
      "harms no other task where it is a record that cannot be read",
      () =>
        Effect.gen(function* () {
          const place = yield* folders
          const [good, bad] = yield* life(place, () => Effect.all([started("good"), started("bad")]), { runtime })
          for (const pid of shimsOf(place.state)) process.kill(pid, "SIGKILL")
          writeFileSync(join(place.state, "tasks/default", bad.id, "init.json"), '{"ref":')
          yield* life(
            place,
            (daemon) =>
              Effect.gen(function* () {
                const tasks = yield* Tasks
                yield* eventually("it is in the log", () => daemon.log().includes(`left alone: record ${place.state}`))
                assert.strictEqual((yield* tasks.get(good.id)).status, "running")
                assert.include(yield* tasks.pids(good.id), good.pid)
                const again = yield* started("again")
                assert.deepStrictEqual(summary(yield* doctor(place)), [`record ${bad.id} kept`])
                assert.deepStrictEqual(summary(yield* doctor(place, "--repair")), [`record ${bad.id} kept`])
                assert.isTrue(lives(bad.pid))
                yield* tasks.delete({ id: bad.id, force: true })
                assert.isFalse(lives(bad.pid))
                assert.deepStrictEqual(summary(yield* doctor(place)), [])
                yield* tasks.create({ id: bad.id })
                for (const { id } of [good, again, bad]) yield* tasks.delete({ id, force: true })
              }),
            { runtime }
          )
        }).pipe(Effect.scoped),
      60_000
    )

    it.live(
      "is left alone where it runs and its record is gone, until somebody deletes it",
      () =>
        Effect.gen(function* () {
          const place = yield* folders
          const [own, other] = yield* life(place, () => Effect.all([started("own"), started("other")]), { runtime })
          yield* life(
            place,
            (daemon) =>
              Effect.gen(function* () {
                const tasks = yield* Tasks
                const runtimeRoot = join(place.state, "runtime", runtime, "default")
                const stranger = yield* strangerIn(place.folder, runtime, runtimeRoot)
                for (const { id } of [own, other]) rmSync(join(place.state, "tasks/default", id, "init.json"))
                for (const pid of shimsOf(place.state)) process.kill(pid, "SIGKILL")
                const told = `left alone: default/${own.id} runs, and its record is gone`
                const shimLog = () => readFileSync(join(place.state, "shim.log"), "utf8")
                yield* eventually("the next shim says so", () => shimLog().includes(told))
                assert.deepStrictEqual(summary(yield* doctor(place, "--repair")), ["runtime stranger kept"])
                assert.isTrue([own.pid, other.pid, stranger].every(lives), daemon.log())
                execFileSync(runtime, ["--root", runtimeRoot, "delete", "--force", "stranger"])
                for (const { id } of [own, other]) yield* tasks.delete({ id, force: true })
                assert.isFalse(lives(own.pid) || lives(other.pid))
                assert.deepStrictEqual(yield* doctor(place), [])
              }),
            { runtime }
          )
        }).pipe(Effect.scoped),
      60_000
    )

    it.live(
      "of a test that fails goes with the folders of the test",
      () =>
        Effect.gen(function* () {
          const [made, groups] = yield* Effect.scoped(
            Effect.gen(function* () {
              const place = yield* folders
              const made = yield* life(place, () => started("left"), { runtime })
              yield* litter(place, runtime)
              return [made, () => cgroupsOf(cgroupPrefix(place.state))] as const
            })
          )
          yield* eventually("its process has ended", () => !lives(made.pid))
          assert.deepStrictEqual(groups(), [])
        }),
      60_000
    )
  })
}
