/**
 * Real containers under load, while daemon and shim are killed at random: `npm run chaos` for any time, `chaos.test.ts` for a short one. What is found is a
 * broken promise: a container harmed, an exit lost, wrong or invented, an event missing or out of order, output lost or told twice, anything left behind.
 */
import { Clock, Duration, Effect, Random, Schedule } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { Berth, Containers, Tasks } from "../../src/index.ts"
import type { Event } from "../../src/index.ts"
import { clear } from "../support/clear.ts"
import { shimsOf } from "../support/daemon.ts"
import { cgroupsOf, filesWith, processesWith } from "../support/host.ts"
import { busyboxRootfs } from "../support/rootfs.ts"
import * as Daemons from "./Daemons.ts"
import * as Findings from "./Findings.ts"
import { insistently } from "./Findings.ts"
import * as Ledger from "./Ledger.ts"
import * as Life from "./Life.ts"

export interface Options {
  readonly runtime: string
  readonly duration: Duration.Input
  /** Containers at a time. */
  readonly containers: number
  /** Mean time from one kill to the next. */
  readonly between: Duration.Input
  readonly seed: string | number
}

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "berth-chaos-"))),
  (folder) =>
    Effect.sync(() => {
      clear(folder, join(folder, "state"))
      rmSync(folder, { recursive: true, force: true })
    })
)

const endShims = (state: string) => Effect.sync(() => shimsOf(state).forEach((pid) => process.kill(pid, "SIGKILL")))

/** Nothing of any container may be left on the machine, a moment after the last deletion. */
const leftovers = (folder: string, prefix: string) => {
  const found = () => [
    ...cgroupsOf(prefix),
    ...processesWith(prefix).map((pid) => `process ${pid}`),
    ...filesWith(folder, prefix)
  ]
  return Effect.sync(found).pipe(
    Effect.repeat({ until: (left) => left.length === 0, schedule: Schedule.spaced("100 millis"), times: 50 })
  )
}

/** Runs it, and returns what was counted and found. It ends by itself only when the last container is gone. */
export const run = Effect.fn("chaos")(function* (options: Options) {
  const findings = Findings.make()
  const folder = yield* temporary
  const place = { folder, root: join(folder, "root"), state: join(folder, "state") }
  const rootfs = yield* busyboxRootfs
  yield* Effect.addFinalizer(() => endShims(place.state))
  const { address, strike } = yield* Daemons.make(findings, place, options.runtime)
  // Not in the name of the folder, which daemon and shim have among their arguments.
  const prefix = basename(folder).replace("berth-chaos", "life").toLowerCase()

  yield* Effect.gen(function* () {
    const seen: Array<Event> = []
    yield* Effect.forkScoped(Ledger.follow(seen))
    const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(options.duration)
    const over = Effect.map(Clock.currentTimeMillis, (now) => now >= end)
    /** A strike takes time of its own, which is no pause. */
    const struck = Effect.gen(function* () {
      const [took] = yield* Effect.timed(strike)
      const drawn = Duration.toMillis(options.between) * -Math.log(1 - (yield* Random.next))
      yield* Effect.sleep(Math.max(0, drawn - Duration.toMillis(took)))
    })
    const lane = Effect.fnUntraced(function* (number: number) {
      for (let round = 0; !(yield* over); round++) {
        const name = `${prefix}-${number}-${round}`
        yield* Effect.catch(Life.live(findings, rootfs, name), (error) =>
          Effect.sync(() => findings.find(`${name}: ${error._tag}: ${error.message}`))
        )
      }
    })
    const killer = Effect.forever(struck)
    const lanes = Array.from({ length: options.containers }, (_, number) => lane(number))
    yield* Effect.raceFirst(Effect.all(lanes, { concurrency: "unbounded", discard: true }), killer)

    const [containers, tasks] = [yield* Containers, yield* Tasks]
    const left = yield* insistently(findings, "list")(Effect.all([tasks.list({}), containers.list({})]))
    for (const { id } of left.flat()) findings.find(`${id} is still there`)
    for (const what of yield* leftovers(folder, prefix)) findings.find(`left behind: ${what}`)
    yield* Effect.sleep("500 millis")
    Ledger.judge(seen, findings)
  }).pipe(Effect.scoped, Effect.provide(Berth.layerClient({ address })))

  if (shimsOf(place.state).length > 1) findings.find(`${shimsOf(place.state).length} shims live`)
  return findings
}, Effect.scoped)

/** The same, drawn from its seed. */
export const seeded = (options: Options) => Random.withSeed(run(options), options.seed)
