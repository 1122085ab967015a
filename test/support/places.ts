/** Where a suite of real containers runs: each runtime, embedded and through a daemon with its shim. */
import { NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Berth } from "../../src/index.ts"
import type { Place } from "../suites/berth.ts"
import { daemon, folders } from "./daemon.ts"
import { rootfsOfFile } from "./rootfs.ts"

/** Call it at the top of a test file, which then has a root filesystem. */
export const realPlaces = (
  ways: ReadonlyArray<"embedded" | "daemon"> = ["embedded", "daemon"]
): ReadonlyArray<Place & { readonly runtime: string }> => {
  const rootfs = rootfsOfFile()
  return ["runc", "crun"].flatMap((runtime) =>
    ways.map((way) => ({
      name: way === "embedded" ? `embedded on ${runtime}` : `through a daemon on ${runtime}`,
      runtime,
      rootfs,
      real: true,
      remote: way === "daemon",
      layer:
        way === "embedded"
          ? Layer.unwrap(Effect.map(folders, (place) => Berth.layerEmbedded({ ...place, runtime }))).pipe(Layer.orDie)
          : Layer.unwrap(Effect.map(daemon({ runtime }), ({ address }) => Berth.layerClient({ address }))).pipe(
              Layer.provide(NodeServices.layer),
              Layer.orDie
            )
    }))
  )
}
