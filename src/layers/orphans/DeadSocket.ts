/**
 * Removes a socket that nobody answers on. Between the look at the machine and the removal the next shim may have come: it is asked again, and under the
 * shim's lock, so that none can begin to listen in between.
 */
import { Effect } from "effect"
import { rmSync } from "node:fs"
import { unavailable } from "../io/DiskFailure.ts"
import { Libc } from "../posix/Libc.ts"
import { probe } from "../server/Listen.ts"
import * as ShimLock from "../shim/ShimLock.ts"

/** False where it is somebody's by now, or gone. */
export const remove = Effect.fn("DeadSocket.remove")(
  function* ({ path, state }: { readonly path: string; readonly state: string }) {
    if (path === ShimLock.socketOf(state) && (yield* ShimLock.attempt(state)) === null) return false
    if ((yield* probe(path)) !== "dead") return false
    yield* Effect.try({
      try: () => rmSync(path, { force: true }),
      catch: (error) => unavailable("socket", "remove it", error)
    })
    return true
  },
  Effect.scoped,
  Effect.provide(Libc.layer)
)
