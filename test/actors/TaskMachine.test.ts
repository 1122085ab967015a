/** Every state with every input, as a table: what follows, what is announced, what is ordered. A cell that is missing fails the test. */
import { assert, it } from "@effect/vitest"
import { DateTime } from "effect"
import type { Input } from "../../src/actors/TaskMachine.ts"
import { Command, Report, transition } from "../../src/actors/TaskMachine.ts"
import { ContainerId } from "../../src/schema/Ids.ts"
import type { Exit } from "../../src/schema/Process.ts"
import type { TaskState } from "../../src/schema/TaskState.ts"

const at = DateTime.makeUnsafe("2026-01-01T00:00:00Z")
const identity = { pid: 42, startTime: "100", bootId: "boot" }
const end = { id: "web", pid: 42, exitStatus: 7, exitedAt: at, source: "reaped" } as const
const exit: Exit = { ...end, oomKilled: false, oomCount: 0, memoryPeak: null }
const live = { identity, startedAt: at }

const states: Record<string, TaskState> = {
  Creating: { _tag: "Creating", exit: null },
  "Creating+exit": { _tag: "Creating", exit },
  Created: { _tag: "Created", identity },
  Starting: { _tag: "Starting", identity, exit: null },
  "Starting+exit": { _tag: "Starting", identity, exit },
  Running: { _tag: "Running", ...live },
  Pausing: { _tag: "Pausing", ...live },
  Paused: { _tag: "Paused", ...live },
  Resuming: { _tag: "Resuming", ...live },
  Stopped: { _tag: "Stopped", ...live, exit },
  Deleting: { _tag: "Deleting", ...live, exit: null },
  "Deleting+exit": { _tag: "Deleting", ...live, exit },
  "Deleting unborn": { _tag: "Deleting", identity: null, startedAt: null, exit: null },
  Deleted: { _tag: "Deleted", exit }
}

const inputs: Record<string, Input> = {
  Start: Command.Start(),
  Pause: Command.Pause(),
  Resume: Command.Resume(),
  Term: Command.Signal({ signal: 15, all: false }),
  Kill: Command.Signal({ signal: 9, all: false }),
  Update: Command.Update({ change: { id: ContainerId.make("web") } }),
  Delete: Command.Delete({ force: false }),
  Force: Command.Delete({ force: true }),
  CreateDone: Report.CreateDone({ identity, bundle: "/b" }),
  CreateFailed: Report.CreateFailed(),
  StartDone: Report.StartDone({ at }),
  StartFailed: Report.StartFailed(),
  PauseDone: Report.PauseDone(),
  PauseFailed: Report.PauseFailed(),
  ResumeDone: Report.ResumeDone(),
  ResumeFailed: Report.ResumeFailed(),
  UpdateDone: Report.UpdateDone({ result: { id: ContainerId.make("web"), resources: {}, annotations: {} } }),
  DeleteDone: Report.DeleteDone({ exit }),
  DeleteFailed: Report.DeleteFailed(),
  DeleteDue: Report.DeleteDue(),
  Exited: Report.Exited({ exit }),
  Oom: Report.Oom({ count: 1 })
}

/**
 * A cell: `refused: allowed…`, `finished`, `-` (ignored), or `State [events] (operations)`.
 * `*` stands for every input that the row does not name.
 */
