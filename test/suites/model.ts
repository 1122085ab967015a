/**
 * A small model of a task and its execs: what every operation must answer in every state, what is to be seen afterwards, and what the event log must tell. The
 * programs are so dull that it always knows: an init that heeds nothing but KILL, execs that die of anything. Random sequences of operations are
 * played against it; a sequence is named by its seed, which repeats it.
 */
import { assert } from "@effect/vitest"
import { Effect, Result, Schedule, Stream } from "effect"
import type { BerthError, ContainerId, Event, Exit } from "../../src/index.ts"
import { Containers, Events, ExecId, Spec, Tasks } from "../../src/index.ts"
import { freshId } from "../support/container.ts"
import { randomOf } from "../support/random.ts"

type ExecState = "created" | "running" | "stopped"

/** What there is, as far as the model is concerned. */
interface State {
  task: "none" | "created" | "running" | "paused" | "stopped"
  readonly execs: Map<string, ExecState>
  /** Topics without `/tasks/`, an exec's name behind a colon. */
  readonly told: Array<string>
}

/** What an operation answers: the tag of an error, or a word that says what matters of a success. */
type Answer = string

interface Operation {
  readonly name: string
  /** What must come of it; changes the state. */
  readonly expect: (state: State) => Answer
  readonly run: (id: ContainerId) => Effect.Effect<Answer, BerthError, Tasks>
  /** Where its outcome is the kernel's or the runtime's own business, it is not asked for. */
  readonly unless?: (state: State) => boolean
  readonly weight?: number
}

const forever = ["/bin/sleep", "1000"]
const process = { args: forever, cwd: "/", env: ["PATH=/bin"], user: { uid: 0, gid: 0 } }
const names = ["a", "b"] as const
const status = (exit: Exit | null) => (exit === null ? "null" : `${exit.exitStatus}`)
const tasks = <A>(use: (tasks: Tasks["Service"]) => Effect.Effect<A, BerthError>) => Effect.flatMap(Tasks, use)

/** Init is gone, and its execs with it: theirs is told first. */
const die = (state: State) => {
  for (const [name, exec] of state.execs) {
    if (exec !== "running") continue
    state.execs.set(name, "stopped")
    state.told.push(`exit:${name}`)
  }
  state.told.push("exit")
}
const stop = (state: State) => {
  die(state)
  state.task = "stopped"
}
const wasGone = (state: State) => {
  state.told.push("delete")
  state.task = "none"
  state.execs.clear()
}

/** The answer where it goes on only from some of the states. */
const from = (state: State, allowed: ReadonlyArray<State["task"]>, done: () => Answer): Answer =>
  state.task === "none" ? "NotFound" : allowed.includes(state.task) ? done() : "FailedPrecondition"

const onExec = (name: string, state: State, done: (exec: ExecState) => Answer): Answer => {
  const exec = state.execs.get(name)
  return state.task === "none" || exec === undefined ? "NotFound" : done(exec)
}

