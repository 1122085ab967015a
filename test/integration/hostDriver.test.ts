/** Plain processes of the host, through a daemon: as another user, over the death of a shim, with a terminal; and what a daemon says that has no runtime. */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schedule, Stream } from "effect"
import type { Scope } from "effect"
import { execFile, execFileSync } from "node:child_process"
import { chownSync, existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import type { BerthError, ContainerId, Containers, Events, System, Tasks as TasksService } from "../../src/index.ts"
import { Berth, ExecId, ProcessSpec, RuntimeName, Containers as ContainersOf, Spec, Tasks } from "../../src/index.ts"
import type { SpecOptions } from "../../src/spec/SpecOptions.ts"
import { created, freshId, running } from "../support/container.ts"
import { berth, daemon, daemonOn, folders, shimsOf } from "../support/daemon.ts"
import type { Daemon } from "../support/daemon.ts"
import { lives, processesWith } from "../support/host.ts"
import { leftOut } from "../support/leftOut.ts"

const nobody = 65_534
const enabled = { runtime: "host", args: ["--enable-host-driver"] } as const

type Services = Containers | TasksService | Events | System

const at = <A, E>(place: Daemon, body: Effect.Effect<A, E, Services | Scope.Scope>) =>
  Effect.scoped(body).pipe(
    Effect.provide(Berth.layerClient({ address: place.address }).pipe(Layer.provide(NodeServices.layer), Layer.orDie))
  )

const text = (id: ContainerId, execId: ExecId | null = null) =>
  Effect.flatMap(Tasks, (tasks) =>
    Stream.runFold(
      tasks.output({ id, execId, follow: true }),
      () => "",
      (all, { bytes }) => all + new TextDecoder().decode(bytes)
    )
  )

const eventually = <E, R>(what: string, ready: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(ready, { until: (done) => done, schedule: Schedule.spaced("20 millis"), times: 500 }).pipe(
    Effect.tap((done) => Effect.sync(() => assert.isTrue(done, what)))
  )

const beside = Effect.fnUntraced(function* (id: ContainerId, args: ReadonlyArray<string>) {
  const tasks = yield* Tasks
  const { spec } = yield* (yield* ContainersOf).get(id)
  const execId = ExecId.make("beside")
  const process = yield* Effect.fromResult(ProcessSpec.makeProcess(spec, { args }))
  yield* tasks.exec({ id, execId, process })
  yield* tasks.startExec({ id, execId })
  return execId
})

/** How a daemon ends that cannot begin. */
const ends = (args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: unknown; readonly err: string }>((resume) => {
    const child = execFile(berth, ["daemon", ...args], { timeout: 20_000 }, (error, _, err) =>
      resume(Effect.succeed({ code: error === null ? 0 : (error.code ?? error.signal), err }))
    )
    return Effect.sync(() => void child.kill("SIGTERM"))
  })

/** Before a daemon is started, so that it has been stopped by then. */
const shimEnds = (state: string) =>
  Effect.addFinalizer(() =>
    Effect.ignore(
      eventually(
        "the shim ends",
        Effect.sync(() => shimsOf(state).length === 0)
      )
    )
  )

/** Why no daemon of another user can be started here; null where one can. */
const whyNoOther = ((): string | null => {
  if (process.getuid?.() !== 0) return "this is not root"
  try {
    execFileSync(berth, ["version"], { uid: nobody, gid: nobody, cwd: "/", stdio: "ignore" })
    return null
  } catch {
    return `user ${nobody} may not read ${dirname(berth)}`
  }
})()
if (whyNoOther !== null) leftOut("a daemon of a user without rights", whyNoOther)

/** A test at a daemon of its own that allows them. */
const onDaemon = (name: string, body: (place: Daemon) => Parameters<typeof at>[1]) =>
  it.live(name, () => Effect.flatMap(daemon(enabled), (place) => at(place, body(place))), 60_000)

describe("plain processes of the host", () => {
  it.live.skipIf(whyNoOther !== null)(
    "need no root: a daemon of nobody runs, execs, pauses, waits and deletes",
    () =>
      Effect.gen(function* () {
        const place = yield* folders
        chownSync(place.folder, nobody, nobody)
        yield* shimEnds(place.state)
        const { address, log, state } = yield* daemonOn(place, {
          ...enabled,
          user: nobody,
          env: { HOME: place.folder }
        })
        assert.include(log(), "isolates nothing")
        yield* at(
          { ...place, address, log, pid: 0 },
          Effect.gen(function* () {
            const tasks = yield* Tasks
            const id = yield* running("/", ["/bin/sh", "-c", "id -u; sleep 1000 & wait"])
            const execId = yield* beside(id, ["/usr/bin/id", "-g"])
            assert.strictEqual((yield* tasks.wait({ id, execId })).exitStatus, 0)
            assert.strictEqual(yield* text(id, execId), `${nobody}\n`)
            yield* eventually(
              "both processes",
              Effect.map(tasks.pids(id), (pids) => pids.length === 2)
            )
            const pids = yield* tasks.pids(id)
            yield* tasks.pause(id)
            for (const pid of pids) assert.match(readFileSync(`/proc/${pid}/status`, "utf8"), /^State:\s+T/m)
            yield* tasks.resume(id)
            const { exit } = yield* tasks.stop({ id })
            assert.deepStrictEqual([exit.exitStatus, exit.source], [143, "reaped"])
            assert.strictEqual(yield* text(id), `${nobody}\n`)
            yield* tasks.delete({ id })
            assert.deepStrictEqual(pids.filter(lives), [])
            assert.deepStrictEqual(readdirSync(join(state, "runtime/host/default")), [])
            const other = yield* container({ user: "7:7" })
            assert.deepInclude(yield* Effect.flip(tasks.create({ id: other })), { _tag: "Unsupported", driver: "host" })
          })
        )
      }),
    60_000
  )

  onDaemon("outlive their shim: the next one starts what waits, ends what runs and knows how it ended", (place) =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const waits = yield* created("/", ["/bin/sh", "-c", "exit 6"])
      const runs = yield* running("/", ["/bin/sleep", "1000"])
      const { pid } = yield* tasks.get(runs)
      const [shim = 0] = shimsOf(place.state)
      process.kill(shim, "SIGKILL")
      yield* eventually(
        "another shim",
        Effect.sync(() => shimsOf(place.state).some((other) => other !== shim))
      )
      assert.isTrue(lives(pid ?? 0))
      yield* Effect.retry(tasks.start(waits), { schedule: Schedule.spaced("50 millis"), times: 100 })
      assert.strictEqual((yield* tasks.wait({ id: waits })).id, waits)
      assert.deepStrictEqual(yield* tasks.pids(runs), [pid ?? 0])
      yield* tasks.pause(runs)
      yield* tasks.resume(runs)
      yield* tasks.delete({ id: runs, force: true })
      assert.isFalse(lives(pid ?? 0))
    })
  )

  onDaemon("have terminals, limits and other users, and leave nothing where they cannot be made", (place) =>
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const typed = yield* container({
        args: ["/bin/sh", "-c", "stty size; read a; echo got $a; exit 7"],
        terminal: true
      })
      const stdio = { stdin: true, log: { _tag: "json" } } as const
      yield* tasks.create({ id: typed, stdio, size: { width: 91, height: 31 } })
      yield* tasks.start(typed)
      yield* tasks.writeStdin({ id: typed, bytes: new TextEncoder().encode("words\r") })
      assert.strictEqual((yield* tasks.wait({ id: typed })).exitStatus, 7)
      // What is typed comes back at once, which may be before the first answer.
      assert.match(yield* text(typed), /^(?:words\r\n)?31 91\r\n(?:words\r\n)?.*got words\r\n$/s)

      const limited = yield* container({
        args: ["/bin/sh", "-c", "ulimit -n"],
        ulimits: [{ name: "nofile", soft: 77, hard: 88 }]
      })
      yield* tasks.create({ id: limited })
      yield* tasks.start(limited)
      yield* tasks.wait({ id: limited })
      assert.strictEqual(yield* text(limited), "77\n")

      const mark = `berth-mark-${process.pid}`
      const wrong: ReadonlyArray<readonly [Partial<SpecOptions>, BerthError["_tag"]]> = [
        [{ memory: 64 * 1024 * 1024 }, "Unsupported"],
        [{ rootfs: { path: "/tmp" } }, "Unsupported"],
        [{ cwd: "/no/such/folder" }, "RuntimeFailed"],
        [{ args: ["/etc/passwd", mark] }, "RuntimeFailed"]
      ]
      for (const [options, tag] of wrong) {
        const id = yield* container({ args: ["/bin/sleep", mark], ...options })
        assert.strictEqual((yield* Effect.flip(tasks.create({ id })))._tag, tag)
        assert.strictEqual((yield* Effect.flip(tasks.get(id)))._tag, "NotFound")
      }
      assert.deepStrictEqual(processesWith(mark), [])
      // Those three ended by themselves, the others never were.
      assert.deepStrictEqual(readdirSync(join(place.state, "runtime/host/default")), [])
    })
  )

  it.live(
    "are not made by a daemon that was not told to",
    () =>
      Effect.gen(function* () {
        const place = yield* daemon()
        yield* at(
          place,
          Effect.gen(function* () {
            const tasks = yield* Tasks
            const id = yield* container({ args: ["/bin/true"] }, "host")
            const refused = yield* Effect.flip(tasks.create({ id }))
            assert.deepInclude(refused, { _tag: "Unavailable", mend: "berth daemon --enable-host-driver" })
          })
        )
      }),
    60_000
  )
})

