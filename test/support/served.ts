/** One daemon for a whole file of tests, and what they ask of it by hand. */
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Schedule } from "effect"
import { daemon } from "./daemon.ts"
import type { Daemon } from "./daemon.ts"
import { ask } from "./http.ts"

export class Served extends Context.Service<Served, Daemon>()("berth/test/Served") {
  static readonly layer = Layer.effect(Served, daemon({ runtime: "runc" })).pipe(Layer.orDie)
}

export const socketOf = ({ address }: Daemon) => address.slice("unix://".length)
export const json = (text: string): unknown => JSON.parse(text)
/** A JSON-RPC request. */
export const rpc = (method: string, params: unknown = {}, id: unknown = 1) =>
  JSON.stringify({ jsonrpc: "2.0", id, method, params })

/** Whether it still answers as on the first day. */
export const well = (place: Daemon) =>
  Effect.gen(function* () {
    const { body, status } = yield* ask(socketOf(place), { path: "/jsonrpc", body: rpc("System.Info") })
    assert.strictEqual(status, 200)
    assert.include(body, `"pid":${place.pid},`)
  })

/** Real time goes by until it is so. */
export const eventually = (what: string, check: () => boolean) =>
  Effect.sync(check).pipe(
    Effect.repeat({ until: (done) => done, schedule: Schedule.spaced("50 millis") }),
    Effect.timeoutOrElse({
      duration: "20 seconds",
      orElse: () => Effect.sync(() => assert.fail(`not in time: ${what}`))
    })
  )
