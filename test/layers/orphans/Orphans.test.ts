import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger, Stream } from "effect"
import { closeSync, existsSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import * as FileTaskDirectory from "../../../src/layers/FileTaskDirectory.ts"
import * as DeadSocket from "../../../src/layers/orphans/DeadSocket.ts"
import { Orphans } from "../../../src/layers/orphans/Orphans.ts"
import { ContainerTurns } from "../../../src/layers/orphans/TakingTurns.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import { probe } from "../../../src/layers/server/Listen.ts"
import * as ShimLock from "../../../src/layers/shim/ShimLock.ts"
import * as MemoryStore from "../../../src/services/MemoryStore.ts"
import { OciRuntime } from "../../../src/services/OciRuntime.ts"
import { ProcessHost } from "../../../src/services/ProcessHost.ts"
import { makeTurns } from "../../../src/services/Turns.ts"
import { temporaryFolder } from "../../support/folder.ts"

const unused = () => Effect.die("unused")

/** A socket whose process was killed. */
const deadSocket = Effect.fnUntraced(function* (path: string) {
  closeSync(yield* (yield* Libc).listenUnix(path))
  assert.strictEqual(yield* probe(path), "dead")
})

/** A host that starts the next shim when it is watched: that one takes the place of a dead socket. */
const startingAt = (path: string) =>
  ProcessHost.of({
    create: unused,
    start: unused,
    exec: unused,
    signal: unused,
    pause: unused,
    resume: unused,
    update: unused,
    delete: unused,
    deleteExec: unused,
    pids: unused,
    processTable: unused,
    stats: unused,
    statsOf: unused,
    writeStdin: unused,
    closeStdin: unused,
    resize: unused,
    watch: Stream.unwrap(
      Effect.callback((resume) => {
        rmSync(path)
        const server = createServer().listen(path, () =>
          resume(Effect.succeed(Stream.succeed({ _tag: "Snapshot" as const, records: [] })))
        )
        server.unref()
      })
    )
  })

it.live("a repair while the shim is replaced leaves the socket of the next one alone", () =>
  Effect.gen(function* () {
    const state = yield* temporaryFolder
    const path = ShimLock.socketOf(state)
    yield* deadSocket(path)
    yield* deadSocket(join(state, "berth.sock"))
    const place = { root: state, state, cgroupPrefix: "berth-test-none", cgroupRoot: join(state, "none") }
    const services = Layer.mergeAll(
      Layer.succeed(ProcessHost, startingAt(path)),
      Layer.succeed(OciRuntime, OciRuntime.of({ driver: unused, list: Effect.succeed([]) })),
      MemoryStore.layer,
      FileTaskDirectory.layer({ state }),
      Layer.succeed(ContainerTurns, makeTurns())
    )
    const built = yield* Layer.build(Layer.provide(Orphans.layer(place), services))
    const { clean } = yield* Effect.provideContext(Orphans, built)
    const told = yield* clean("repair")
    assert.deepStrictEqual(
      told.map((orphan) => `${orphan.path.slice(state.length)} ${orphan.fate}`),
      ["/berth.sock removed"]
    )
    assert.strictEqual(yield* probe(path), "alive")
    assert.isFalse(existsSync(join(state, "berth.sock")))
  }).pipe(Effect.scoped, Effect.provide([Libc.layer, Logger.layer([])]))
)

it.live("the socket of a shim that lives and is about to listen is not removed", () =>
  Effect.gen(function* () {
    const state = yield* temporaryFolder
    const path = ShimLock.socketOf(state)
    yield* deadSocket(path)
    yield* Effect.scoped(
      Effect.gen(function* () {
        yield* ShimLock.hold(state)
        assert.isFalse(yield* DeadSocket.remove({ path, state }))
        assert.isTrue(existsSync(path))
      })
    )
    assert.isTrue(yield* DeadSocket.remove({ path, state }))
    assert.isFalse(existsSync(path))
    assert.isFalse(yield* DeadSocket.remove({ path, state }))
  }).pipe(Effect.scoped, Effect.provide(Libc.layer))
)
