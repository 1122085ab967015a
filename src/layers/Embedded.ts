/** The whole of berth inside an app's own process: no daemon, no shim. Containers outlive the app; started again on the same folders, it takes them over. */
import { NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { join } from "node:path"
import * as Berth from "../actors/Berth.ts"
import { Config } from "../services/Config.ts"
import { configure } from "./DaemonOptions.ts"
import * as FileOutputLog from "./io/FileOutputLog.ts"
import * as Local from "./Local.ts"
import * as StateLock from "./StateLock.ts"
import * as SqliteStore from "./store/SqliteStore.ts"
import * as SystemInfo from "./SystemInfo.ts"

export interface EmbeddedOptions {
  /** Durable folder. */
  readonly root: string
  /** Volatile folder. */
  readonly state: string
  /** Driver of containers that name none; by default the best that works. */
  readonly runtime?: string
  /** Allows plain processes of the host, which are not isolated (`runtime: "host"`); not allowed by default. */
  readonly hostDriver?: boolean
}

/** Containers, Tasks, Events and System in this process, which becomes the parent (the child subreaper) of every container process. */
export const layerEmbedded = ({ hostDriver: allowed = false, root, runtime = "auto", state }: EmbeddedOptions) =>
  Layer.unwrap(
    Effect.map(configure({ root, state, runtime, hostDriver: allowed, listen: [], config: null }), (settings) => {
      const { config, hostDriver, runtimes, synchronous } = settings
      const local = { state: config.state, runtimes, hostDriver }
      return Layer.mergeAll(Berth.layer, SystemInfo.layer).pipe(
        Layer.provide([
          // The first of all: what follows may change what is in the folder.
          Layer.provide(Local.layer(local), StateLock.layer({ state: config.state })),
          SqliteStore.layer({ filename: join(config.root, "berth.db"), synchronous }),
          FileOutputLog.layer({ root: config.root }),
          Local.runtimes(local),
          Layer.succeed(Config, config)
        ])
      )
    })
  ).pipe(Layer.provide(NodeServices.layer))
