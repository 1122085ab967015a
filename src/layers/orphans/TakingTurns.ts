/** A process host whose creates take turns with whoever clears what is left of a container of the same name: neither finds the work of the other half done. */
import { Context, Effect, Layer } from "effect"
import { containerKey } from "../../schema/Ids.ts"
import { ProcessHost } from "../../services/ProcessHost.ts"
import { makeTurns } from "../../services/Turns.ts"

/** Runs an effect when it is the turn of that container. */
export class ContainerTurns extends Context.Service<ContainerTurns, ReturnType<typeof makeTurns>>()(
  "berth/layers/orphans/ContainerTurns"
) {}

export const over = <E, R>(host: Layer.Layer<ProcessHost, E, R>): Layer.Layer<ProcessHost | ContainerTurns, E, R> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const inner = yield* ProcessHost
      const inTurn = makeTurns()
      return Context.make(
        ProcessHost,
        ProcessHost.of({ ...inner, create: (request) => inTurn(containerKey(request), inner.create(request)) })
      ).pipe(Context.add(ContainerTurns, inTurn))
    })
  ).pipe(Layer.provide(host))