const inits: ReadonlyArray<Operation> = [
  {
    name: "create",
    weight: 3,
    expect: (state) => {
      if (state.task !== "none") return "AlreadyExists"
      state.task = "created"
      state.told.push("create")
      return "created"
    },
    run: (id) => tasks((tasks) => Effect.map(tasks.create({ id }), ({ status }) => status))
  },
  {
    name: "start",
    weight: 4,
    expect: (state) =>
      from(state, ["created"], () => {
        state.task = "running"
        state.told.push("start")
        return "running"
      }),
    run: (id) =>
      tasks((tasks) =>
        Effect.gen(function* () {
          const { status } = yield* tasks.start(id)
          // For a moment more init is the runtime's own program, which a signal ends.
          yield* Effect.repeat(tasks.processTable(id), {
            until: (all) => all.some(({ args }) => args[0] === forever[0]),
            schedule: Schedule.spaced("5 millis")
          })
          return status
        })
      )
  },
  {
    name: "pause",
    weight: 2,
    expect: (state) =>
      from(state, ["running"], () => {
        state.task = "paused"
        state.told.push("paused")
        return "paused"
      }),
    run: (id) => tasks((tasks) => Effect.map(tasks.pause(id), ({ status }) => status))
  },
  {
    name: "resume",
    weight: 3,
    expect: (state) =>
      from(state, ["paused"], () => {
        state.task = "running"
        state.told.push("resumed")
        return "running"
      }),
    run: (id) => tasks((tasks) => Effect.map(tasks.resume(id), ({ status }) => status))
  },
  ...[false, true].map((all): Operation => ({
    name: all ? "kill all" : "kill",
    expect: (state) => {
      if (state.task === "none" || state.task === "stopped") return "NotFound"
      stop(state)
      return "137"
    },
    run: (id) =>
      tasks((tasks) => Effect.andThen(tasks.signal({ id, signal: 9, all }), Effect.map(tasks.wait({ id }), status)))
  })),
  {
    name: "kill by pid",
    expect: (state) => {
      if (state.task === "none" || state.task === "stopped") return "NotFound"
      stop(state)
      return "137"
    },
    run: (id) =>
      tasks((tasks) =>
        Effect.gen(function* () {
          const { pid } = yield* tasks.get(id)
          yield* tasks.signal({ id, pid: pid ?? 1, signal: 9 })
          return status(yield* tasks.wait({ id }))
        })
      )
  },
  {
    name: "term",
    // What waits to be started is the runtime's own program, with manners of its own.
    unless: ({ task }) => task === "created",
    expect: ({ task }) => (task === "none" || task === "stopped" ? "NotFound" : "sent"),
    run: (id) => tasks((tasks) => Effect.as(tasks.signal({ id, signal: 15 }), "sent"))
  },
  {
    name: "term by a pid of nobody",
    expect: () => "NotFound",
    unless: ({ task }) => task === "created",
    run: (id) => tasks((tasks) => Effect.as(tasks.signal({ id, pid: 4_194_304, signal: 15 }), "sent"))
  },
  {
    name: "stop",
    unless: ({ task }) => task === "created",
    expect: (state) => {
      if (state.task === "none") return "NotFound"
      if (state.task === "stopped") return "already-stopped"
      if (state.task === "paused") state.told.push("resumed")
      stop(state)
      return "kill"
    },
    run: (id) => tasks((tasks) => Effect.map(tasks.stop({ id, timeoutMillis: 30 }), ({ stage }) => stage))
  },
  {
    name: "wait",
    expect: ({ task }) => (task === "none" ? "NotFound" : task === "stopped" ? "137" : "WaitTimeout"),
    run: (id) => tasks((tasks) => Effect.map(tasks.wait({ id, timeoutMillis: 20 }), status))
  },
  {
    name: "pids",
    expect: ({ execs, task }) => {
      if (task === "none") return "NotFound"
      const running = Array.from(execs.values()).filter((exec) => exec === "running").length
      return `${task === "stopped" ? 0 : 1 + running}`
    },
    run: (id) => tasks((tasks) => Effect.map(tasks.pids(id), ({ length }) => `${length}`))
  },
  ...[false, true].map((force): Operation => ({
    name: force ? "force delete" : "delete",
    expect: (state) => {
      if (state.task === "none") return "NotFound"
      if (!force && (state.task === "running" || state.task === "paused")) return "FailedPrecondition"
      if (state.task !== "stopped") die(state)
      wasGone(state)
      return "137"
    },
    run: (id) => tasks((tasks) => Effect.map(tasks.delete({ id, force }), status))
  }))
]

const execsOf = (name: string): ReadonlyArray<Operation> => {
  const execId = ExecId.make(name)
  const signalled = (signal: number): Operation => ({
    name: `signal ${signal} to ${name}`,
    weight: 2,
    // Whether what is frozen takes another signal before it goes on depends on the freezer.
    unless: ({ task }) => signal !== 9 && task === "paused",
    expect: (state) =>
      onExec(name, state, (exec) => {
        if (exec === "created") return "FailedPrecondition"
        if (exec === "stopped") return "NotFound"
        state.execs.set(name, "stopped")
        state.told.push(`exit:${name}`)
        return `${128 + signal}`
      }),
    run: (id) =>
      tasks((tasks) =>
        Effect.andThen(tasks.signal({ id, execId, signal }), Effect.map(tasks.wait({ id, execId }), status))
      )
  })
  return [
    {
      name: `exec ${name}`,
      weight: 3,
      expect: (state) => {
        if (state.task === "none") return "NotFound"
        if (state.execs.has(name)) return "AlreadyExists"
        if (state.task !== "created" && state.task !== "running") return "FailedPrecondition"
        state.execs.set(name, "created")
        state.told.push(`exec-added:${name}`)
        return "created"
      },
      run: (id) => tasks((tasks) => Effect.map(tasks.exec({ id, execId, process }), ({ status }) => status))
    },
    {
      name: `start ${name}`,
      weight: 4,
      expect: (state) =>
        onExec(name, state, (exec) => {
          if (exec !== "created" || state.task !== "running") return "FailedPrecondition"
          state.execs.set(name, "running")
          state.told.push(`exec-started:${name}`)
          return "running"
        }),
      run: (id) => tasks((tasks) => Effect.map(tasks.startExec({ id, execId }), ({ status }) => status))
    },
    signalled(9),
    signalled(15),
    {
      name: `wait for ${name}`,
      expect: (state) => onExec(name, state, (exec) => (exec === "stopped" ? "ended" : "WaitTimeout")),
      run: (id) => tasks((tasks) => Effect.as(tasks.wait({ id, execId, timeoutMillis: 20 }), "ended"))
    },
    ...[false, true].map((force): Operation => ({
      name: `${force ? "force " : ""}delete ${name}`,
      expect: (state) =>
        onExec(name, state, (exec) => {
          if (exec === "running" && !force) return "FailedPrecondition"
          if (exec === "running") state.told.push(`exit:${name}`)
          state.execs.delete(name)
          return exec === "created" ? "null" : "ended"
        }),
      run: (id) =>
        tasks((tasks) =>
          Effect.map(tasks.deleteExec({ id, execId, force }), (exit) => (exit === null ? "null" : "ended"))
        )
    }))
  ]
}

