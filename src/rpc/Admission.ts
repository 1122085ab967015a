/**
 * Whether there is room for one more call: of its connection's calls, of its connection's streams, of all streams. It counts from before the handler begins
 * until whatever the handler held is released, so that a client cannot have more under way than that by not waiting for answers.
 */
import { Context, Effect, Layer } from "effect"
import type { Rpc } from "effect/rpc"
import { ResourceExhausted } from "../schema/Errors.ts"
import { countLimited, setCalls, setStreams } from "../services/Metrics.ts"
import type { Limits } from "./Limits.ts"

export class Admission extends Context.Service<
  Admission,
  {
    /** Runs a call of a client, or refuses it. */
    readonly admit: (
      client: Rpc.ServerClient,
      kind: "call" | "stream"
    ) => <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E | ResourceExhausted, R>
  }
>()("berth/rpc/Admission") {
  /** One for all connections that share its limits. */
  static readonly layer = (limits: Limits) => Layer.sync(Admission, () => make(limits))
}

interface UnderWay {
  calls: number
  streams: number
}

const make = (limits: Limits): Admission["Service"] => {
  const byClient = new WeakMap<Rpc.ServerClient, UnderWay>()
  const all: UnderWay = { calls: 0, streams: 0 }

  const of = (client: Rpc.ServerClient): UnderWay => {
    const known = byClient.get(client)
    if (known !== undefined) return known
    const fresh = { calls: 0, streams: 0 }
    byClient.set(client, fresh)
    return fresh
  }

  const refusal = (mine: UnderWay, isStream: boolean) => {
    if (mine.calls >= limits.callsPerConnection)
      return { kind: "calls" as const, resource: "calls of this connection", limit: limits.callsPerConnection }
    if (isStream && mine.streams >= limits.streamsPerConnection)
      return { kind: "streams" as const, resource: "streams of this connection", limit: limits.streamsPerConnection }
    if (isStream && all.streams >= limits.streams)
      return { kind: "streams" as const, resource: "streams of the daemon", limit: limits.streams }
    return null
  }

  const change = (mine: UnderWay, isStream: boolean, by: 1 | -1) =>
    Effect.suspend(() => {
      for (const counts of [mine, all]) {
        counts.calls += by
        if (isStream) counts.streams += by
      }
      return Effect.andThen(setCalls(all.calls), isStream ? setStreams(all.streams) : Effect.void)
    })

  const admit: Admission["Service"]["admit"] =
    (client, kind) =>
    <A, E, R>(call: Effect.Effect<A, E, R>) =>
      Effect.suspend((): Effect.Effect<A, E | ResourceExhausted, R> => {
        const mine = of(client)
        const isStream = kind === "stream"
        const full = refusal(mine, isStream)
        if (full !== null) {
          const { limit, resource } = full
          return Effect.andThen(countLimited(full.kind), Effect.fail(new ResourceExhausted({ resource, limit })))
        }
        return Effect.acquireUseRelease(
          change(mine, isStream, 1),
          () => call,
          () => change(mine, isStream, -1)
        )
      })

  return Admission.of({ admit })
}