describe("a daemon", () => {
  it.live(
    "does not begin with a runtime or folder that cannot be, and says what can",
    () =>
      Effect.gen(function* () {
        const { root, state } = yield* folders
        const usual = ["--root", root, "--state", state]
        for (const [args, said] of [
          [
            [...usual, "--runtime", "nosuch"],
            /runtime "nosuch": no runtime has this name \(--runtime auto, or one of crun/
          ],
          [[...usual, "--runtime", "host"], /isolates nothing, so it needs --enable-host-driver/],
          [["--root", "/proc/x", "--state", state], /root: cannot make the folder "\/proc\/x"/],
          [["--root", root, "--state", "/proc/x"], /state: cannot make the folder "\/proc\/x"/]
        ] as const) {
          const { code, err } = yield* ends(args)
          assert.oneOf(code, [1, 125])
          assert.match(err, said)
          assert.isFalse(existsSync(join(state, "berth.sock")))
        }
        assert.deepStrictEqual(shimsOf(state), [])
      }),
    60_000
  )

  it.live.skipIf(whyNoOther !== null)(
    "without root says that no runtime works, and what does",
    () =>
      Effect.gen(function* () {
        const place = yield* folders
        chownSync(place.folder, nobody, nobody)
        yield* shimEnds(place.state)
        const { log } = yield* daemonOn(place, { user: nobody, env: { HOME: place.folder } })
        assert.match(log(), /no container can be run by default: .* needs root .*--enable-host-driver --runtime host/)
      }),
    60_000
  )
})

const container = Effect.fnUntraced(function* (options: Partial<SpecOptions>, runtime?: string) {
  const containers = yield* ContainersOf
  const tasks = yield* Tasks
  const id = yield* freshId
  const spec = yield* Effect.fromResult(Spec.make({ args: ["/bin/true"], rootfs: { path: "/" }, ...options }))
  const named = runtime === undefined ? {} : { runtime: { name: RuntimeName.make(runtime) } }
  yield* Effect.acquireRelease(containers.create({ id, spec, ...named }), () =>
    Effect.ignore(Effect.andThen(Effect.ignore(tasks.delete({ id, force: true })), containers.delete(id)))
  )
  return id
})
