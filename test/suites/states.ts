/**
 * Every operation in every state, with what containerd 2.x answers and what berth answers. Where the two differ, the cell names the difference, which is argued in
 * docs/decisions/0025-differences-from-containerd.md. A difference that is not listed fails, and so does one that is listed and is none.
 */
import { assert, layer as suiteLayer } from "@effect/vitest"
import { Effect, Result } from "effect"
import type { Scope } from "effect"
import { readFileSync } from "node:fs"
import type { BerthError, ContainerId, System } from "../../src/index.ts"
import { Containers, Events, ExecId, ProcessSpec, Tasks } from "../../src/index.ts"
import { container, created, freshId, running } from "../support/container.ts"
import { untilDone } from "../support/testTime.ts"
import type { Place } from "./berth.ts"

type Services = Containers | Tasks | Events | System
type State = "created" | "running" | "paused" | "stopped" | "deleted"

/** What containerd answers; then, where berth answers something else, that and the name of the difference. */
type Cell = string | readonly [containerd: string, berth: string, difference: string]

interface Row {
  /** Of the reference table: S1 to S14 are init's, S20 to S25 an exec's. */
  readonly name: string
  readonly run: (id: ContainerId) => Effect.Effect<string, BerthError, Services>
  readonly cells: Readonly<Record<State, Cell>>
}

const job = ExecId.make("job")
const forever = ["/bin/sleep", "1000"]
const gone = (containerd: string): Cell => [containerd, "NotFound", "deleted-is-gone"]
const typed: Cell = ["Unknown", "FailedPrecondition", "typed-states"]
const tasks = <A>(use: (tasks: Tasks["Service"]) => Effect.Effect<A, BerthError>) => Effect.flatMap(Tasks, use)
const ok = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.as(effect, "ok")
const status = (id: ContainerId) => tasks((tasks) => Effect.map(tasks.get(id), ({ status }) => status))
const size = { width: 80, height: 24 }

/** Registers the exec of the container. */
const registered = Effect.fnUntraced(function* (id: ContainerId, ...args: ReadonlyArray<string>) {
  const { spec } = yield* (yield* Containers).get(id)
  const process = Result.getOrThrow(ProcessSpec.makeProcess(spec, { args }))
  return yield* (yield* Tasks).exec({ id, execId: job, process })
})

