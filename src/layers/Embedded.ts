/** The whole of berth inside an app's own process: no daemon, no shim. Containers outlive the app; started again on the same folders, it takes them over. */
import { NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { configure } from "./DaemonOptions.ts"
import * as Local from "./Local.ts"
import * as Services from "./Services.ts"
import * as StateLock from "./StateLock.ts"

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
      const { hostDriver, runtimes } = settings
      const host = Local.layer({ state: settings.config.state, runtimes, hostDriver })
      // The lock first: what follows may change what is in the folder.
      return Services.over(Layer.provide(host, StateLock.layer({ state: settings.config.state })), settings)
    })
  ).pipe(Layer.provide(NodeServices.layer))
