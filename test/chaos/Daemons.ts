/** The daemon that is killed and comes back at once, always on the same folders, and its shims. */
import { Effect, Exit, Random, Scope } from "effect"
import { daemonOn, shimsOf } from "../support/daemon.ts"
import type { Daemon } from "../support/daemon.ts"
import type { Findings } from "./Findings.ts"

export interface Place {
  readonly folder: string
  readonly root: string
  readonly state: string
}

const kill = (pid: number) => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It has ended by itself.
  }
}

/** A daemon that lives until the scope ends, in many lives. `strike` kills it, its shim or both, and returns when there is one again. */
export const make = Effect.fnUntraced(function* (findings: Findings, place: Place, runtime: string) {
  const { counts } = findings
  let scope = yield* Scope.make()
  const born = Effect.suspend(() => Scope.provide(daemonOn(place, { runtime }), scope))
  let daemon: Daemon = yield* born
  yield* Effect.addFinalizer((exit) => Effect.suspend(() => Scope.close(scope, exit)))

  const killShim = Effect.sync(() => {
    counts.killsOfShim += 1
    for (const pid of shimsOf(place.state)) kill(pid)
  })
  const again = Effect.gen(function* () {
    yield* Scope.close(scope, Exit.void)
    scope = yield* Scope.make()
    daemon = yield* born
  })
  const killDaemon = Effect.sync(() => {
    counts.killsOfDaemon += 1
    kill(daemon.pid)
  })

  const strike = Effect.gen(function* () {
    const drawn = yield* Random.next
    if (drawn < 0.3) return yield* killShim
    yield* killDaemon
    if (drawn > 0.8) yield* killShim
    yield* again
  })
  return { address: daemon.address, strike }
})
