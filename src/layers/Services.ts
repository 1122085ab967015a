/** The graph that the daemon and an embedding app share: everything of this machine but the process host, which is a shim for the one and here for the other. */
import type { Effect } from "effect"
import { Layer } from "effect"
import { join } from "node:path"
import * as Berth from "../actors/Berth.ts"
import { Config } from "../services/Config.ts"
import type { ProcessHost } from "../services/ProcessHost.ts"
import * as WarmHost from "./cgroup/WarmHost.ts"
import type { configure } from "./DaemonOptions.ts"
import * as FileTaskDirectory from "./FileTaskDirectory.ts"
import * as FileOutputLog from "./io/FileOutputLog.ts"
import * as Local from "./Local.ts"
import * as Orphans from "./orphans/Orphans.ts"
import * as TakingTurns from "./orphans/TakingTurns.ts"
import * as SqliteStore from "./store/SqliteStore.ts"
import * as SystemInfo from "./SystemInfo.ts"

export type Settings = Effect.Success<ReturnType<typeof configure>>

/** Containers, Tasks, Events and System. */
export const over = <E, R>(
  host: Layer.Layer<ProcessHost, E, R>,
  { config, hostDriver, runtimes, synchronous }: Settings
) =>
  Orphans.atStart.pipe(
    // Behind the recovery: until then a task may be there that no actor has yet.
    Layer.provideMerge(Layer.mergeAll(Berth.layer, SystemInfo.layer)),
    Layer.provide(Orphans.Orphans.layer(config)),
    Layer.provide([
      TakingTurns.over(WarmHost.over(host)),
      FileTaskDirectory.layer({ state: config.state }),
      SqliteStore.layer({ filename: join(config.root, "berth.db"), synchronous }),
      FileOutputLog.layer({ root: config.root }),
      Local.runtimes({ state: config.state, runtimes, hostDriver }),
      Layer.succeed(Config, config)
    ])
  )
