/** The daemon's side of a connection to a shim, against shims that answer as they should not. */
import { NodeServices, NodeSocketServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, Schema, Stream } from "effect"
import { Rpc, RpcSerialization, RpcServer } from "effect/rpc"
import * as ShimHandlers from "../../../src/layers/shim/ShimHandlers.ts"
import * as ShimHost from "../../../src/layers/shim/ShimHost.ts"
import { socketOf } from "../../../src/layers/shim/ShimLock.ts"
import { ShimRpc } from "../../../src/rpc/ShimRpc.ts"
import { BerthError } from "../../../src/schema/Errors.ts"
import { ContainerRef } from "../../../src/schema/Host.ts"
import { ContainerId, Namespace } from "../../../src/schema/Ids.ts"
import { ProcessHost } from "../../../src/services/ProcessHost.ts"
import { version } from "../../../src/version.ts"
import { temporaryFolder } from "../../support/folder.ts"

const ref = { namespace: Namespace.make("default"), containerId: ContainerId.make("web") }
const init = { ...ref, execId: null }
const unused = () => Effect.die("unused")

/** The host of a shim with a defect: it cannot signal. A start takes for ever, and is told to have begun. */
const hostWith = (started: () => void) =>
  ProcessHost.of({
    create: unused,
    start: () => Effect.andThen(Effect.sync(started), Effect.never),
    exec: unused,
    signal: () => Effect.die(new Error("kill: EPERM")),
    pause: unused,
    resume: unused,
    update: unused,
    delete: unused,
    deleteExec: unused,
    pids: () => Effect.succeed([1]),
    processTable: unused,
    stats: unused,
    statsOf: unused,
    writeStdin: unused,
    closeStdin: unused,
    resize: unused,
    watch: Stream.concat(Stream.succeed({ _tag: "Snapshot" as const, records: [] }), Stream.never)
  })

/** A shim of another version, which knows more of the processes than a daemon of this one can read. */
const Newer = ShimRpc.omit("ProcessTable").add(
  Rpc.make("ProcessTable", { payload: ContainerRef, success: Schema.String, error: BerthError })
)

it.live("a defect in one call, or an answer that cannot be read, is that call's alone", () =>
  Effect.gen(function* () {
    const state = yield* temporaryFolder
    let begun = 0
    const handlers = ShimHandlers.layer({ hello: ShimHandlers.current(version), stop: Effect.void }).pipe(
      Layer.provide(
        Layer.succeed(
          ProcessHost,
          hostWith(() => void begun++)
        )
      )
    )
    yield* Layer.build(
      RpcServer.layer(Newer, { disableFatalDefects: true }).pipe(
        Layer.provide(
          Layer.merge(
            handlers,
            Newer.toLayerHandler("ProcessTable", () => Effect.succeed("many"))
          )
        ),
        Layer.provide(RpcServer.layerProtocolSocketServer),
        Layer.provide([NodeSocketServer.layer({ path: socketOf(state) }), RpcSerialization.layerNdjson])
      )
    )
    const lines: Array<string> = []
    const built = yield* Layer.build(ShimHost.layer({ state }))
    const host = yield* Effect.provideContext(ProcessHost, built)
    const watching = yield* Effect.forkChild(Effect.result(Stream.runDrain(host.watch)), { startImmediately: true })
    const starting = yield* Effect.forkChild(Effect.result(host.start(ref)), { startImmediately: true })
    while (begun === 0) yield* Effect.sleep("5 millis")
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    const failed = [host.signal({ ref: init, signal: 9, all: false }), Effect.asVoid(host.processTable(ref))]
    for (const call of failed) {
      const error = yield* Effect.flip(call).pipe(Effect.provide(Logger.layer([logger])))
      assert.strictEqual(error._tag, "Internal")
      assert.include(lines.join(), `defect ${error._tag === "Internal" ? error.reference : ""} `)
    }
    // The next call would close a connection that was given up, and end what is under way on it.
    assert.deepStrictEqual(yield* host.pids(ref), [1])
    yield* Effect.sleep("50 millis")
    assert.deepStrictEqual([starting.pollUnsafe(), watching.pollUnsafe(), begun], [undefined, undefined, 1])
    yield* Fiber.interruptAll([starting, watching])
  }).pipe(Effect.scoped, Effect.provide([NodeServices.layer, Logger.layer([])]))
)
