/** Runs as one call on real containers: runc and crun, embedded and through a daemon with its shim. */
import { Layer, Effect } from "effect"
import { NodeServices } from "@effect/platform-node"
import { Berth } from "../../src/index.ts"
import { runSuite } from "../suites/run.ts"
import { daemon, folders } from "../support/daemon.ts"
import { rootfsOfFile } from "../support/rootfs.ts"

const rootfs = rootfsOfFile()

for (const runtime of ["runc", "crun"]) {
  runSuite({
    name: `embedded on ${runtime}`,
    layer: Layer.unwrap(Effect.map(folders, (place) => Berth.layerEmbedded({ ...place, runtime }))).pipe(
      Layer.provide(NodeServices.layer),
      Layer.orDie
    ),
    rootfs,
    real: true
  })
  runSuite({
    name: `through a daemon on ${runtime}`,
    layer: Layer.unwrap(Effect.map(daemon({ runtime }), ({ address }) => Berth.layerClient({ address }))).pipe(
      Layer.provide(NodeServices.layer),
      Layer.orDie
    ),
    rootfs,
    real: true
  })
}
