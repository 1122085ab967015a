/** What the tree adds to its machines: whose exit waits for whose, what goes to the store with each step, and that no order of inputs breaks the promises. */
import { assert, describe, it } from "@effect/vitest"
import * as ProcessMachine from "../../src/actors/ProcessMachine.ts"
import * as TaskMachine from "../../src/actors/TaskMachine.ts"
import type { Addressed, Step, Tree } from "../../src/actors/TaskTree.ts"
import { addExec, step } from "../../src/actors/TaskTree.ts"
import { ContainerId, ExecId } from "../../src/schema/Ids.ts"
import type { Exit } from "../../src/schema/Process.ts"
import type { ProcessState, TaskState } from "../../src/schema/TaskState.ts"
import { randomOf } from "../support/random.ts"
import { at, exitOf, identity, processOf, taskOf, taskStates } from "../support/records.ts"

const job = ExecId.make("job")
const other = ExecId.make("other")
const live = { identity, startedAt: at }
const running: ProcessState = { _tag: "Running", ...live }

const treeOf = (state: TaskState, execs: Readonly<Record<string, ProcessState>> = {}, autoRemove = false): Tree => ({
  task: { ...taskOf("web", state), autoRemove },
  execs: new Map(Object.entries(execs).map(([id, state]) => [ExecId.make(id), processOf("web", id, state)])),
  held: null
})

const init = (input: TaskMachine.Input): Addressed => ({ execId: null, input })
const exec = (execId: ExecId, input: ProcessMachine.Input): Addressed => ({ execId, input })
const initExited = init(TaskMachine.Report.Exited({ exit: exitOf("web", 1) }))
const execExited = (id: ExecId, status = 2) => exec(id, ProcessMachine.Report.Exited({ exit: exitOf(id, status) }))
const startDone = (id: ExecId) => exec(id, ProcessMachine.Report.StartDone({ identity, at }))

/** Events as topics, those of an exec with its id. */
const topics = ({ events }: Pick<Step, "events">) =>
  events.map(({ payload: { event, topic } }) =>
    "execId" in event && event.execId !== null ? `${topic}:${event.execId}` : topic
  )
const changes = ({ changes }: Step) => changes.map(({ _tag }) => _tag)
const orders = ({ operations }: Step) =>
  operations.map(({ execId, operation }) => `${execId ?? "init"}:${operation._tag}`)

/** All steps of a run of inputs, one after the other. */
const run = (
  tree: Tree,
  ...inputs: ReadonlyArray<Addressed>
): { readonly tree: Tree; readonly topics: ReadonlyArray<string> } => {
  let current = tree
  const all = inputs.flatMap((input) => {
    const next = step(current, input)
    current = next.tree
    return topics(next)
  })
  return { tree: current, topics: all }
}

