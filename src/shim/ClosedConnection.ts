/**
 * Node takes in silence what is written to a connection that it has closed: `write` answers that its buffer is full, and no event follows. Who waits until
 * there is room would wait for ever, and with it whoever waits for that one, which at the end of the shim is the shim.
 */
import { Effect } from "effect"
import { Socket } from "effect/socket"
import type { Duplex } from "node:stream"

const closed = new Socket.SocketError({
  reason: new Socket.SocketWriteError({ cause: new Error("the connection is closed") })
})

/** The same socket, whose writes fail where `connection`, which is below it, is closed. */
export const failing = (connection: Duplex, { reader, writer }: Socket.Socket): Socket.Socket => {
  const open = <A>(write: Effect.Effect<A, Socket.SocketError>) =>
    Effect.suspend(() => (connection.destroyed ? Effect.fail(closed) : write))
  return Socket.make({
    reader,
    writer: Effect.map(writer, ({ write, writeAll }) => ({
      write: (chunk) => open(write(chunk)),
      writeAll: (chunks) => open(writeAll(chunks))
    }))
  })
}
