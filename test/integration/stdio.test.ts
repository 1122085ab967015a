/** Standard streams on real containers: runc and crun, embedded and through a daemon with its shim. */
import { NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Berth } from "../../src/index.ts"
import { daemon, folders } from "../support/daemon.ts"
import { rootfsOfFile } from "../support/rootfs.ts"
import { stdioSuite } from "../suites/stdio.ts"

const rootfs = rootfsOfFile()

for (const runtime of ["runc", "crun"]) {
  stdioSuite({
    name: `embedded on ${runtime}`,
    layer: Layer.unwrap(Effect.map(folders, (place) => Berth.layerEmbedded({ ...place, runtime }))).pipe(
      Layer.provide(NodeServices.layer),
      Layer.orDie
    ),
    rootfs,
    real: true
  })
  stdioSuite({
    name: `through a daemon on ${runtime}`,
    layer: Layer.unwrap(Effect.map(daemon({ runtime }), ({ address }) => Berth.layerClient({ address }))).pipe(
      Layer.provide(NodeServices.layer),
      Layer.orDie
    ),
    rootfs,
    real: true
  })
}