describe("the exit of init", () => {
  it("is held while an exec lives, without a change or an event, and follows the last exec's", () => {
    const held = step(treeOf(taskStates.Running, { job: running, other: running }), initExited)
    assert.deepStrictEqual([changes(held), topics(held), held.operations], [[], [], []])
    assert.strictEqual(held.tree.task.state._tag, "Running")
    const first = step(held.tree, execExited(job))
    assert.deepStrictEqual([changes(first), topics(first)], [["PutProcess"], ["/tasks/exit:job"]])
    const last = step(first.tree, execExited(other))
    assert.deepStrictEqual(
      [changes(last), topics(last)],
      [
        ["PutProcess", "PutTask"],
        ["/tasks/exit:other", "/tasks/exit"]
      ]
    )
    assert.deepStrictEqual([last.tree.task.state._tag, last.tree.held], ["Stopped", null])
  })

  const waitedFor: ReadonlyArray<ProcessState> = [
    { _tag: "Starting", exit: null },
    running,
    { _tag: "Deleting", ...live, exit: null }
  ]
  for (const state of waitedFor) {
    it(`waits for an exec that is ${state._tag}`, () => {
      assert.isNotNull(step(treeOf(taskStates.Running, { job: state }), initExited).tree.held)
    })
  }

  it("is the first that was told, however often it is told while it waits", () => {
    const held = treeOf(taskStates.Running, { job: running })
    const again = init(TaskMachine.Report.Exited({ exit: { ...exitOf("web", 255), source: "unknown" } }))
    const { tree } = run(held, initExited, again, execExited(job))
    assert.deepStrictEqual(tree.task.state._tag === "Stopped" && tree.task.state.exit, exitOf("web", 1))
  })

  it("is not that of a process which had this name before, told late: neither is that of an exec", () => {
    const stale = { ...exitOf("web", 9), pid: identity.pid + 1 }
    for (const tree of [
      treeOf(taskStates.Running),
      treeOf(taskStates.Created),
      treeOf(taskStates.Running, { job: running })
    ]) {
      const next = step(tree, init(TaskMachine.Report.Exited({ exit: stale })))
      assert.deepStrictEqual([next.tree, changes(next), topics(next)], [tree, [], []])
    }
    const busy = treeOf(taskStates.Running, { job: running })
    assert.strictEqual(step(busy, exec(job, ProcessMachine.Report.Exited({ exit: stale }))).tree, busy)
    const starting = treeOf(taskStates.Running, { job: { _tag: "Starting", exit: null } })
    const { tree, topics: told } = run(
      starting,
      exec(job, ProcessMachine.Report.Exited({ exit: stale })),
      startDone(job)
    )
    assert.deepStrictEqual([tree.execs.get(job)?.state._tag, told], ["Running", ["/tasks/exec-started:job"]])
  })

  it("does not wait for an exec that was never started or has ended", () => {
    const ended: ProcessState = { _tag: "Stopped", ...live, exit: exitOf("job") }
    const next = step(treeOf(taskStates.Running, { job: { _tag: "Created" }, other: ended }), initExited)
    assert.deepStrictEqual(topics(next), ["/tasks/exit"])
    assert.strictEqual(next.tree.task.state._tag, "Stopped")
  })

  it("is let go when the exec that it waits for does not come to start", () => {
    const { tree, topics } = run(
      treeOf(taskStates.Running, { job: { _tag: "Starting", exit: null } }),
      initExited,
      exec(job, ProcessMachine.Report.StartFailed())
    )
    assert.deepStrictEqual([topics, tree.task.state._tag], [["/tasks/exit"], "Stopped"])
  })

  it("follows an exec that started and ended meanwhile, in the order of their lives", () => {
    const starting = treeOf(taskStates.Running, { job: { _tag: "Starting", exit: null } })
    const { topics } = run(starting, initExited, execExited(job), startDone(job))
    assert.deepStrictEqual(topics, ["/tasks/exec-started:job", "/tasks/exit:job", "/tasks/exit"])
  })

  it("removes task and container in one step with the exec's end, where the task removes itself", () => {
    const held = step(treeOf(taskStates.Running, { job: running }, true), initExited)
    const last = step(held.tree, execExited(job))
    assert.deepStrictEqual([topics(last), orders(last)], [["/tasks/exit:job", "/tasks/exit"], ["init:Delete"]])
    const gone = step(last.tree, init(TaskMachine.Report.DeleteDone({ exit: exitOf("web", 1) })))
    assert.deepStrictEqual(changes(gone), ["DeleteTask", "DeleteContainer"])
    assert.deepStrictEqual(topics(gone), ["/tasks/delete", "/containers/delete"])
  })
})

