/**
 * The same without a daemon. To look needs nothing; to repair, what a daemon is made of runs for as long as it takes, under the lock of the state folder, and
 * listens nowhere. Its shim clears at its own start what the last one was making, so what was there before is compared with what is there afterwards.
 */
import { NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import type { Orphan } from "../../schema/Orphan.ts"
import { System } from "../../services/System.ts"
import { cgroupPrefix, configure } from "../DaemonOptions.ts"
import * as FileTaskDirectory from "../FileTaskDirectory.ts"
import * as RuntimeTable from "../RuntimeTable.ts"
import * as Services from "../Services.ts"
import * as ShimHost from "../shim/ShimHost.ts"
import * as StateLock from "../StateLock.ts"
import * as Orphans from "./Orphans.ts"

export interface Folders {
  /** Both absolute. */
  readonly root: string
  readonly state: string
}

/** What is left, changing nothing. */
export const look = ({ root, state }: Folders) =>
  Orphans.look({ root, state, cgroupPrefix: cgroupPrefix(state) }).pipe(
    Effect.provide(FileTaskDirectory.layer({ state }))
  )

/** Unavailable where a daemon holds the folder. */
export const repair = Effect.fn("Alone.repair")(
  function* (folders: Folders) {
    // A machine without berth is not given one.
    if ((yield* look(folders)).length === 0) return []
    const settings = yield* configure({ ...folders, listen: [], runtime: "auto", config: null })
    const runtimes = yield* RuntimeTable.load(settings.config.state)
    yield* Layer.build(StateLock.layer({ state: settings.config.state }))
    const before = yield* look(folders)
    const host = ShimHost.layer({ state: settings.config.state })
    const told = yield* Effect.scoped(
      Effect.gen(function* () {
        const services = yield* Layer.build(Services.over(host, { ...settings, runtimes }))
        return yield* Effect.provideContext(
          Effect.flatMap(System, ({ orphans }) => orphans({ repair: true })),
          services
        )
      })
    )
    const left = new Set((yield* look(folders)).map(({ path }) => path))
    const seen = new Set(told.map(({ path }) => path))
    const gone = before
      .filter(({ path }) => !seen.has(path) && !left.has(path))
      .map((orphan): Orphan => ({ ...orphan, fate: "removed", reason: null }))
    return [...gone, ...told]
  },
  Effect.scoped,
  Effect.provide(NodeServices.layer)
)
