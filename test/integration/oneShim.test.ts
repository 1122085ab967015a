/** One shim for a state folder, whatever becomes of its socket. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { execFile, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { ContainerId, Containers, Spec, System, Tasks } from "../../src/index.ts"
import { shimProtocol } from "../../src/rpc/ShimRpc.ts"
import { version } from "../../src/version.ts"
import { daemonOn, folders, life, shimsOf } from "../support/daemon.ts"
import { lives } from "../support/host.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"
import { eventually } from "../support/served.ts"

const rootfs = rootfsOfFile()
const entry = fileURLToPath(new URL("../../dist/shim.js", import.meta.url))
const other = fileURLToPath(new URL("../support/otherShim.ts", import.meta.url))
const options = { runtime: "runc" }
const heldCode = 75

const started = Effect.gen(function* () {
  const id = ContainerId.make(`one-${randomUUID().slice(0, 8)}`)
  const spec = Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args: ["/bin/sleep", "1000"] }))
  yield* (yield* Containers).create({ id, spec })
  yield* (yield* Tasks).create({ id })
  yield* (yield* Tasks).start(id)
  return id
})

/** Ended by its own parent: whoever took it over would have heard of that from the kernel at best. */
const endedByItsParent = Effect.fnUntraced(function* (id: ContainerId) {
  const tasks = yield* Tasks
  yield* tasks.signal({ id, signal: 9 })
  const { exitStatus, source } = yield* tasks.wait({ id })
  assert.deepStrictEqual([exitStatus, source], [137, "reaped"])
  yield* tasks.delete({ id })
})

/** A shim that nobody has asked for: what it says and with what it ends. */
const anotherShim = (state: string) =>
  Effect.callback<{ readonly code: unknown; readonly said: string }>((resume) => {
    const child = execFile(process.execPath, [entry, "--state", state], { timeout: 20_000 }, (error, _, said) =>
      resume(Effect.succeed({ code: error === null ? 0 : (error.code ?? error.signal), said }))
    )
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

describe.skipIf(!canRunContainers)("a shim that lives", () => {
  it.live(
    "is the only one: the next says so and ends",
    () =>
      Effect.gen(function* () {
        const place = yield* folders
        yield* life(
          place,
          () =>
            Effect.gen(function* () {
              const id = yield* started
              const [pid = 0] = shimsOf(place.state)
              const { code, said } = yield* anotherShim(place.state)
              assert.strictEqual(code, heldCode)
              assert.include(said, `another shim (pid ${pid}) serves this folder`)
              assert.deepStrictEqual(shimsOf(place.state), [pid])
              yield* endedByItsParent(id)
            }),
          options
        )
      }).pipe(Effect.scoped),
    60_000
  )

  it.live(
    "and whose socket somebody has removed listens anew when the next daemon comes",
    () =>
      Effect.gen(function* () {
        const place = yield* folders
        const id = yield* life(place, () => started, options)
        const before = shimsOf(place.state)
        assert.lengthOf(before, 1)
        rmSync(join(place.state, "shim.sock"))
        yield* life(
          place,
          () =>
            Effect.gen(function* () {
              const { shim } = yield* (yield* System).info
              assert.strictEqual(shim?.pid, before[0])
              yield* eventually("nobody else is there", () => shimsOf(place.state).length === 1)
              assert.deepStrictEqual(shimsOf(place.state), before)
              yield* endedByItsParent(id)
            }),
          options
        )
        assert.match(readFileSync(join(place.state, "shim.log"), "utf8"), /shim.sock was gone, listening on another/)
      }).pipe(Effect.scoped),
    60_000
  )

  it.live(
    "and stands still without its socket is named, with what to do",
    () =>
      Effect.gen(function* () {
        const place = yield* folders
        const id = yield* life(place, () => started, options)
        const [pid = 0] = shimsOf(place.state)
        rmSync(join(place.state, "shim.sock"))
        process.kill(pid, "SIGSTOP")
        const refused = yield* Effect.sandbox(Effect.scoped(daemonOn(place, options))).pipe(Effect.flip)
        assert.match(String(refused), new RegExp(`another shim \\(pid ${pid}\\).*does not listen[^]*kill -9 ${pid}`))
        assert.deepStrictEqual(shimsOf(place.state), [pid])
        process.kill(pid, "SIGCONT")
        yield* life(place, () => endedByItsParent(id), options)
      }).pipe(Effect.scoped),
    60_000
  )

  it.live(
    "and is of before there was a lock is found at its socket",
    () =>
      Effect.gen(function* () {
        const { state } = yield* folders
        mkdirSync(state, { mode: 0o700 })
        const file = join(state, "said.json")
        writeFileSync(file, JSON.stringify({ protocol: shimProtocol, version }))
        const pid = yield* Effect.acquireRelease(
          Effect.callback<number>((resume) => {
            const child = spawn(process.execPath, [other, state, file], { stdio: ["ignore", "pipe", "ignore"] })
            child.stdout.once("data", () => resume(Effect.succeed(child.pid ?? 0)))
          }),
          (pid) => Effect.sync(() => void (lives(pid) && process.kill(pid, "SIGKILL")))
        )
        assert.isFalse(existsSync(join(state, "shim.lock")))
        const { code, said } = yield* anotherShim(state)
        assert.strictEqual(code, heldCode)
        assert.include(said, "another shim serves this folder")
        assert.isTrue(lives(pid))
      }).pipe(Effect.scoped),
    60_000
  )
})
