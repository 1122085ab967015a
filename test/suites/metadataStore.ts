/** What every metadata store must do. `layer` makes a fresh one each time it is built. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Fiber, Option, Schema } from "effect"
import type { Layer } from "effect"
import { Container } from "../../src/schema/Container.ts"
import { OciSpec } from "../../src/schema/OciSpec.ts"
import { ContainerId, ExecId } from "../../src/schema/Ids.ts"
import { ProcessRecord, TaskRecord } from "../../src/schema/TaskState.ts"
import { Change, MetadataStore } from "../../src/services/MetadataStore.ts"
import type { StoreFailure } from "../../src/services/MetadataStore.ts"
import { defaultRetention } from "../../src/services/StoreRules.ts"
import type { Retention } from "../../src/services/StoreRules.ts"
import { metadataEvents, seqs } from "./metadataEvents.ts"
import { plainKeys } from "../support/plainKeys.ts"
import { containerOf, exitEvent, namespaceOf, processOf, startEvent, taskOf, taskStates } from "../support/records.ts"

const ns = namespaceOf()
const id = ContainerId.make
const insert = (name: string, namespace?: string) => Change.InsertContainer({ container: containerOf(name, namespace) })
const insertTask = (name: string) => Change.InsertTask({ record: taskOf(name) })
const insertProcess = (container: string, name: string) => Change.InsertProcess({ record: processOf(container, name) })

/** Containers with specifications to generate: one that passes unlooked at has no generator of its own. */
const generated = Schema.Struct({ ...Container.fields, spec: OciSpec })