const table: Record<string, Record<string, string>> = {
  Creating: {
    Start: "refused: created",
    Pause: "refused: created",
    Resume: "refused: created",
    Term: "refused: created running paused",
    Kill: "refused: created running paused",
    Update: "refused: created running paused",
    Delete: "refused: created stopped",
    Force: "Deleting (Cancel Delete)",
    CreateDone: "Created [create]",
    CreateFailed: "Deleted",
    Exited: "Creating+exit",
    "*": "-"
  },
  "Creating+exit": {
    Start: "refused: created",
    Pause: "refused: created",
    Resume: "refused: created",
    Term: "refused: created running paused",
    Kill: "refused: created running paused",
    Update: "refused: created running paused",
    Delete: "refused: created stopped",
    Force: "Deleting (Cancel Delete)",
    CreateDone: "Stopped+exit [create exit]",
    CreateFailed: "Deleted",
    "*": "-"
  },
  Created: {
    Start: "Starting (Start)",
    Pause: "refused: running",
    Resume: "refused: paused",
    Term: "- (Signal)",
    Kill: "- (Signal)",
    Update: "- (Update)",
    Delete: "Deleting (Delete)",
    Force: "Deleting (Delete)",
    StartDone: "Running [start]",
    Exited: "Stopped+exit [exit]",
    Oom: "- [oom]",
    "*": "-"
  },
  Starting: {
    Start: "refused: created",
    Pause: "refused: running",
    Resume: "refused: running",
    Term: "- (Signal)",
    Kill: "- (Signal)",
    Update: "refused: created running paused",
    Delete: "refused: created stopped",
    Force: "Deleting (Cancel Delete)",
    StartDone: "Running [start]",
    StartFailed: "Created",
    Exited: "Starting+exit",
    Oom: "- [oom]",
    "*": "-"
  },
  "Starting+exit": {
    Start: "refused: created",
    Pause: "refused: running",
    Resume: "refused: running",
    Term: "finished",
    Kill: "finished",
    Update: "refused: created running paused",
    Delete: "refused: created stopped",
    Force: "Deleting (Cancel Delete)",
    StartDone: "Stopped+exit [start exit]",
    StartFailed: "Stopped+exit [exit]",
    Oom: "- [oom]",
    "*": "-"
  },
  Running: {
    Start: "refused: created",
    Pause: "Pausing (Pause)",
    Resume: "refused: paused",
    Term: "- (Signal)",
    Kill: "- (Signal)",
    Update: "- (Update)",
    Delete: "refused: created stopped",
    Force: "Deleting (Delete)",
    PauseDone: "Paused [paused]",
    Exited: "Stopped+exit [exit]",
    Oom: "- [oom]",
    "*": "-"
  },
  Pausing: {
    Start: "refused: created",
    Pause: "refused: running",
    Resume: "refused: paused",
    Term: "- (Signal)",
    Kill: "- (Signal)",
    Update: "refused: created running paused",
    Delete: "refused: created stopped",
    Force: "Deleting (Cancel Delete)",
    PauseDone: "Paused [paused]",
    PauseFailed: "Running",
    Exited: "Stopped+exit [exit]",
    Oom: "- [oom]",
    "*": "-"
  },
  Paused: {
    Start: "refused: created",
    Pause: "refused: running",
    Resume: "Resuming (Resume)",
    Term: "- (Signal)",
    Kill: "- (Signal)",
    Update: "- (Update)",
    Delete: "refused: created stopped",
    Force: "Deleting (Delete)",
    ResumeDone: "Running [resumed]",
    Exited: "Stopped+exit [exit]",
    Oom: "- [oom]",
    "*": "-"
  },
  Resuming: {
    Start: "refused: created",
    Pause: "refused: running",
    Resume: "refused: paused",
    Term: "- (Signal)",
    Kill: "- (Signal)",
    Update: "refused: created running paused",
    Delete: "refused: created stopped",
    Force: "Deleting (Cancel Delete)",
    ResumeDone: "Running [resumed]",
    ResumeFailed: "Paused",
    Exited: "Stopped+exit [exit]",
    Oom: "- [oom]",
    "*": "-"
  },
  Stopped: {
    Start: "refused: created",
    Pause: "refused: running",
    Resume: "refused: paused",
    Term: "finished",
    Kill: "finished",
    Update: "refused: created running paused",
    Delete: "Deleting+exit (Delete)",
    Force: "Deleting+exit (Delete)",
    "*": "-"
  },
  Deleting: {
    Start: "refused: created running paused",
    Pause: "refused: created running paused",
    Resume: "refused: created running paused",
    Term: "- (Signal)",
    Kill: "- (Signal)",
    Update: "refused: created running paused",
    Delete: "refused: created stopped",
    Force: "- (Cancel Delete)",
    DeleteDone: "Deleted+exit [exit delete]",
    DeleteFailed: "Running",
    Exited: "Deleting+exit [exit]",
    "*": "-"
  },
  "Deleting+exit": {
    Start: "refused: created running paused",
    Pause: "refused: created running paused",
    Resume: "refused: created running paused",
    Term: "finished",
    Kill: "finished",
    Update: "refused: created running paused",
    Delete: "refused: created stopped",
    Force: "- (Cancel Delete)",
    DeleteDone: "Deleted+exit [delete]",
    DeleteFailed: "Stopped+exit",
    "*": "-"
  },
  "Deleting unborn": {
    Start: "refused: created running paused",
    Pause: "refused: created running paused",
    Resume: "refused: created running paused",
    Term: "- (Signal)",
    Kill: "- (Signal)",
    Update: "refused: created running paused",
    Delete: "refused: created stopped",
    Force: "- (Cancel Delete)",
    DeleteDone: "Deleted",
    DeleteFailed: "Deleting (DeleteLater)",
    DeleteDue: "- (Delete)",
    "*": "-"
  },
  Deleted: {
    Start: "finished",
    Pause: "finished",
    Resume: "finished",
    Term: "finished",
    Kill: "finished",
    Update: "finished",
    Delete: "finished",
    Force: "finished",
    "*": "-"
  }
}

