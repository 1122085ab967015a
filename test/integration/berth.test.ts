/** The suite on real processes: runc, crun and plain processes of the host, embedded and through a daemon with its shim. */
import { Layer, Effect } from "effect"
import { NodeServices } from "@effect/platform-node"
import { Berth } from "../../src/index.ts"
import type { Capability } from "../../src/schema/Runtime.ts"
import { berthSuite } from "../suites/berth.ts"
import { daemon, folders } from "../support/daemon.ts"
import { rootfsOfFile } from "../support/rootfs.ts"

const busybox = rootfsOfFile()
const processes: ReadonlyArray<Capability> = ["exec", "pause", "terminal"]

for (const [runtime, rootfs, capabilities] of [
  ["runc", busybox, ["isolation", ...processes]],
  ["crun", busybox, ["isolation", ...processes]],
  ["host", "/", processes]
] as const) {
  const hostDriver = runtime === "host"
  berthSuite({
    name: `embedded on ${runtime}`,
    layer: Layer.unwrap(Effect.map(folders, (place) => Berth.layerEmbedded({ ...place, runtime, hostDriver }))).pipe(
      Layer.provide(NodeServices.layer),
      Layer.orDie
    ),
    capabilities,
    rootfs,
    real: true
  })
  berthSuite({
    name: `through a daemon on ${runtime}`,
    layer: Layer.unwrap(
      Effect.map(daemon({ runtime, args: hostDriver ? ["--enable-host-driver"] : [] }), ({ address }) =>
        Berth.layerClient({ address })
      )
    ).pipe(Layer.provide(NodeServices.layer), Layer.orDie),
    capabilities,
    rootfs,
    real: true
  })
}
