/** The daemon that is killed and comes back at once, always on the same folders, and its shims. */
import { Clock, Effect, Exit, Random, Scope } from "effect"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { join } from "node:path"
import { daemonOn, shimsOf } from "../support/daemon.ts"
import type { Daemon } from "../support/daemon.ts"
import type { Findings } from "./Findings.ts"

export interface Place {
  readonly folder: string
  readonly root: string
  readonly state: string
}

/** How long what a container has printed may wait to be read, on a busy machine, and what a clock is worth. Milliseconds. */
const lag = 1_000
const margin = 100

const kill = (pid: number) => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It has ended by itself.
  }
}

/** Whether a shim has taken over all that there was. */
const isAtWork = (state: string) => (pid: number) =>
  readFileSync(join(state, "shim.log"), "utf8").includes(`shim ${pid} serves`)

/** Whether a shim has the pipes of containers open: the first thing that it does. */
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

  /** When a shim that was at work was last killed: what ended since may wait for its successor with its last output. */
  let shimless: number | null = null
  let holding = true

  const killShim = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const shims = shimsOf(place.state)
    if (shims.some(isAtWork(place.state))) shimless = now
    counts.killsOfShim += 1
    shims.forEach(kill)
  })
  const again = Effect.gen(function* () {
    yield* Scope.close(scope, Exit.void)
    scope = yield* Scope.make()
    daemon = yield* born
    const now = yield* Clock.currentTimeMillis
    if (!holding) dark.push([(shimless ?? now) - lag, now + margin])
    holding = true
  })
  const killDaemon = Effect.gen(function* () {
    counts.killsOfDaemon += 1
    kill(daemon.pid)
    // With it goes what it held for a shim that is still to come.
    holding = shimsOf(place.state).some(holds(place.state))
  })

  const strike = Effect.gen(function* () {
    const drawn = yield* Random.next
    if (drawn < 0.3) return yield* killShim
    yield* killDaemon
    if (drawn > 0.8) {
      yield* killShim
      holding = false
    }
    yield* again
  })
  return { address: daemon.address, strike }
})
