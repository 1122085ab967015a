import { NodeSocket } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { PassThrough } from "node:stream"
import { failing } from "../../src/shim/ClosedConnection.ts"

describe("what is written to a connection that is closed", () => {
  const connected = Effect.gen(function* () {
    const connection = new PassThrough({ allowHalfOpen: true })
    const socket = yield* NodeSocket.fromDuplex(Effect.succeed(connection))
    yield* socket.reader
    return { connection, socket }
  })
  const close = (connection: PassThrough) =>
    Effect.callback<void>((resume) => {
      connection.once("close", () => resume(Effect.void))
      connection.destroy()
    })

  it.live("fails at once, in one piece or in many", () =>
    Effect.gen(function* () {
      const { connection, socket } = yield* connected
      const { write, writeAll } = yield* failing(connection, socket).writer
      yield* write("taken")
      assert.strictEqual(String(connection.read()), "taken")
      yield* close(connection)
      for (const lost of [write("one"), writeAll(["two"]), writeAll(["three", "four"])]) {
        const error = Option.getOrNull(yield* Effect.timeoutOption(Effect.flip(lost), "1 second"))
        assert.strictEqual(error?.reason._tag, "SocketWriteError")
      }
    }).pipe(Effect.scoped)
  )

  it.live("is waited for without end by what is below, which is why this is here", () =>
    Effect.gen(function* () {
      const { connection, socket } = yield* connected
      const { write } = yield* socket.writer
      yield* close(connection)
      assert.isTrue(Option.isNone(yield* Effect.timeoutOption(Effect.exit(write("lost")), "200 millis")))
    }).pipe(Effect.scoped)
  )
})