describe("a deletion", () => {
  const deleting: TaskState = { _tag: "Deleting", ...live, exit: null }
  const done = init(TaskMachine.Report.DeleteDone({ exit: exitOf("web", 137) }))

  it("that finds execs alive ends them first: each as killed, before init", () => {
    const execs: Readonly<Record<string, ProcessState>> = {
      job: running,
      other: { _tag: "Deleting", ...live, exit: null },
      unborn: { _tag: "Starting", exit: null },
      idle: { _tag: "Created" }
    }
    const gone = step(treeOf(deleting, execs), done)
    assert.deepStrictEqual(topics(gone), ["/tasks/exit:job", "/tasks/exit:other", "/tasks/exit", "/tasks/delete"])
    assert.deepStrictEqual(changes(gone), ["DeleteTask"])
    const [first] = gone.events
    assert.deepInclude(first?.payload.event, { id: "job", pid: identity.pid, exitStatus: 137, source: "inferred" })
  })

  it("tells the exit of init that was held, not the one that it finds", () => {
    const { tree, topics } = run(treeOf(deleting, { job: running }), initExited, done)
    assert.deepStrictEqual(topics, ["/tasks/exit:job", "/tasks/exit", "/tasks/delete"])
    assert.strictEqual(tree.task.state._tag === "Deleted" && tree.task.state.exit?.exitStatus, 1)
  })

  it("of a task that kept its container leaves the container", () => {
    assert.deepStrictEqual(changes(step(treeOf(deleting), done)), ["DeleteTask"])
  })

  it("by itself does not take the container of a task that could not be created, unless they were made together", () => {
    const failed = step(treeOf(taskStates.Creating, {}, true), init(TaskMachine.Report.CreateFailed()))
    assert.deepStrictEqual([changes(failed), topics(failed)], [["DeleteTask"], []])
    const { task, ...rest } = treeOf(taskStates.Creating, {}, true)
    const both = { ...rest, task: { ...task, withContainer: true as const } }
    const together = step(both, init(TaskMachine.Report.CreateFailed()))
    assert.deepStrictEqual(
      [changes(together), topics(together)],
      [["DeleteTask", "DeleteContainer"], ["/containers/delete"]]
    )
  })
})

describe("an exec", () => {
  const record = processOf("web", "job")

  it("can be added before the start, and is announced and stored in one step", () => {
    for (const state of [taskStates.Created, taskStates.Starting, taskStates.Running]) {
      const added = addExec(treeOf(state), record)
      assert.deepStrictEqual(
        [changes(added), topics(added), added.rejection],
        [["InsertProcess"], ["/tasks/exec-added:job"], null]
      )
      assert.strictEqual(added.tree.execs.get(job), record)
    }
  })

  it("cannot be added where it could never run, or twice", () => {
    for (const tag of ["Creating", "Pausing", "Paused", "Resuming", "Stopped", "Deleting", "Deleted"] as const) {
      const refused = addExec(treeOf(taskStates[tag]), record)
      assert.deepStrictEqual(
        [refused.rejection, refused.changes, refused.events],
        [{ _tag: "Precondition", found: tag.toLowerCase(), allowed: ["created", "running"] }, [], []]
      )
    }
    const twice = addExec(treeOf(taskStates.Running, { job: running }), record)
    assert.deepStrictEqual(twice.rejection, { _tag: "ExecExists", id: job })
  })

  it("starts only in a running task", () => {
    const start = exec(job, ProcessMachine.Command.Start())
    for (const [tag, state] of Object.entries(taskStates)) {
      const next = step(treeOf(state, { job: { _tag: "Created" } }), start)
      if (tag === "Running") assert.deepStrictEqual([changes(next), orders(next)], [["PutProcess"], ["job:Start"]])
      else {
        assert.deepStrictEqual(
          [tag, next.rejection, next.operations, next.changes],
          [tag, { _tag: "Precondition", found: tag.toLowerCase(), allowed: ["running"] }, [], []]
        )
      }
    }
  })

  it("does not start beside an init whose end is known", () => {
    const held = step(treeOf(taskStates.Running, { job: running, other: { _tag: "Created" } }), initExited)
    const late = step(held.tree, exec(other, ProcessMachine.Command.Start()))
    assert.deepStrictEqual([late.rejection?._tag, late.operations], ["Precondition", []])
    assert.strictEqual(addExec(held.tree, processOf("web", "third")).rejection?._tag, "Precondition")
  })

  it("that does not exist is said so, and nothing else happens", () => {
    for (const input of [ProcessMachine.Command.Start(), ProcessMachine.Report.Exited({ exit: exitOf("job") })]) {
      const next = step(treeOf(taskStates.Running), exec(job, input))
      assert.deepStrictEqual(
        [next.rejection?._tag, next.changes, next.events, next.operations],
        ["NoSuchExec", [], [], []]
      )
    }
  })

  it("that is deleted leaves tree and store; its id is free again", () => {
    const going = step(
      treeOf(taskStates.Running, { job: { _tag: "Created" } }),
      exec(job, ProcessMachine.Command.Delete({ force: false }))
    )
    assert.deepStrictEqual([changes(going), topics(going), orders(going)], [["PutProcess"], [], ["job:Delete"]])
    const gone = step(going.tree, exec(job, ProcessMachine.Report.DeleteDone({ exit: null })))
    assert.deepStrictEqual([changes(gone), topics(gone), gone.tree.execs.size], [["DeleteProcess"], [], 0])
    assert.isNull(addExec(gone.tree, record).rejection)
  })
})

