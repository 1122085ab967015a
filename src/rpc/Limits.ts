/** How much of everything the daemon's door takes at a time. What is beyond is refused, typed and counted; nothing is queued without a bound. */
import { Schema } from "effect"

const count = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 }))

export const Limits = Schema.Struct({
  /** Connections, of every kind together, for each address that is listened on. */
  connections: count,
  /** Calls and streams under way at a time on one connection; an HTTP request counts as a connection of its own here. */
  callsPerConnection: count,
  /** Streams among them: events, output, runs. */
  streamsPerConnection: count,
  /** Streams of all connections together. */
  streams: count,
  /** Bytes of a request: of an HTTP body, a WebSocket message or a line of it. */
  requestBytes: Schema.Int.check(Schema.isBetween({ minimum: 65_536, maximum: 256 * 1024 * 1024 }))
})
export type Limits = typeof Limits.Type

/** What a configuration file may say of them. */
export const SomeLimits = Schema.Struct({
  connections: Schema.optionalKey(Limits.fields.connections),
  callsPerConnection: Schema.optionalKey(Limits.fields.callsPerConnection),
  streamsPerConnection: Schema.optionalKey(Limits.fields.streamsPerConnection),
  streams: Schema.optionalKey(Limits.fields.streams),
  requestBytes: Schema.optionalKey(Limits.fields.requestBytes)
})

export const defaultLimits: Limits = {
  connections: 1024,
  callsPerConnection: 4096,
  streamsPerConnection: 1024,
  streams: 4096,
  requestBytes: 4 * 1024 * 1024
}
