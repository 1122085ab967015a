/** A create waits for whoever clears what is left of its name, and one of another name does not. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { ContainerTurns, over } from "../../../src/layers/orphans/TakingTurns.ts"
import * as LocalHost from "../../../src/host/LocalHost.ts"
import { RuntimeName } from "../../../src/schema/Ids.ts"
import { defaultStdio } from "../../../src/schema/Process.ts"
import { ProcessHost } from "../../../src/services/ProcessHost.ts"
import { machine } from "../../support/pretended.ts"
import { settled } from "../../support/atOnce.ts"
import { refOf, specOf } from "../mock/support.ts"

const create = (id: string) =>
  Effect.flatMap(ProcessHost, (host) =>
    host.create({
      ...refOf(id),
      runtime: RuntimeName.make("auto"),
      spec: specOf(["sleep", "inf"]),
      stdio: defaultStdio,
      logFile: "/memory/log"
    })
  )

describe("a create and the clearing of its name", () => {
  it.effect("take turns", () =>
    Effect.gen(function* () {
      const inTurn = yield* ContainerTurns
      const cleared = yield* Deferred.make<void>()
      const clearing = yield* Effect.forkChild(inTurn("default/web", Deferred.await(cleared)), {
        startImmediately: true
      })
      const web = yield* Effect.forkChild(create("web"), { startImmediately: true })
      const other = yield* Effect.forkChild(create("other"), { startImmediately: true })
      yield* settled
      assert.deepStrictEqual(
        [web, other].map((fiber) => fiber.pollUnsafe()?._tag),
        [undefined, "Success"]
      )
      yield* Deferred.succeed(cleared, undefined)
      yield* Fiber.join(clearing)
      yield* settled
      assert.strictEqual(web.pollUnsafe()?._tag, "Success")
    }).pipe(Effect.provide(over(LocalHost.layer).pipe(Layer.provideMerge(machine()))))
  )
})
