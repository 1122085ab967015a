/** The sizes of terminals on the pretended machine: the last one asked for wins, whenever that was. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import * as LocalHost from "../../src/host/LocalHost.ts"
import { MockWorld } from "../../src/layers/mock/MockWorld.ts"
import { ExecId, RuntimeName } from "../../src/schema/Ids.ts"
import type { OciProcess } from "../../src/schema/OciSpec.ts"
import { defaultStdio } from "../../src/schema/Process.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { ProcessIo } from "../../src/services/ProcessIo.ts"
import { processOf, refOf } from "../layers/mock/support.ts"
import { settled } from "../support/atOnce.ts"
import { machine } from "../support/pretended.ts"

const layer = LocalHost.layer.pipe(
  Layer.provideMerge(machine({ capabilities: ["isolation", "exec", "pause", "terminal"] }))
)
const io = { stdio: defaultStdio, logFile: "/memory/log" }
const web = refOf("web")
const job = refOf("web", "job")
const forever = processOf(["sleep", "inf"])
const withTerminal = (consoleSize?: OciProcess["consoleSize"]): OciProcess => ({
  ...forever,
  terminal: true,
  ...(consoleSize === undefined ? {} : { consoleSize })
})

const create = (process: OciProcess) =>
  Effect.flatMap(ProcessHost, (host) =>
    host.create({ ...web, runtime: RuntimeName.make("auto"), spec: { ociVersion: "1.0.2", process }, ...io })
  )
const running = (process: OciProcess) =>
  Effect.andThen(
    create(process),
    Effect.flatMap(ProcessHost, (host) => host.start(web))
  )
const exec = (process: OciProcess) =>
  Effect.flatMap(ProcessHost, (host) => host.exec({ ...web, execId: ExecId.make("job"), process, ...io }))
const resize = (ref: typeof web, width: number, height: number) =>
  Effect.flatMap(ProcessHost, (host) => host.resize({ ref, width, height }))
const sizeOf = (ref: typeof web) => Effect.flatMap(MockWorld, (world) => world.terminalSize(ref))

const test = (name: string, body: Effect.Effect<void, unknown, Layer.Success<typeof layer>>) =>
  it.effect(name, () => Effect.provide(body, layer))

describe("the size of a terminal", () => {
  test(
    "is that of the specification, until somebody asks for another",
    Effect.gen(function* () {
      yield* create(withTerminal({ width: 90, height: 30 }))
      assert.deepStrictEqual(yield* sizeOf(web), { width: 90, height: 30 })
      yield* resize(web, 91, 31)
      yield* (yield* ProcessHost).start(web)
      assert.deepStrictEqual(yield* sizeOf(web), { width: 91, height: 31 })
      yield* resize(web, 92, 32)
      assert.deepStrictEqual(yield* sizeOf(web), { width: 92, height: 32 })
    })
  )

  test(
    "is none where the specification asks for none, or for one that no terminal can have",
    Effect.gen(function* () {
      yield* running(withTerminal())
      assert.isNull(yield* sizeOf(web))
      for (const [width, height] of [
        [0, 24],
        [80, 65_536],
        [-1, -1]
      ] as const) {
        yield* exec(withTerminal({ width, height }))
        assert.isNull(yield* sizeOf(job))
        yield* (yield* ProcessHost).deleteExec(job)
      }
    })
  )

  test(
    "may be asked for while its process is being made",
    Effect.gen(function* () {
      const world = yield* MockWorld
      yield* world.hang("create")
      const creating = yield* Effect.forkChild(create(withTerminal({ width: 1, height: 1 })))
      yield* settled
      yield* resize(web, 80, 24)
      yield* resize(web, 81, 25)
      yield* world.release("create")
      yield* Fiber.join(creating)
      assert.deepStrictEqual(yield* sizeOf(web), { width: 81, height: 25 })
    })
  )

  test(
    "may be asked for before anybody opened it",
    Effect.gen(function* () {
      const world = yield* MockWorld
      yield* world.hang("open")
      const creating = yield* Effect.forkChild(create(withTerminal({ width: 1, height: 1 })))
      yield* settled
      yield* resize(web, 80, 24)
      yield* world.release("open")
      yield* Fiber.join(creating)
      yield* (yield* ProcessHost).start(web)
      yield* resize(job, 40, 12)
      yield* resize(job, 41, 13)
      yield* exec(withTerminal({ width: 1, height: 1 }))
      assert.deepStrictEqual(yield* sizeOf(job), { width: 41, height: 13 })
    })
  )

  test(
    "is forgotten with the process that it was for",
    Effect.gen(function* () {
      const host = yield* ProcessHost
      yield* running(withTerminal())
      yield* resize(job, 40, 12)
      yield* host.deleteExec(job)
      yield* exec(withTerminal())
      assert.isNull(yield* sizeOf(job))
      yield* host.deleteExec(job)
      yield* resize(job, 40, 12)
      yield* host.delete(web)
      yield* running(withTerminal())
      yield* exec(withTerminal())
      assert.isNull(yield* sizeOf(job))
    })
  )

  test(
    "means nothing to a process without one, or one that has ended",
    Effect.gen(function* () {
      yield* running(forever)
      yield* resize(web, 80, 24)
      assert.isNull(yield* sizeOf(web))
      yield* (yield* ProcessHost).signal({ ref: web, signal: 9, all: false })
      yield* settled
      yield* resize(web, 80, 24)
    })
  )

  test(
    "of nobody is NotFound",
    Effect.gen(function* () {
      const error = yield* Effect.flip(resize(web, 80, 24))
      assert.deepStrictEqual([error._tag, error.message], ["NotFound", 'task "web" not found'])
    })
  )
})

describe("a terminal", () => {
  test(
    "is one for the next host too",
    Effect.gen(function* () {
      const opened: Array<unknown> = []
      const inner = yield* ProcessIo
      const spy = Layer.succeed(
        ProcessIo,
        ProcessIo.of({ open: (request) => Effect.suspend(() => (opened.push(request.terminal), inner.open(request))) })
      )
      yield* running(withTerminal())
      yield* Effect.scoped(Layer.build(Layer.fresh(LocalHost.layer).pipe(Layer.provide(spy))))
      assert.deepStrictEqual(opened, [true])
    })
  )
})
