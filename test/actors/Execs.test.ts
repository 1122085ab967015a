/** An exec and its log: neither is left where the other is not. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import * as Berth from "../../src/actors/Berth.ts"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ExecId } from "../../src/schema/Ids.ts"
import type { ProcessRef } from "../../src/schema/Ids.ts"
import { OutputLog } from "../../src/services/OutputLog.ts"
import { Tasks } from "../../src/services/Tasks.ts"
import { atOnce, failure } from "../support/atOnce.ts"
import { createdOf, ground, runningOf } from "../support/pretended.ts"

const quiet = Layer.provide(Logger.layer([]))
const forever = ["sleep", "inf"]
const job = ExecId.make("job")
const process = { args: forever, cwd: "/" }

type Given = Layer.Success<typeof Berth.layer> | MockWorld

/** A body that is given the logs of execs that were prepared and not removed. */
const withLogs = <E>(body: (logs: Effect.Effect<ReadonlyArray<string>>) => Effect.Effect<void, E, Given>) => {
  const made = new Set<string>()
  const counted = Layer.effect(
    OutputLog,
    Effect.map(OutputLog, (inner) => {
      const note = ({ execId }: ProcessRef, apply: (id: string) => void) =>
        Effect.sync(() => (execId === null ? undefined : apply(execId)))
      return OutputLog.of({
        ...inner,
        prepare: (ref) =>
          Effect.tap(
            inner.prepare(ref),
            note(ref, (id) => void made.add(id))
          ),
        remove: (ref) =>
          Effect.tap(
            inner.remove(ref),
            note(ref, (id) => void made.delete(id))
          )
      })
    })
  ).pipe(Layer.provideMerge(ground()))
  const logs = Effect.sync(() => Array.from(made).toSorted())
  return body(logs).pipe(Effect.provide(Berth.layer.pipe(Layer.provideMerge(counted), quiet)))
}

describe("the log of an exec", () => {
  it.effect("goes with an exec that could not be started, or never was", () =>
    withLogs((logs) =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* runningOf("web", forever)
        yield* tasks.exec({ id, execId: job, process })
        yield* (yield* MockWorld).failNext("exec", failed("exec", "no such program"))
        assert.match(yield* failure(tasks.startExec({ id, execId: job })), /^RuntimeFailed/)
        assert.deepStrictEqual(yield* logs, ["job"])
        assert.isNull(yield* atOnce("delete", tasks.deleteExec({ id, execId: job })))
        assert.deepStrictEqual(yield* logs, [])
        yield* tasks.exec({ id, execId: job, process })
        assert.deepStrictEqual(yield* logs, ["job"])
        assert.isNull(yield* atOnce("delete", tasks.deleteExec({ id, execId: job, force: true })))
        assert.deepStrictEqual([yield* logs, yield* tasks.processes(id)], [[], []])
      })
    )
  )

  it.effect("is not left where the exec is refused", () =>
    withLogs((logs) =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* runningOf("web", forever)
        yield* tasks.pause(id)
        assert.match(
          yield* failure(tasks.exec({ id, execId: job, process })),
          /^FailedPrecondition.*"web".*it is paused/
        )
        assert.deepStrictEqual(yield* logs, [])
      })
    )
  )

  it.effect("stays with its exec where a second one of that id is refused, by the id of the exec", () =>
    withLogs((logs) =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* createdOf("web", forever)
        yield* tasks.exec({ id, execId: job, process })
        const error = yield* Effect.flip(tasks.exec({ id, execId: job, process }))
        assert.deepInclude(error, { _tag: "AlreadyExists", kind: "exec", id: "job" })
        assert.deepStrictEqual(yield* logs, ["job"])
      })
    )
  )
})
