/** A short time of chaos on real containers; `npm run chaos` is the long one. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Chaos from "./Chaos.ts"

for (const runtime of ["runc", "crun"]) {
  it.live(
    `kills of daemon and shim harm no container, lose no exit, no event and no line (${runtime})`,
    () =>
      Effect.gen(function* () {
        const options = {
          runtime,
          duration: "8 seconds",
          containers: 6,
          between: "1500 millis",
          seed: runtime
        } as const
        const { counts, wrong } = yield* Chaos.seeded(options)
        assert.deepStrictEqual(wrong, [])
        assert.isAbove(counts.containers, 6)
        assert.isAbove(counts.killsOfDaemon + counts.killsOfShim, 0)
      }),
    180_000
  )
}