const operations = [...inits, ...names.flatMap(execsOf)].flatMap((operation) =>
  Array.from({ length: operation.weight ?? 1 }, () => operation)
)

/** Status of the task and of each exec, by `get`, `list` and `processes`. */
const seen = Effect.fnUntraced(function* (id: ContainerId) {
  const tasks = yield* Tasks
  const found = yield* Effect.result(tasks.get(id))
  const listed = yield* tasks.list({ filters: [`id==${id}`] })
  if (Result.isFailure(found)) return [found.failure._tag === "NotFound" ? "none" : found.failure._tag, listed.length]
  const { exitedAt, startedAt, status } = found.success
  if (exitedAt !== null && startedAt !== null) assert.isAtMost(startedAt.epochMilliseconds, exitedAt.epochMilliseconds)
  assert.deepStrictEqual(listed, [found.success])
  const execs = (yield* tasks.processes(id)).map(({ id, status }) => `${id} ${status}`)
  return [status, ...execs.sort()]
})
const expected = ({ execs, task }: State) =>
  task === "none" ? ["none", 0] : [task, ...Array.from(execs, ([name, exec]) => `${name} ${exec}`).sort()]

/** What is told of one container; exits of execs that ended with their init, in no order that anybody chose. */
const sorted = (told: ReadonlyArray<string>) => {
  const result = [...told]
  for (let start = 0; start < result.length; start++) {
    let end = start
    while (result[end]?.startsWith("exit:")) end++
    if (result[end] === "exit") result.splice(start, end - start, ...result.slice(start, end).sort())
    start = end
  }
  return result
}
const toldOf = (id: ContainerId) =>
  Effect.flatMap(Events, (events) =>
    Effect.map(Stream.runCollect(events.subscribe({ filters: [`id==${id}`] })), (all) =>
      all.flatMap(({ event, topic }: Event) =>
        topic.startsWith("/tasks/")
          ? [`${topic.slice("/tasks/".length)}${"execId" in event && event.execId !== null ? `:${event.execId}` : ""}`]
          : []
      )
    )
  )

/** Plays one sequence, and gives the states and answers that it came through. */
export const play = Effect.fnUntraced(function* (seed: number, length: number, rootfs: string) {
  const random = randomOf(seed)
  const containers = yield* Containers
  const id = yield* freshId
  const spec = Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args: forever }))
  yield* containers.create({ id, spec })
  const state: State = { task: "none", execs: new Map(), told: [] }
  const log: Array<string> = []
  const cells: Array<string> = []
  for (let count = 0; count < length; count++) {
    const operation = operations[random(operations.length)]
    if (operation === undefined || operation.unless?.(state) === true) continue
    const before = state.task
    const wanted = operation.expect(state)
    const result = yield* Effect.result(operation.run(id))
    const answer = Result.isSuccess(result) ? result.success : result.failure._tag
    log.push(`${operation.name} in ${before}: ${answer}`)
    cells.push(`${operation.name} in ${before}`)
    const story = `seed ${seed}, step ${count}\n${log.join("\n")}\n${Result.isFailure(result) ? result.failure.message : ""}`
    assert.strictEqual(answer, wanted, story)
    assert.deepStrictEqual(yield* seen(id), expected(state), story)
  }
  assert.deepStrictEqual(sorted(yield* toldOf(id)), sorted(state.told), `seed ${seed}\n${log.join("\n")}`)
  if (state.task !== "none") yield* (yield* Tasks).delete({ id, force: true })
  yield* containers.delete(id)
  return cells
})

/** Every operation in every state that the model lets it be asked for in. */
export const allCells = inits
  .concat(names.flatMap(execsOf))
  .flatMap(({ name, unless }) =>
    (["none", "created", "running", "paused", "stopped"] as const)
      .filter((task) => unless?.({ task, execs: new Map(), told: [] }) !== true)
      .map((task) => `${name} in ${task}`)
  )