const inits: ReadonlyArray<Row> = [
  {
    name: "S1 start",
    run: (id) => tasks((tasks) => Effect.map(tasks.start(id), ({ status }) => status)),
    cells: { created: "running", running: typed, paused: typed, stopped: typed, deleted: gone("Unknown") }
  },
  {
    name: "S2 delete",
    run: (id) => ok(tasks((tasks) => tasks.delete({ id }))),
    cells: { created: "ok", running: typed, paused: typed, stopped: "ok", deleted: "NotFound" }
  },
  {
    name: "S3 kill",
    run: (id) => ok(tasks((tasks) => tasks.signal({ id, signal: 9 }))),
    cells: { created: "ok", running: "ok", paused: "ok", stopped: "NotFound", deleted: "NotFound" }
  },
  {
    name: "S3 kill all",
    run: (id) => ok(tasks((tasks) => tasks.signal({ id, signal: 9, all: true }))),
    cells: { created: "ok", running: "ok", paused: "ok", stopped: "NotFound", deleted: "NotFound" }
  },
  {
    name: "S3 kill, and what comes of it",
    run: (id) =>
      tasks((tasks) =>
        Effect.andThen(
          tasks.signal({ id, signal: 9 }),
          Effect.map(tasks.wait({ id, timeoutMillis: 5_000 }), ({ exitStatus }) => `${exitStatus}`)
        )
      ),
    cells: {
      created: "137",
      running: "137",
      paused: ["as the freezer has it", "137", "kill-thaws"],
      stopped: "NotFound",
      deleted: "NotFound"
    }
  },
  {
    name: "S4 pause",
    run: (id) => tasks((tasks) => Effect.map(tasks.pause(id), ({ status }) => status)),
    cells: { created: typed, running: "paused", paused: typed, stopped: typed, deleted: gone("Unknown") }
  },
  {
    name: "S5 resume",
    run: (id) => tasks((tasks) => Effect.map(tasks.resume(id), ({ status }) => status)),
    cells: { created: typed, running: typed, paused: "running", stopped: typed, deleted: gone("Unknown") }
  },
  {
    name: "S8 exec",
    run: (id) => Effect.map(registered(id, ...forever), ({ status }) => status),
    cells: { created: "created", running: "created", paused: typed, stopped: typed, deleted: gone("Unknown") }
  },
  {
    name: "S9 resize",
    run: (id) => ok(tasks((tasks) => tasks.resize({ id, ...size }))),
    cells: { created: "ok", running: "ok", paused: "ok", stopped: "ok", deleted: "NotFound" }
  },
  {
    name: "S11 status",
    run: status,
    cells: {
      created: "created",
      running: "running",
      paused: "paused",
      stopped: "stopped",
      deleted: gone("stopped")
    }
  },
  {
    name: "S12 close standard input",
    run: (id) => ok(tasks((tasks) => tasks.closeStdin({ id }))),
    cells: { created: "ok", running: "ok", paused: "ok", stopped: "ok", deleted: "NotFound" }
  },
  {
    name: "S13 wait",
    run: (id) => ok(tasks((tasks) => tasks.wait({ id, timeoutMillis: 30 }))),
    cells: {
      created: ["blocks", "WaitTimeout", "waits-have-a-timeout"],
      running: ["blocks", "WaitTimeout", "waits-have-a-timeout"],
      paused: ["blocks", "WaitTimeout", "waits-have-a-timeout"],
      stopped: "ok",
      deleted: "NotFound"
    }
  },
  {
    name: "S14 pids",
    run: (id) => tasks((tasks) => Effect.map(tasks.pids(id), ({ length }) => `${length}`)),
    cells: {
      created: "1",
      running: "1",
      paused: "1",
      stopped: ["as the runtime has it", "0", "no-process-is-no-error"],
      deleted: "NotFound"
    }
  },
  {
    name: "D2 create",
    run: (id) => tasks((tasks) => Effect.map(tasks.create({ id }), ({ status }) => status)),
    cells: {
      created: "AlreadyExists",
      running: "AlreadyExists",
      paused: "AlreadyExists",
      stopped: "AlreadyExists",
      deleted: "created"
    }
  },
  {
    name: "D11 delete the container",
    run: (id) => ok(Effect.flatMap(Containers, (containers) => containers.delete(id))),
    cells: {
      created: ["ok", "FailedPrecondition", "a-task-keeps-its-container"],
      running: ["ok", "FailedPrecondition", "a-task-keeps-its-container"],
      paused: ["ok", "FailedPrecondition", "a-task-keeps-its-container"],
      stopped: ["ok", "FailedPrecondition", "a-task-keeps-its-container"],
      deleted: "ok"
    }
  },
  {
    name: "S30 an exec that is not there",
    run: (id) => ok(tasks((tasks) => tasks.startExec({ id, execId: ExecId.make("nobody") }))),
    cells: { created: "NotFound", running: "NotFound", paused: "NotFound", stopped: "NotFound", deleted: "NotFound" }
  }
]