it("announces each rise of the kills for want of memory, once", () => {
  const oom = (count: number) => init(TaskMachine.Report.Oom({ count }))
  const first = step(treeOf(taskStates.Running), oom(1))
  assert.deepStrictEqual([changes(first), topics(first), first.tree.task.oomCount], [["PutTask"], ["/tasks/oom"], 1])
  const again = step(first.tree, oom(1))
  assert.deepStrictEqual([changes(again), topics(again), again.tree.task.oomCount], [[], [], 1])
  const more = step(first.tree, oom(4))
  assert.deepStrictEqual([topics(more), more.tree.task.oomCount], [["/tasks/oom"], 4])
  assert.deepStrictEqual(changes(step(treeOf(taskStates.Stopped), oom(1))), [])
})

describe("whatever the order of inputs", () => {
  const execs = [job, other]
  const exits = (id: string): ReadonlyArray<Exit> => [exitOf(id, 0), { ...exitOf(id, 255), source: "unknown" }]
  const initInputs: ReadonlyArray<TaskMachine.Input> = [
    TaskMachine.Command.Start(),
    TaskMachine.Command.Pause(),
    TaskMachine.Command.Resume(),
    ...[9, 15].map((signal) => TaskMachine.Command.Signal({ signal, all: false })),
    TaskMachine.Command.Update({ change: { id: ContainerId.make("web") } }),
    ...[false, true].map((force) => TaskMachine.Command.Delete({ force })),
    TaskMachine.Report.CreateDone({ identity, bundle: "/b" }),
    TaskMachine.Report.CreateFailed(),
    TaskMachine.Report.StartDone({ at }),
    TaskMachine.Report.StartFailed(),
    TaskMachine.Report.PauseDone(),
    TaskMachine.Report.PauseFailed(),
    TaskMachine.Report.ResumeDone(),
    TaskMachine.Report.ResumeFailed(),
    TaskMachine.Report.DeleteDone({ exit: exitOf("web", 137) }),
    TaskMachine.Report.DeleteFailed(),
    TaskMachine.Report.DeleteDue(),
    TaskMachine.Report.Oom({ count: 1 }),
    TaskMachine.Report.Oom({ count: 2 }),
    ...exits("web").map((exit) => TaskMachine.Report.Exited({ exit }))
  ]
  const execInputs = (id: ExecId): ReadonlyArray<ProcessMachine.Input> => [
    ProcessMachine.Command.Start(),
    ProcessMachine.Command.Signal({ signal: 9 }),
    ...[false, true].map((force) => ProcessMachine.Command.Delete({ force })),
    ProcessMachine.Report.StartDone({ identity, at }),
    ProcessMachine.Report.StartFailed(),
    ProcessMachine.Report.DeleteDone({ exit: exitOf(id, 137) }),
    ProcessMachine.Report.DeleteFailed(),
    ...exits(id).map((exit) => ProcessMachine.Report.Exited({ exit }))
  ]
  type Input = Addressed | { readonly add: ExecId }
  const inputs: ReadonlyArray<Input> = [
    ...initInputs.map(init),
    ...execs.flatMap((id) => [{ add: id }, ...execInputs(id).map((input) => exec(id, input))])
  ]
  /** Steps that lead on, so that a random walk comes far. */
  const likely: ReadonlyArray<Input> = [
    init(TaskMachine.Report.CreateDone({ identity, bundle: "/b" })),
    init(TaskMachine.Command.Start()),
    init(TaskMachine.Report.StartDone({ at })),
    ...execs.flatMap((id) => [{ add: id }, exec(id, ProcessMachine.Command.Start()), startDone(id)])
  ]

  const walk = (seed: number): ReadonlyArray<string> => {
    const random = randomOf(seed)
    const log: Array<string> = []
    let tree = treeOf(taskStates.Creating, {}, seed % 2 === 0)
    for (let count = 0; count < 80 && tree.task.state._tag !== "Deleted"; count++) {
      const pool = random(3) === 0 ? likely : inputs
      const input = pool[random(pool.length)]
      if (input === undefined) continue
      const before = tree
      const next = "add" in input ? addExec(tree, processOf("web", input.add)) : step(tree, input)
      tree = next.tree
      const named = `walk ${seed}, step ${count}: ${JSON.stringify(input)} in ${JSON.stringify(before.task.state._tag)}`
      const told = topics(next)
      // Everything that is announced changes what is stored, and whatever is refused changes nothing.
      if (told.length > 0) assert.isAbove(next.changes.length, 0, named)
      if (next.rejection !== null) assert.deepStrictEqual([next.changes, told, next.operations], [[], [], []], named)
      if (next.changes.length === 0) assert.deepStrictEqual({ ...tree, held: null }, { ...before, held: null }, named)
      // A change that is not stored would be lost with the daemon.
      else assert.notStrictEqual(tree, before, named)
      for (const topic of told) {
        log.push(topic)
        check(log, topic, named)
      }
    }
    return log
  }

  const lastOf = (log: ReadonlyArray<string>, topic: string) => log.lastIndexOf(topic)

  const check = (log: ReadonlyArray<string>, topic: string, named: string) => {
    const why = `${named}\n${log.join("\n")}`
    const before = log.slice(0, -1)
    const id = topic.split(":")[1]
    if (id === undefined) {
      if (topic === "/tasks/exit") {
        for (const exec of execs) {
          const open = lastOf(before, `/tasks/exec-started:${exec}`) > lastOf(before, `/tasks/exit:${exec}`)
          assert.isFalse(open, `init before its exec ${exec}\n${why}`)
        }
      }
      if (topic === "/tasks/exit" || topic === "/tasks/start" || topic === "/tasks/create") {
        assert.notInclude(before, topic, `twice\n${why}`)
      }
      if (topic === "/tasks/start") assert.notInclude(before, "/tasks/exit", `started after its end\n${why}`)
      if (topic === "/tasks/delete" && before.includes("/tasks/start"))
        assert.include(before, "/tasks/exit", `no exit\n${why}`)
      return
    }
    // An id may be used again once its exec is deleted, so each life counts on its own.
    const life = before.slice(lastOf(before, `/tasks/exec-added:${id}`) + 1)
    if (topic.startsWith("/tasks/exit") || topic.startsWith("/tasks/exec-started")) {
      assert.notInclude(life, topic, `twice\n${why}`)
      assert.notInclude(life, `/tasks/exit:${id}`, `after its end\n${why}`)
      assert.notInclude(before, "/tasks/exit", `after the end of init\n${why}`)
    }
  }

  it("one exit of each process, after its start, init last, and no event without a change", () => {
    const seen = new Set<string>()
    for (let seed = 1; seed <= 2_000; seed++) for (const topic of walk(seed)) seen.add(topic)
    // The walks come everywhere: a promise about what never happens would be worth nothing.
    for (const topic of ["create", "start", "exit", "paused", "resumed", "oom", "delete"])
      assert.include(seen, `/tasks/${topic}`)
    for (const topic of ["exec-added", "exec-started", "exit"]) assert.include(seen, `/tasks/${topic}:job`)
    assert.include(seen, "/containers/delete")
  })

  it("a walk repeats itself", () => {
    assert.deepStrictEqual(walk(7), walk(7))
  })
})
