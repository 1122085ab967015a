/** Dozens of random sequences of operations on real containers agree with the model. */
import { layer } from "@effect/vitest"
import { Effect } from "effect"
import { play } from "../suites/model.ts"
import { realPlaces } from "../support/places.ts"

const sequences = 36
const length = 30

for (const place of realPlaces(["daemon"])) {
  layer(place.layer, { excludeTestServices: true, timeout: "60 seconds" })(place.name, (it) => {
    it.effect(
      `${sequences} sequences of ${length} operations`,
      () =>
        Effect.forEach(
          Array.from({ length: sequences }, (_, seed) => seed),
          (seed) => play(seed, length, place.rootfs),
          { concurrency: 4, discard: true }
        ),
      45_000
    )
  })
}
