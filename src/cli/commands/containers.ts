/** `berth containers`: the metadata objects alone, whatever runs or does not. */
import { DateTime, Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { Labels } from "../../schema/Container.ts"
import { Containers } from "../../services/Containers.ts"
import { each } from "../Each.ts"
import { connected, wantsJson } from "../Globals.ts"
import { keyValues } from "../KeyValues.ts"
import { line, Output } from "../Output.ts"
import * as Json from "../output/Json.ts"
import { render } from "../output/Table.ts"
import { ago } from "../output/Time.ts"
import { misuse } from "../output/Usage.ts"
import * as Params from "../Params.ts"

const labelText = (labels: Labels) =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(",")

const ls = Command.make("ls", { filters: Params.filters }, ({ filters }) =>
  connected(
    Effect.gen(function* () {
      const containers = yield* (yield* Containers).list({ filters })
      const output = yield* Output
      if (yield* wantsJson) return yield* output.write(Json.document(containers.map((one) => Json.container(one))))
      const now = yield* DateTime.now
      const rows = containers.map((one) => [one.id, one.runtime.name, ago(one.createdAt, now), labelText(one.labels)])
      yield* output.write(render(["ID", "RUNTIME", "CREATED", "LABELS"], rows, output.colors))
    })
  )
).pipe(
  Command.withAlias("list"),
  Command.withDescription("List containers"),
  Command.withExamples([{ command: "berth containers ls --filter labels.app==web" }])
)

const inspect = Command.make("inspect", { id: Params.id }, ({ id }) =>
  connected(
    Effect.gen(function* () {
      const value = Json.container(yield* (yield* Containers).get(id))
      const output = yield* Output
      yield* output.write((yield* wantsJson) ? Json.document(value) : Json.pretty(value))
    })
  )
).pipe(
  Command.withDescription("Show a container's metadata as JSON"),
  Command.withExamples([{ command: "berth containers inspect web" }])
)

const label = Command.make(
  "label",
  {
    id: Params.id,
    labels: Argument.String("key=value").pipe(Argument.atLeast(0), Argument.withDescription("Labels to set")),
    remove: Params.texts("remove", "<KEY>", "A label to take away")
  },
  ({ id, labels, remove }) =>
    Effect.gen(function* () {
      const set = yield* keyValues("containers label", "<key=value>", labels, Labels)
      if (labels.length + remove.length === 0) {
        return yield* misuse("containers label", "<key=value>", "give labels to set, or --remove KEY")
      }
      const patch = { ...Object.fromEntries(remove.map((key) => [key, null])), ...set }
      yield* connected(
        Effect.gen(function* () {
          const container = yield* (yield* Containers).update(id, { labels: patch })
          if (yield* wantsJson) return yield* (yield* Output).write(Json.document(Json.container(container)))
          yield* line(labelText(container.labels))
        })
      )
    })
).pipe(
  Command.withDescription("Set and remove labels, and print those that it has then"),
  Command.withExamples([
    { command: "berth containers label web app=shop tier=front" },
    { command: "berth containers label web --remove tier" }
  ])
)

const rm = Command.make("rm", { ids: Params.ids }, ({ ids }) =>
  connected(
    Effect.gen(function* () {
      const containers = yield* Containers
      const json = yield* wantsJson
      yield* each(ids, (id) =>
        Effect.gen(function* () {
          yield* containers.delete(id)
          yield* json ? (yield* Output).write(Json.document({ id })) : line(id)
        })
      )
    })
  )
).pipe(
  Command.withAlias("delete"),
  Command.withDescription("Delete containers that have no task"),
  Command.withExamples([{ command: "berth containers rm web" }])
)

export const containers = Command.make("containers").pipe(
  Command.withSubcommands([ls, inspect, label, rm]),
  Command.withDescription("Manage the metadata of containers")
)