/** `paused` is an exec that runs while its task is paused. */
const execs: ReadonlyArray<Row> = [
  {
    name: "S20 start",
    run: (id) => tasks((tasks) => Effect.map(tasks.startExec({ id, execId: job }), ({ status }) => status)),
    cells: { created: "running", running: typed, paused: typed, stopped: typed, deleted: gone("Unknown") }
  },
  {
    name: "S21 delete",
    run: (id) => ok(tasks((tasks) => tasks.deleteExec({ id, execId: job }))),
    cells: { created: "ok", running: typed, paused: typed, stopped: "ok", deleted: "NotFound" }
  },
  {
    name: "S22 kill",
    run: (id) => ok(tasks((tasks) => tasks.signal({ id, execId: job, signal: 9 }))),
    cells: {
      created: "FailedPrecondition",
      running: "ok",
      paused: "ok",
      stopped: "NotFound",
      deleted: "NotFound"
    }
  },
  {
    name: "S22 kill, and what comes of it",
    run: (id) =>
      tasks((tasks) =>
        Effect.andThen(
          tasks.signal({ id, execId: job, signal: 9 }),
          Effect.map(tasks.wait({ id, execId: job, timeoutMillis: 5_000 }), ({ exitStatus }) => `${exitStatus}`)
        )
      ),
    cells: {
      created: "FailedPrecondition",
      running: "137",
      paused: ["as the freezer has it", "137", "kill-thaws"],
      stopped: "NotFound",
      deleted: "NotFound"
    }
  },
  {
    name: "S23 resize",
    run: (id) => ok(tasks((tasks) => tasks.resize({ id, execId: job, ...size }))),
    cells: {
      created: "ok",
      running: "ok",
      paused: "ok",
      stopped: ["Unknown", "ok", "no-terminal-is-no-error"],
      deleted: gone("Unknown")
    }
  },
  {
    name: "S24 status",
    run: (id) =>
      tasks((tasks) =>
        Effect.map(tasks.processes(id), ([process]) => (process === undefined ? "NotFound" : process.status))
      ),
    cells: {
      created: "created",
      running: "running",
      paused: ["paused", "running", "an-exec-has-its-own-status"],
      stopped: "stopped",
      deleted: gone("stopped")
    }
  },
  {
    name: "S25 wait",
    run: (id) => ok(tasks((tasks) => tasks.wait({ id, execId: job, timeoutMillis: 30 }))),
    cells: {
      created: ["blocks", "WaitTimeout", "waits-have-a-timeout"],
      running: ["blocks", "WaitTimeout", "waits-have-a-timeout"],
      paused: ["blocks", "WaitTimeout", "waits-have-a-timeout"],
      stopped: "ok",
      deleted: "NotFound"
    }
  },
  {
    name: "S30 the same id again",
    run: (id) => Effect.map(registered(id, ...forever), ({ status }) => status),
    cells: {
      created: "AlreadyExists",
      running: "AlreadyExists",
      paused: "AlreadyExists",
      stopped: "AlreadyExists",
      deleted: "created"
    }
  }
]

/** What no state has: answers to requests that name nothing, or processes that cannot be started. */
const others: ReadonlyArray<
  readonly [
    name: string,
    run: (rootfs: string) => Effect.Effect<string, BerthError, Services | Scope.Scope>,
    cell: Cell
  ]
> = [
  ["S30 a task that is not there", () => Effect.flatMap(freshId, status), "NotFound"],
  [
    "D1 a task of a container that is not there",
    () => ok(Effect.flatMap(freshId, (id) => tasks((tasks) => tasks.create({ id })))),
    "NotFound"
  ],
  [
    "D4 an exec without an id",
    (rootfs) => ok(Effect.flatMap(running(rootfs, forever), (id) => tasks((tasks) => tasks.startExec({ id })))),
    "InvalidArgument"
  ],
  [
    "S20 a program that is not there",
    (rootfs) =>
      Effect.gen(function* () {
        const id = yield* running(rootfs, forever)
        yield* registered(id, "/no/such/program")
        const started = yield* Effect.result(tasks((tasks) => tasks.startExec({ id, execId: job })))
        const [process] = yield* tasks((tasks) => tasks.processes(id))
        return `${Result.isSuccess(started) ? "started" : started.failure._tag}, ${process?.status}`
      }),
    ["Unknown, created", "RuntimeFailed, created", "typed-failures"]
  ],
  [
    "S30 an exec is started after the end of init",
    (rootfs) =>
      Effect.gen(function* () {
        const id = yield* running(rootfs, forever)
        yield* registered(id, ...forever)
        yield* tasks((tasks) => tasks.signal({ id, signal: 9 }))
        yield* tasks((tasks) => tasks.wait({ id }))
        return yield* ok(tasks((tasks) => tasks.startExec({ id, execId: job })))
      }),
    "FailedPrecondition"
  ],
  [
    "D2 a second create at the same moment",
    (rootfs) =>
      Effect.gen(function* () {
        const id = yield* container(rootfs, ...forever)
        const both = yield* Effect.forEach([1, 2], () => Effect.result(tasks((tasks) => tasks.create({ id }))), {
          concurrency: "unbounded"
        })
        return both
          .map((one) => (Result.isSuccess(one) ? "ok" : one.failure._tag))
          .sort()
          .join(", ")
      }),
    ["AlreadyExists or Unknown, ok", "AlreadyExists, ok", "typed-failures"]
  ]
]

