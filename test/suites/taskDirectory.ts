/** What every TaskDirectory must do, whatever is behind it. */
import { assert, it } from "@effect/vitest"
import { DateTime, Effect, Layer, Option } from "effect"
import type { HostedRecord } from "../../src/schema/Host.ts"
import { ContainerId, ExecId, Namespace, RuntimeName } from "../../src/schema/Ids.ts"
import type { ProcessRef } from "../../src/schema/Ids.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"

export const namespace = Namespace.make("test")
export const web = ContainerId.make("web")
export const init: ProcessRef = { namespace, containerId: web, execId: null }
export const exec = (id: string): ProcessRef => ({ ...init, execId: ExecId.make(id) })
export const spec = {
  ociVersion: "1.0.2",
  root: { path: "rootfs" },
  linux: { resources: { memory: { limit: 2 ** 63 } } }
}

/** A record with something in every field. */
export const record = (ref: ProcessRef, pid = 42): HostedRecord => ({
  ref,
  runtime: RuntimeName.make("crun"),
  identity: { pid, startTime: "12345", bootId: "boot" },
  started: true,
  paused: false,
  stdio: { stdin: true, log: { _tag: "file", path: "/var/log/web" } },
  logFile: null,
  exit: {
    id: ref.execId ?? ref.containerId,
    pid,
    exitStatus: 137,
    exitedAt: DateTime.makeUnsafe("2026-03-04T05:06:07.008Z"),
    oomKilled: false,
    source: "reaped"
  }
})

const create = (id: ContainerId = web) => TaskDirectory.use((folders) => folders.create(namespace, id, spec))
const prepareExec = (id: string) => TaskDirectory.use((folders) => folders.prepareExec(namespace, web, ExecId.make(id)))
const save = (record: HostedRecord) => TaskDirectory.use((folders) => folders.save(record))
const load = (ref: ProcessRef) => TaskDirectory.use((folders) => folders.load(ref))
const remove = (ref: ProcessRef) => TaskDirectory.use((folders) => folders.remove(ref))
const list = TaskDirectory.use((folders) => folders.list)
const directory = (ref: ProcessRef) => TaskDirectory.useSync((folders) => folders.directory(ref))

/** The suite over an adapter; each case gets it anew. */
export const taskDirectorySuite = (layer: Layer.Layer<TaskDirectory>): void => {
  const test = <E>(name: string, body: Effect.Effect<void, E, TaskDirectory>) =>
    it.effect(name, () => Effect.provide(body, layer))

  test(
    "knows the folders that never got a record, init before its execs",
    Effect.gen(function* () {
      const unfinished = TaskDirectory.use((folders) => folders.unfinished)
      assert.deepStrictEqual(yield* unfinished, [])
      yield* create()
      yield* prepareExec("one")
      yield* prepareExec("two")
      assert.deepStrictEqual(yield* unfinished, [init, exec("one"), exec("two")])
      yield* save(record(init))
      yield* save(record(exec("two")))
      assert.deepStrictEqual(yield* unfinished, [exec("one")])
      yield* remove(exec("one"))
      assert.deepStrictEqual(yield* unfinished, [])
    })
  )

  test(
    "keeps records as they are, and replaces them",
    Effect.gen(function* () {
      yield* create()
      yield* prepareExec("one")
      assert.isTrue(Option.isNone(yield* load(init)))
      yield* save(record(init))
      yield* save(record(exec("one")))
      yield* save(record(init, 43))
      assert.deepStrictEqual(yield* load(init), Option.some(record(init, 43)))
      assert.deepStrictEqual(yield* load(exec("one")), Option.some(record(exec("one"))))
      assert.isTrue(Option.isNone(yield* load(exec("two"))))
    })
  )

  test(
    "gives a task its folder once, until it is removed",
    Effect.gen(function* () {
      const bundle = yield* create()
      assert.strictEqual(bundle, yield* directory(init))
      const error = yield* Effect.flip(create())
      assert.deepInclude(error, { _tag: "AlreadyExists", kind: "task", id: "web" })
      yield* save(record(init))
      yield* remove(init)
      assert.isTrue(Option.isNone(yield* load(init)))
      assert.strictEqual(yield* create(), bundle)
      assert.isTrue(Option.isNone(yield* load(init)))
    })
  )

  test(
    "gives an exec its folder once, in a task that has one",
    Effect.gen(function* () {
      assert.deepInclude(yield* Effect.flip(prepareExec("one")), { _tag: "NotFound", kind: "task", id: "web" })
      yield* create()
      const folder = yield* prepareExec("one")
      assert.strictEqual(folder, yield* directory(exec("one")))
      assert.notStrictEqual(yield* prepareExec("two"), folder)
      assert.deepInclude(yield* Effect.flip(prepareExec("one")), { _tag: "AlreadyExists", kind: "exec", id: "one" })
      yield* save(record(exec("one")))
      yield* remove(exec("one"))
      assert.isTrue(Option.isNone(yield* load(exec("one"))))
      assert.strictEqual(yield* prepareExec("one"), folder)
    })
  )

  test(
    "lists every record, init before its execs, and nothing without one",
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* list, [])
      const other = ContainerId.make("web-2")
      for (const id of [other, web, ContainerId.make("empty")]) yield* create(id)
      for (const id of ["b", "a", "empty"]) yield* prepareExec(id)
      const otherInit: ProcessRef = { ...init, containerId: other }
      for (const ref of [exec("b"), init, otherInit, exec("a")]) yield* save(record(ref))
      const refs = (yield* list).map(({ ref }) => ref)
      assert.sameDeepMembers(refs, [init, exec("a"), exec("b"), otherInit])
      const initAt = refs.findIndex((ref) => ref.containerId === web && ref.execId === null)
      const execAt = refs.findIndex((ref) => ref.execId !== null)
      assert.isBelow(initAt, execAt)
    })
  )

  test(
    "removes a task with its execs and leaves others",
    Effect.gen(function* () {
      const other = ContainerId.make("web.2")
      const otherInit: ProcessRef = { ...init, containerId: other }
      yield* create()
      yield* create(other)
      yield* prepareExec("one")
      for (const ref of [init, exec("one"), otherInit]) yield* save(record(ref))
      yield* remove(init)
      yield* remove(init)
      yield* remove(exec("one"))
      assert.deepStrictEqual(yield* list, [record(otherInit)])
    })
  )

  test(
    "never brings a folder back to save a record",
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(save(record(init))))._tag, "Unavailable")
      yield* create()
      assert.strictEqual((yield* Effect.flip(save(record(exec("one")))))._tag, "Unavailable")
      assert.deepStrictEqual(yield* list, [])
    })
  )
}
