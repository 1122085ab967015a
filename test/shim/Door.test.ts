import { NodeServices } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger, Queue } from "effect"
import { SocketServer } from "effect/socket"
import type { Socket as EffectSocket } from "effect/socket"
import { existsSync, rmSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import type { Socket } from "node:net"
import { join } from "node:path"
import { probe } from "../../src/layers/server/Listen.ts"
import * as Door from "../../src/shim/Door.ts"
import { temporaryFolder } from "../support/folder.ts"
import { eventually } from "../support/served.ts"

const connected = (path: string) =>
  Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const socket = connect(path, () => resume(Effect.succeed(socket)))
      socket.on("error", () => {})
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

it.live("a socket that somebody has removed is there again when the shim is told to look", () =>
  Effect.gen(function* () {
    const path = join(yield* temporaryFolder, "shim.sock")
    const rouse = yield* Queue.unbounded<void>()
    let [came, there] = [0, 0]
    yield* Effect.scoped(
      Effect.gen(function* () {
        const context = yield* Layer.build(Door.layer({ path, roused: Queue.take(rouse) }))
        const server = yield* Effect.provideContext(SocketServer.SocketServer, context)
        const handler = (socket: EffectSocket.Socket) =>
          Effect.gen(function* () {
            came++
            there++
            yield* Effect.addFinalizer(() => Effect.sync(() => void there--))
            const { pull } = yield* socket.reader
            return yield* Effect.forever(pull)
          }).pipe(Effect.scoped, Effect.ignore)
        yield* Effect.forkScoped(server.run(handler))
        const before = yield* connected(path)
        yield* eventually("it has come", () => came === 1)
        yield* Queue.offer(rouse, undefined)
        yield* Effect.sleep("50 millis")
        const unchanged = came
        rmSync(path)
        yield* Queue.offer(rouse, undefined)
        yield* eventually("the socket is there", () => existsSync(path))
        const after = yield* connected(path)
        yield* eventually("it has come too", () => came > unchanged)
        assert.deepStrictEqual([before.readyState, after.readyState], ["open", "open"])
        // What is no socket is not ours to remove, and the door goes on.
        rmSync(path)
        writeFileSync(path, "mine")
        yield* Queue.offer(rouse, undefined)
        yield* Effect.sleep("50 millis")
        rmSync(path)
        yield* Queue.offer(rouse, undefined)
        yield* eventually("the socket is there again", () => existsSync(path))
        assert.strictEqual(yield* probe(path), "alive")
      })
    )
    assert.deepStrictEqual([existsSync(path), there], [false, 0])
  }).pipe(Effect.scoped, Effect.provide([NodeServices.layer, Logger.layer([])]))
)
