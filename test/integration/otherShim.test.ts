/** A daemon whose shim is of another version: it takes it over with all that it holds, says what it cannot do, and has one of its own when that one has nothing to do. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Stream } from "effect"
import { spawn } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Berth, ContainerId, Containers, Spec, System, Tasks } from "../../src/index.ts"
import { shimProtocol } from "../../src/rpc/ShimRpc.ts"
import { version } from "../../src/version.ts"
import { daemonOn, folders, shimsOf } from "../support/daemon.ts"
import { lives } from "../support/host.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"
import { eventually } from "../support/served.ts"

const rootfs = rootfsOfFile()
const program = fileURLToPath(new URL("../support/otherShim.ts", import.meta.url))

const say = (state: string, said: object) => writeFileSync(join(state, "said.json"), JSON.stringify(said))

/** A shim that says of itself what it was last told to; killed with the scope where it still lives. */
const shim = (state: string, said: object) =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      mkdirSync(state, { recursive: true, mode: 0o700 })
      say(state, said)
      const child = spawn(process.execPath, [program, state, join(state, "said.json")], {
        stdio: ["ignore", "pipe", "pipe"]
      })
      let text = ""
      child.stderr.on("data", (bytes) => (text += bytes))
      child.stdout.once("data", () => resume(Effect.succeed(child.pid ?? 0)))
      child.once("exit", () => resume(Effect.die(`the shim ended: ${text}`)))
    }),
    (pid) => Effect.sync(() => void (lives(pid) && process.kill(pid, "SIGKILL")))
  )

const place = Effect.gen(function* () {
  const where = yield* folders
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const pid of shimsOf(where.state)) process.kill(pid, "SIGKILL")
    })
  )
  return where
})

const spec = (text: string) => Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args: ["/bin/sh", "-c", text] }))

const output = (id: ContainerId) =>
  Effect.flatMap(Tasks, (tasks) =>
    Stream.runFold(
      tasks.output({ id }),
      () => "",
      (all, { bytes }) => all + new TextDecoder().decode(bytes)
    )
  )

/** Containers that the shim holds are made by a daemon that has gone since. */
const made = Effect.gen(function* () {
  const ids = ["ends", "stays"].map((name) => ContainerId.make(`other-${name}-${process.pid}`))
  const tasks = yield* Tasks
  const containers = yield* Containers
  for (const [index, id] of ids.entries()) {
    yield* containers.create({
      id,
      spec: spec(index === 0 ? "echo before; sleep 2; echo after; exit 7" : "sleep 1000 & wait")
    })
    yield* tasks.create({ id })
    yield* tasks.start(id)
  }
  return ids
})

const cases = [
  { name: "older", said: { protocol: 1, version: "0.0.9" }, pidSignal: "Unavailable" },
  { name: "newer", said: { protocol: 9, oldest: 2, version: "9.0.0" }, pidSignal: null }
]

describe.skipIf(!canRunContainers)("a shim of another version", () => {
  for (const { name, pidSignal, said } of cases) {
    it.live(
      `${name}: is taken over with its containers, and goes when it has none`,
      () =>
        Effect.gen(function* () {
          const where = yield* place
          const pid = yield* shim(where.state, { protocol: shimProtocol, version })
          const asked = <A, E>(effect: Effect.Effect<A, E, Containers | Tasks | System>, address: string) =>
            Effect.provide(effect, Berth.layerClient({ address }))
          // Its own daemon, which has made them and gone.
          const [ends, stays] = yield* Effect.scoped(
            Effect.gen(function* () {
              const { address } = yield* daemonOn(where, { runtime: "runc" })
              return yield* asked(made, address)
            })
          )
          if (ends === undefined || stays === undefined) return assert.fail("no containers")
          assert.isTrue(lives(pid))
          say(where.state, said)
          const { address } = yield* daemonOn(where, { runtime: "runc" })
          yield* asked(
            Effect.gen(function* () {
              const tasks = yield* Tasks
              const containers = yield* Containers
              const system = yield* System
              assert.deepStrictEqual((yield* system.info).shim, { version: said.version, protocol: said.protocol, pid })
              const { exitStatus, source } = yield* tasks.wait({ id: ends })
              assert.deepStrictEqual([exitStatus, source], [7, "reaped"])
              assert.strictEqual(yield* output(ends), "before\nafter\n")
              for (const call of [Effect.asVoid(tasks.stats(stays)), Effect.asVoid(tasks.processTable(stays))]) {
                const refused = yield* Effect.flip(call)
                assert.deepInclude(refused, { _tag: "Unavailable", what: "shim" })
                assert.include(refused.message, said.version)
              }
              // Nothing is lost by that: the same shim goes on.
              const [, child = 0] = yield* tasks.pids(stays)
              assert.isTrue(lives(pid))
              const signal = yield* Effect.result(tasks.signal({ id: stays, signal: 18, pid: child }))
              assert.strictEqual(Result.isFailure(signal) ? signal.failure._tag : null, pidSignal)
              yield* tasks.signal({ id: stays, signal: 9 })
              assert.strictEqual((yield* tasks.wait({ id: stays })).exitStatus, 137)
              for (const id of [ends, stays]) {
                yield* tasks.delete({ id })
                yield* containers.delete(id)
              }
              yield* eventually("the other shim has gone", () => !lives(pid))
              const exit = yield* tasks.run(spec("exit 3"))
              assert.deepStrictEqual([exit.exitStatus, exit.source], [3, "reaped"])
              assert.strictEqual((yield* system.info).shim?.version, version)
            }),
            address
          )
        }),
      60_000
    )
  }

  it.live(
    "one that is too new, or too old, is refused with what to do",
    () =>
      Effect.gen(function* () {
        const where = yield* place
        yield* shim(where.state, { protocol: 9, oldest: 9, version: "9.0.0" })
        const refused = yield* Effect.sandbox(Effect.scoped(daemonOn(where, { runtime: "runc" }))).pipe(Effect.flip)
        assert.include(String(refused), "it speaks protocol 9")
      }),
    60_000
  )
})
