/** Statistics and kills for want of memory on real containers: runc and crun, embedded and through a daemon with its shim. */
import { NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Berth } from "../../src/index.ts"
import { statsSuite } from "../suites/stats.ts"
import { daemon, folders } from "../support/daemon.ts"
import { rootfsOfFile } from "../support/rootfs.ts"

const rootfs = rootfsOfFile()

for (const runtime of ["runc", "crun"]) {
  const embedded = Layer.unwrap(Effect.map(folders, (place) => Berth.layerEmbedded({ ...place, runtime })))
  const remote = Layer.unwrap(Effect.map(daemon({ runtime }), ({ address }) => Berth.layerClient({ address })))
  for (const [name, layer] of [
    [`embedded on ${runtime}`, embedded.pipe(Layer.provide(NodeServices.layer), Layer.orDie)],
    [`through a daemon on ${runtime}`, remote.pipe(Layer.provide(NodeServices.layer), Layer.orDie)]
  ] as const) {
    statsSuite({ name, layer, rootfs, real: true })
  }
}
