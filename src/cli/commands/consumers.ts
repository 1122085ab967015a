/** `berth consumers`: the readers of the event log whose places the daemon keeps. */
import { DateTime, Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { ConsumerName } from "../../schema/Ids.ts"
import { Events } from "../../services/Events.ts"
import { each } from "../Each.ts"
import { connected, wantsJson } from "../Globals.ts"
import { line, Output } from "../Output.ts"
import * as Json from "../output/Json.ts"
import { render } from "../output/Table.ts"
import { ago } from "../output/Time.ts"

const ls = Command.make("ls", {}, () =>
  connected(
    Effect.gen(function* () {
      const consumers = yield* (yield* Events).consumers
      const output = yield* Output
      if (yield* wantsJson) return yield* output.write(Json.document(consumers.map((one) => Json.consumer(one))))
      const now = yield* DateTime.now
      const rows = consumers.map(({ name, seq, updatedAt }) => [name, `${seq}`, ago(updatedAt, now)])
      yield* output.write(render(["NAME", "DONE UP TO", "SINCE"], rows, output.colors))
    })
  )
).pipe(
  Command.withAlias("list"),
  Command.withDescription("List the readers of the event log, with the last event that each is done with"),
  Command.withExamples([{ command: "berth consumers ls" }])
)

const rm = Command.make(
  "rm",
  {
    names: Argument.String("name").pipe(
      Argument.withSchema(ConsumerName),
      Argument.withDescription("The reader"),
      Argument.atLeast(1)
    )
  },
  ({ names }) =>
    connected(
      Effect.gen(function* () {
        const events = yield* Events
        const json = yield* wantsJson
        yield* each(names, (name) =>
          Effect.gen(function* () {
            yield* events.forget(name)
            yield* json ? (yield* Output).write(Json.document({ name })) : line(name)
          })
        )
      })
    )
).pipe(
  Command.withDescription("Forget how far readers are; those that come again begin anew"),
  Command.withExamples([{ command: "berth consumers rm billing" }])
)

export const consumers = Command.make("consumers").pipe(
  Command.withDescription("Readers of the event log whose places are kept"),
  Command.withSubcommands([ls, rm])
)