export const metadataStoreSuite = (
  name: string,
  layer: (retention: Retention) => Layer.Layer<MetadataStore, StoreFailure>
) =>
  describe(name, () => {
    const run = <A, E>(body: Effect.Effect<A, E, MetadataStore>, retention: Partial<Retention> = {}) =>
      Effect.provide(body, layer({ ...defaultRetention, ...retention }))

    describe("containers", () => {
      it.effect("are kept, listed by id, and apart by namespace", () =>
        run(
          Effect.gen(function* () {
            const store = yield* MetadataStore
            yield* store.commit([insert("web"), insert("db"), insert("web", "other"), insert("a-z"), insert("a.z")], [])
            assert.deepStrictEqual(
              (yield* store.containers(ns)).map(({ id }) => String(id)),
              ["a-z", "a.z", "db", "web"]
            )
            assert.deepStrictEqual(yield* store.containers(namespaceOf("other")), [containerOf("web", "other")])
            assert.deepStrictEqual(yield* store.containers(namespaceOf("none")), [])
            assert.deepStrictEqual(yield* store.container(ns, id("web")), Option.some(containerOf("web")))
            assert.deepStrictEqual(yield* store.container(ns, id("nope")), Option.none())
          })
        )
      )

      it.effect("are replaced by Put, which needs that one, and not the next of the id", () =>
        run(
          Effect.gen(function* () {
            const store = yield* MetadataStore
            const labelled = containerOf("web", "default", { "a/b.c": "d", 'quo"te': "\u0000\ud800é" })
            yield* store.commit([insert("web"), insert("db"), Change.PutContainer({ container: labelled })], [])
            assert.deepStrictEqual(yield* store.container(ns, id("web")), Option.some(labelled))
            assert.deepStrictEqual(yield* store.container(ns, id("db")), Option.some(containerOf("db")))
            const missing = Change.PutContainer({ container: containerOf("web", "other") })
            assert.deepInclude(yield* Effect.flip(store.commit([missing], [])), {
              _tag: "NotFound",
              kind: "container",
              id: "web"
            })
            const earlier = DateTime.subtract(labelled.createdAt, { seconds: 1 })
            const former = Change.PutContainer({ container: { ...labelled, createdAt: earlier } })
            assert.strictEqual((yield* Effect.flip(store.commit([former], [])))._tag, "NotFound")
            assert.deepStrictEqual(yield* store.container(ns, id("web")), Option.some(labelled))
          })
        )
      )

      it.effect("are not inserted twice, and not deleted twice", () =>
        run(
          Effect.gen(function* () {
            const store = yield* MetadataStore
            yield* store.commit([insert("web"), insert("web", "other")], [])
            const taken = yield* Effect.flip(store.commit([insert("web")], []))
            assert.deepInclude(taken, { _tag: "AlreadyExists", kind: "container", id: "web" })
            const remove = Change.DeleteContainer({ namespace: ns, id: id("web") })
            yield* store.commit([remove], [])
            assert.deepInclude(yield* Effect.flip(store.commit([remove], [])), { _tag: "NotFound", kind: "container" })
            assert.deepStrictEqual(yield* store.containers(ns), [])
            assert.strictEqual((yield* store.containers(namespaceOf("other"))).length, 1)
          })
        )
      )

      it.effect("are not deleted while they have a task, whose status is told", () =>
        run(
          Effect.gen(function* () {
            const store = yield* MetadataStore
            const remove = Change.DeleteContainer({ namespace: ns, id: id("web") })
            yield* store.commit([insert("web"), insertTask("web")], [])
            for (const [state, found] of [
              [taskStates.Creating, "created"],
              [taskStates.Running, "running"],
              [taskStates.Resuming, "paused"],
              [taskStates.Stopped, "stopped"]
            ] as const) {
              yield* store.commit([Change.PutTask({ record: taskOf("web", state) })], [])
              const refused = yield* Effect.flip(store.commit([remove], []))
              assert.deepInclude(refused, {
                _tag: "FailedPrecondition",
                operation: 'delete container "web" with its task',
                found
              })
              assert.deepStrictEqual(refused._tag === "FailedPrecondition" && refused.allowed, [])
            }
            assert.isTrue(Option.isSome(yield* store.container(ns, id("web"))))
            yield* store.commit([Change.DeleteTask({ namespace: ns, id: id("web") }), remove], [])
            assert.deepStrictEqual(yield* store.containers(ns), [])
          })
        )
      )
    })

    describe("tasks and processes", () => {
      it.effect("need what they belong to, and are there once", () =>
        run(
          Effect.gen(function* () {
            const store = yield* MetadataStore
            const refused = (change: Change) => Effect.flip(store.commit([change], []))
            assert.deepInclude(yield* refused(insertTask("web")), { _tag: "NotFound", kind: "container", id: "web" })
            yield* store.commit([insert("web")], [])
            const put = Change.PutTask({ record: taskOf("web") })
            assert.deepInclude(yield* refused(put), { _tag: "NotFound", kind: "task", id: "web" })
            assert.deepInclude(yield* refused(insertProcess("web", "sh")), {
              _tag: "NotFound",
              kind: "task",
              id: "web"
            })
            const putProcess = Change.PutProcess({ record: processOf("web", "sh") })
            assert.deepInclude(yield* refused(putProcess), { _tag: "NotFound", kind: "exec", id: "sh" })
            yield* store.commit([insertTask("web")], [])
            assert.deepInclude(yield* refused(insertTask("web")), { _tag: "AlreadyExists", kind: "task", id: "web" })
            assert.deepInclude(yield* refused(putProcess), { _tag: "NotFound", kind: "exec", id: "sh" })
            yield* store.commit([insertProcess("web", "sh")], [])
            const twice = yield* refused(insertProcess("web", "sh"))
            assert.deepInclude(twice, { _tag: "AlreadyExists", kind: "exec", id: "sh" })
          })
        )
      )

      it.effect("are read one by one, and all of every namespace in order", () =>
        run(
          Effect.gen(function* () {
            const store = yield* MetadataStore
            const running = processOf("b", "y", {
              _tag: "Running",
              identity: { pid: 1, startTime: "1", bootId: "x" },
              startedAt: taskOf("b").createdAt
            })
            yield* store.commit(
              [
                ...["b", "a"].flatMap((name) => [insert(name), insertTask(name)]),
                insert("c", "default.more"),
                Change.InsertTask({ record: taskOf("c", taskStates.Paused, "default.more") }),
                insertProcess("b", "z"),
                insertProcess("b", "y"),
                Change.PutProcess({ record: running })
              ],
              []
            )
            const both = { task: taskOf("b"), processes: [running, processOf("b", "z")] }
            assert.deepStrictEqual(yield* store.task(ns, id("b")), Option.some(both))
            assert.deepStrictEqual(yield* store.task(namespaceOf("default.more"), id("b")), Option.none())
            assert.deepStrictEqual(yield* store.tasks, [
              { task: taskOf("a"), processes: [] },
              both,
              { task: taskOf("c", taskStates.Paused, "default.more"), processes: [] }
            ])
          })
        )
      )

      it.effect("a task takes its processes with it", () =>
        run(
          Effect.gen(function* () {
            const store = yield* MetadataStore
            const removeTask = Change.DeleteTask({ namespace: ns, id: id("web") })
            const remove = (exec: string) =>
              Change.DeleteProcess({ namespace: ns, containerId: id("web"), id: ExecId.make(exec) })
            yield* store.commit(
              [insert("web"), insertTask("web"), insertProcess("web", "a"), insertProcess("web", "b")],
              []
            )
            yield* store.commit([remove("a"), remove("a"), remove("none")], [])
            const left = yield* store.task(ns, id("web"))
            assert.deepStrictEqual(
              Option.map(left, ({ processes }) => processes.map(({ id }) => String(id))),
              Option.some(["b"])
            )
            yield* store.commit([removeTask, removeTask, remove("b"), insertTask("web")], [])
            assert.deepStrictEqual(yield* store.tasks, [{ task: taskOf("web"), processes: [] }])
          })
        )
      )
    })

    describe("records", () => {
      const same = (left: unknown, right: unknown) => assert.deepStrictEqual(plain(left), plain(right))
      /** JSON knows no negative zero. */
      const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

      it.effect.prop(
        "come back as they were",
        { container: generated, task: TaskRecord, process: ProcessRecord },
        (random) =>
          run(
            Effect.gen(function* () {
              const store = yield* MetadataStore
              plainKeys(random)
              const { container } = random
              const task = { ...random.task, namespace: container.namespace, id: container.id }
              const process = { ...random.process, namespace: container.namespace, containerId: container.id }
              yield* store.commit(
                [
                  Change.InsertContainer({ container }),
                  Change.InsertTask({ record: task }),
                  Change.InsertProcess({ record: process })
                ],
                []
              )
              same((yield* store.containers(container.namespace))[0], container)
              same(yield* store.tasks, [{ task, processes: [process] }])
            })
          ),
        // Labels and log targets have checks over several fields, so nine in ten of the drawn records are no records.
        { arbitrary: { runs: 50, maxDiscards: 10_000 } }
      )
    })

    describe("commits", () => {
      it.effect("are taken whole or not at all", () =>
        run(
          Effect.gen(function* () {
            const store = yield* MetadataStore
            yield* store.commit([insert("web")], [startEvent("web")])
            yield* Effect.flip(store.commit([insert("db"), insertTask("db"), insertTask("none")], [startEvent("db")]))
            assert.deepStrictEqual(
              (yield* store.containers(ns)).map(({ id }) => String(id)),
              ["web"]
            )
            assert.deepStrictEqual(yield* store.tasks, [])
            yield* store.commit([], [startEvent("web")])
            assert.deepStrictEqual(yield* seqs, [1, 2])
          })
        )
      )

      it.effect("apply their changes in order", () =>
        run(
          Effect.gen(function* () {
            const store = yield* MetadataStore
            const remove = [
              Change.DeleteTask({ namespace: ns, id: id("web") }),
              Change.DeleteContainer({ namespace: ns, id: id("web") })
            ]
            yield* store.commit([insert("web"), insertTask("web"), ...remove, insert("web")], [])
            assert.deepStrictEqual(yield* store.containers(ns), [containerOf("web")])
            yield* Effect.flip(store.commit([insertTask("web"), ...remove.toReversed()], []))
            assert.deepStrictEqual(yield* store.tasks, [])
          })
        )
      )

      it.effect("may come all at once", () =>
        run(
          Effect.gen(function* () {
            const store = yield* MetadataStore
            const names = Array.from({ length: 50 }, (_, index) => `c${index}`)
            const events = yield* Effect.forEach(
              names,
              (name) => store.commit([insert(name)], [startEvent(name), exitEvent(name)]),
              { concurrency: "unbounded" }
            )
            assert.strictEqual((yield* store.containers(ns)).length, 50)
            assert.deepStrictEqual(
              yield* seqs,
              Array.from({ length: 100 }, (_, index) => index + 1)
            )
            for (const [start, exit] of events) assert.strictEqual(exit?.seq, (start?.seq ?? 0) + 1)
          })
        )
      )

      it.effect("leave nothing half done where they are interrupted", () =>
        run(
          Effect.gen(function* () {
            const store = yield* MetadataStore
            const fibers = yield* Effect.forEach(
              Array.from({ length: 40 }, (_, index) => index),
              (index) =>
                Effect.forkChild(
                  store.commit([insert(`c${index}`), insertTask(`c${index}`)], [startEvent(`c${index}`)])
                )
            )
            for (let index = 0; index < 5; index++) yield* Effect.yieldNow
            yield* Fiber.interruptAll(fibers)
            const containers = (yield* store.containers(ns)).map(({ id }) => id)
            assert.deepStrictEqual(
              (yield* store.tasks).map(({ task }) => task.id),
              containers
            )
            assert.deepStrictEqual(
              yield* seqs,
              containers.map((_, index) => index + 1)
            )
            yield* store.commit([insert("after")], [])
          })
        )
      )
    })

    metadataEvents(run)
  })
