/** The daemon that is killed and comes back at once, always on the same folders, and its shims. */
import { Clock, Effect, Exit, Random, Scope } from "effect"
import { readdirSync, readlinkSync } from "node:fs"
import { join } from "node:path"
import { daemonOn, shimsOf } from "../support/daemon.ts"
import type { Daemon } from "../support/daemon.ts"
import type { Findings } from "./Findings.ts"

export interface Place {
  readonly folder: string
  readonly root: string
  readonly state: string
}

/** What a clock is worth, in milliseconds. */
const margin = 100

const kill = (pid: number) => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It has ended by itself.
  }
}

/** Whether a shim has any pipe of a container open: its successor comes up without one. */
const holds = (state: string) => (pid: number) => {
  try {
    const folder = `/proc/${pid}/fd`
    return readdirSync(folder).some((fd) => readlinkSync(join(folder, fd)).startsWith(join(state, "tasks")))
  } catch {
    return false
  }
}

/** A daemon that lives until the scope ends, in many lives. `strike` kills it, its shim or both, and returns when there is one again. */
export const make = Effect.fnUntraced(function* (findings: Findings, place: Place, runtime: string) {
  const { counts, dark } = findings
  let scope = yield* Scope.make()
  const born = Effect.suspend(() => Scope.provide(daemonOn(place, { runtime }), scope))
  let daemon: Daemon = yield* born
  yield* Effect.addFinalizer((exit) => Effect.suspend(() => Scope.close(scope, exit)))

  /** Since when nobody, or only a daemon that is dead by now, held what it should. */
  let nobodySince: number | null = null
  let shimless = 0

  const killShim = Effect.gen(function* () {
    shimless = yield* Clock.currentTimeMillis
    counts.killsOfShim += 1
    for (const pid of shimsOf(place.state)) kill(pid)
  })
  const again = Effect.gen(function* () {
    yield* Scope.close(scope, Exit.void)
    scope = yield* Scope.make()
    daemon = yield* born
    if (nobodySince !== null) dark.push([nobodySince - margin, (yield* Clock.currentTimeMillis) + margin])
    nobodySince = null
  })
  const killDaemon = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    counts.killsOfDaemon += 1
    kill(daemon.pid)
    // What ended since the shim was killed only this daemon knew.
    if (!shimsOf(place.state).some(holds(place.state))) nobodySince = Math.min(now, shimless)
  })

  const strike = Effect.gen(function* () {
    const drawn = yield* Random.next
    if (drawn < 0.3) return yield* killShim
    yield* killDaemon
    if (drawn > 0.8) {
      yield* killShim
      nobodySince ??= shimless
    }
    yield* again
  })
  return { address: daemon.address, strike }
})