/** A container whose init is in that state. */
const initIn = Effect.fnUntraced(function* (rootfs: string, state: State) {
  const { delete: remove, pause, signal, wait } = yield* Tasks
  const id = yield* state === "created" ? created(rootfs, forever) : running(rootfs, forever)
  if (state === "paused") yield* pause(id)
  if (state === "stopped") yield* Effect.andThen(signal({ id, signal: 9 }), wait({ id }))
  if (state === "deleted") yield* remove({ id, force: true })
  return id
})

/** A container with an exec in that state. */
const execIn = Effect.fnUntraced(function* (rootfs: string, state: State) {
  const { deleteExec, pause, signal, startExec, wait } = yield* Tasks
  const id = yield* running(rootfs, forever)
  yield* registered(id, ...forever)
  if (state !== "created") yield* startExec({ id, execId: job })
  if (state === "paused") yield* pause(id)
  if (state === "stopped" || state === "deleted") {
    yield* Effect.andThen(signal({ id, execId: job, signal: 9 }), wait({ id, execId: job }))
  }
  if (state === "deleted") yield* deleteExec({ id, execId: job })
  return id
})

const document = new URL("../../docs/decisions/0025-differences-from-containerd.md", import.meta.url)
/** The names in the first column of the document's table. */
const listed = () =>
  readFileSync(document, "utf8")
    .split("\n")
    .flatMap((line) => /^\| `([a-z-]+)` \|/.exec(line)?.slice(1, 2) ?? [])

const cellsOf = ({ cells }: Row) => Object.values(cells)
const used = () =>
  [...inits.flatMap(cellsOf), ...execs.flatMap(cellsOf), ...others.map(([, , cell]) => cell)].flatMap((cell) =>
    typeof cell === "string" ? [] : [cell[2]]
  )

const states: ReadonlyArray<State> = ["created", "running", "paused", "stopped", "deleted"]

export const stateSuite = (place: Place) => {
  suiteLayer(place.layer, { excludeTestServices: place.real, timeout: "60 seconds" })(`states ${place.name}`, (it) => {
    const test = (name: string, body: () => Effect.Effect<void, unknown, Services | Scope.Scope>) =>
      it.effect(name, () => (place.real ? body() : untilDone(Effect.scoped(body()))))
    const answer = <R>(run: Effect.Effect<string, BerthError, R>) =>
      Effect.map(Effect.result(run), (result) => (Result.isSuccess(result) ? result.success : result.failure._tag))
    const agrees = (actual: string, cell: Cell) => {
      if (typeof cell === "string") return assert.strictEqual(actual, cell, "a difference that is not listed")
      const [containerd, berth, difference] = cell
      assert.notStrictEqual(berth, containerd, `"${difference}" is no difference`)
      assert.strictEqual(actual, berth, `the difference "${difference}" is not as it is listed`)
    }

    for (const [kind, rows, reach] of [
      ["init", inits, initIn],
      ["exec", execs, execIn]
    ] as const) {
      for (const { cells, name, run } of rows) {
        test(`${kind}: ${name}`, () =>
          Effect.forEach(
            states,
            (state) =>
              Effect.gen(function* () {
                const id = yield* reach(place.rootfs, state)
                agrees(`${state}: ${yield* answer(run(id))}`, prefixed(state, cells[state]))
              }),
            { discard: true, concurrency: place.real ? 2 : 1 }
          ))
      }
    }
    for (const [name, run, cell] of others) {
      test(name, () =>
        Effect.gen(function* () {
          agrees(yield* answer(run(place.rootfs)), cell)
        })
      )
    }
    test("the differences are those of the document", () =>
      Effect.sync(() => assert.deepStrictEqual([...listed()].sort(), [...new Set(used())].sort())))
  })
}

const prefixed = (state: State, cell: Cell): Cell =>
  typeof cell === "string" ? `${state}: ${cell}` : [`${state}: ${cell[0]}`, `${state}: ${cell[1]}`, cell[2]]