const facts = { containerId: ContainerId.make("web"), terminal: false, autoRemove: false }

const describe = (state: TaskState, input: Input, autoRemove = false): string => {
  const next = transition({ ...facts, autoRemove }, state, input)
  if (next.rejected === "finished") return "finished"
  if (next.rejected !== null) return `refused: ${next.rejected.allowed.join(" ")}`
  const held = "exit" in next.state && next.state.exit !== null ? "+exit" : ""
  const parts = [
    next.state === state ? "-" : `${next.state._tag}${held}`,
    next.events.length === 0 ? "" : `[${next.events.map(({ topic }) => topic.replace("/tasks/", "")).join(" ")}]`,
    next.operations.length === 0 ? "" : `(${next.operations.map(({ _tag }) => _tag).join(" ")})`
  ]
  return parts.filter((part) => part !== "").join(" ")
}

for (const [from, state] of Object.entries(states)) {
  it(`${from}: every input`, () => {
    const row = table[from] ?? {}
    const actual = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, describe(state, input)]))
    const expected = Object.fromEntries(Object.keys(inputs).map((name) => [name, row[name] ?? row["*"]]))
    assert.deepStrictEqual(actual, expected)
  })
}

it("a task that removes itself begins to on its exit", () => {
  const running: TaskState = { _tag: "Running", ...live }
  assert.strictEqual(describe(running, Report.Exited({ exit }), true), "Deleting+exit [exit] (Delete)")
})

it("a task that removes itself waits for its next removal after one that failed, longer each time and a minute at most", () => {
  let state: TaskState = { _tag: "Deleting", ...live, exit }
  const waits: Array<number> = []
  for (let time = 0; time < 8; time++) {
    const failed = transition({ ...facts, autoRemove: true }, state, Report.DeleteFailed())
    assert.deepStrictEqual([failed.state._tag, failed.events], ["Stopped", []])
    waits.push(...failed.operations.map((operation) => (operation._tag === "DeleteLater" ? operation.milliseconds : 0)))
    assert.strictEqual(describe(failed.state, Report.DeleteDue(), true), "Deleting+exit (Cancel Delete)")
    state = transition({ ...facts, autoRemove: true }, failed.state, Report.DeleteDue()).state
  }
  assert.deepStrictEqual(
    waits,
    [1, 2, 4, 8, 16, 32, 60, 60].map((seconds) => seconds * 1_000)
  )
})

it("a deletion that somebody asks for takes the place of the one that a task waits for", () => {
  const waiting = transition({ ...facts, autoRemove: true }, { _tag: "Deleting", ...live, exit }, Report.DeleteFailed())
  for (const force of [false, true]) {
    assert.strictEqual(describe(waiting.state, Command.Delete({ force }), true), "Deleting+exit (Cancel Delete)")
  }
})

it("nothing has started after its end, though the answer to its start came after it", () => {
  const early = DateTime.subtract(at, { seconds: 1 })
  const ended: Exit = { ...exit, exitedAt: early }
  const { state } = transition(facts, { _tag: "Running", ...live }, Report.Exited({ exit: ended }))
  assert.deepStrictEqual(state, { _tag: "Stopped", identity, startedAt: early, exit: ended })
  const held = transition(facts, { _tag: "Starting", identity, exit: ended }, Report.StartDone({ at }))
  assert.deepStrictEqual(held.state, state)
})

it("a task that was paused is paused again when its deletion fails, and running it was not", () => {
  for (const [from, to] of [
    ["Running", "Running"],
    ["Pausing", "Running"],
    ["Paused", "Paused"],
    ["Resuming", "Paused"]
  ] as const) {
    const deleting = transition(facts, { _tag: from, ...live }, Command.Delete({ force: true })).state
    const failed = transition(facts, deleting, Report.DeleteFailed())
    assert.deepStrictEqual([failed.state, failed.events], [{ _tag: to, ...live }, []])
  }
})
