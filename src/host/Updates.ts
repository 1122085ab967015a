/** Changes of a live container's limits: one at a time for each, and none once its init has ended. */
import { Effect } from "effect"
import { NotFound } from "../schema/Errors.ts"
import type { ContainerRef, Updated, UpdateRequest } from "../schema/Host.ts"
import { containerKey } from "../schema/Ids.ts"
import type { HostError } from "../services/ProcessHost.ts"
import { makeTurns } from "../services/Turns.ts"
import type { Container } from "./Container.ts"
import type { ToTheEnd } from "./UnderWay.ts"

export const makeUpdate = (find: (ref: ContainerRef) => Effect.Effect<Container, NotFound>, toTheEnd: ToTheEnd) => {
  const inTurn = makeTurns()
  return Effect.fn("ProcessHost.update")(function* ({ resources, ...ref }: UpdateRequest) {
    const container = yield* find(ref)
    const { driver, init, target } = container
    const work = Effect.suspend((): Effect.Effect<Updated, HostError> =>
      init.record.exit === null
        ? driver.update(target, resources)
        : Effect.fail(new NotFound({ kind: "process", id: ref.containerId }))
    )
    return yield* toTheEnd(container, inTurn(containerKey(ref), work), "updated")
  })
}
