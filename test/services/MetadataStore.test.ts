import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Exit, Layer, Schema } from "effect"
import { layer as sqliteLayer } from "../../src/layers/store/SqliteStore.ts"
import { ConsumerName, ContainerId, ExecId, Namespace, Seq } from "../../src/schema/Ids.ts"
import { layerWith } from "../../src/services/MemoryStore.ts"
import { Change, MetadataStore } from "../../src/services/MetadataStore.ts"
import { defaultRetention } from "../../src/services/StoreRules.ts"
import { metadataStoreSuite } from "../suites/metadataStore.ts"
import { containerOf, exitEvent, processOf, startEvent, taskOf, taskStates } from "../support/records.ts"

metadataStoreSuite("MemoryStore", layerWith)
metadataStoreSuite("SqliteStore", (retention) => sqliteLayer({ filename: ":memory:", ...retention }))

const kinds = [
  "InsertContainer",
  "PutContainer",
  "DeleteContainer",
  "InsertTask",
  "PutTask",
  "DeleteTask",
  "InsertProcess",
  "PutProcess",
  "DeleteProcess",
  "PutConsumer",
  "DeleteConsumer"
] as const
const states = ["Creating", "Running", "Paused", "Stopped", "Deleting"] as const

/** Few names, so that changes meet each other. `b/c` comes before `b.x/c` as text, but its namespace does not. */
const Step = Schema.Struct({
  kind: Schema.Literals(kinds),
  namespace: Schema.Literals(["b", "b.x"]),
  id: Schema.Literals(["c", "d"]),
  exec: Schema.Literals(["e", "f"]),
  state: Schema.Literals(states),
  event: Schema.Literals(["none", "start", "exit"])
})
type Step = typeof Step.Type

const changeOf = ({ kind, namespace, id, exec, state }: Step): Change => {
  const at = { namespace: Namespace.make(namespace), id: ContainerId.make(id) }
  switch (kind) {
    case "InsertContainer":
    case "PutContainer":
      return Change[kind]({ container: containerOf(id, namespace, { state }) })
    case "InsertTask":
    case "PutTask":
      return Change[kind]({ record: taskOf(id, taskStates[state], namespace) })
    case "InsertProcess":
    case "PutProcess":
      return Change[kind]({ record: processOf(id, exec, { _tag: "Created" }, namespace) })
    case "DeleteContainer":
    case "DeleteTask":
      return Change[kind](at)
    case "DeleteProcess":
      return Change.DeleteProcess({ ...at, containerId: at.id, id: ExecId.make(exec) })
    case "PutConsumer": {
      const seq = Seq.make(states.indexOf(state))
      const consumer = { name: ConsumerName.make(exec), seq, updatedAt: DateTime.makeUnsafe(seq) }
      return Change.PutConsumer({ namespace: at.namespace, consumer })
    }
    case "DeleteConsumer":
      return Change.DeleteConsumer({ namespace: at.namespace, name: ConsumerName.make(exec) })
  }
}

/** Everything that can be seen of a store after these commits. */
const observe = (commits: ReadonlyArray<ReadonlyArray<Step>>) =>
  Effect.gen(function* () {
    const store = yield* MetadataStore
    const outcomes = yield* Effect.forEach(commits, (steps) =>
      Effect.exit(
        store.commit(
          steps.map(changeOf),
          steps.flatMap(({ event, id, namespace }) =>
            event === "none" ? [] : [event === "start" ? startEvent(id, 1, namespace) : exitEvent(id, null, namespace)]
          )
        )
      )
    )
    return {
      outcomes: outcomes.map((outcome) => (Exit.isSuccess(outcome) ? outcome.value : outcome.cause.reasons)),
      containers: yield* Effect.forEach(["b", "b.x"], (name) => store.containers(Namespace.make(name))),
      tasks: yield* store.tasks,
      consumers: yield* Effect.forEach(["b", "b.x"], (name) => store.consumers(Namespace.make(name))),
      events: yield* store.events(Seq.make(0), 1_000),
      bounds: yield* store.bounds
    }
  })

describe("the two stores", () => {
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
  it.effect.prop(
    "cannot be told apart",
    [
      Schema.Array(Schema.Array(Step).check(Schema.isMaxLength(4))).check(
        Schema.isMinLength(10),
        Schema.isMaxLength(60)
      )
    ],
    ([commits]) =>
      Effect.gen(function* () {
        const retention = { ...defaultRetention, maxEvents: 1_000 }
        const memory = yield* Effect.provide(observe(commits), Layer.fresh(layerWith(retention)))
        const sqlite = yield* Effect.provide(observe(commits), Layer.fresh(sqliteLayer({ filename: ":memory:" })))
        assert.deepStrictEqual(plain(sqlite), plain(memory))
      }),
    { arbitrary: { runs: 100 } }
  )
})
