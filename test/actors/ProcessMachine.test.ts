/** Every state of an exec with every input, as a table: what follows, what is announced, what is ordered. A cell that is missing fails the test. */
import { assert, it } from "@effect/vitest"
import { DateTime } from "effect"
import type { Input } from "../../src/actors/ProcessMachine.ts"
import { Command, isLive, Report, transition } from "../../src/actors/ProcessMachine.ts"
import { ContainerId, ExecId } from "../../src/schema/Ids.ts"
import type { Exit } from "../../src/schema/Process.ts"
import type { ProcessState } from "../../src/schema/TaskState.ts"

const at = DateTime.makeUnsafe("2026-01-01T00:00:00Z")
const identity = { pid: 43, startTime: "101", bootId: "boot" }
const end = { id: "job", pid: 43, exitStatus: 7, exitedAt: at, source: "reaped" } as const
const exit: Exit = { ...end, oomKilled: false, oomCount: 0, memoryPeak: null }
/** What comes after an exit is known: it must change nothing. */
const second: Exit = { ...exit, exitStatus: 255, source: "unknown" }
const live = { identity, startedAt: at }

const states: Record<string, ProcessState> = {
  Created: { _tag: "Created" },
  Starting: { _tag: "Starting", exit: null },
  "Starting+exit": { _tag: "Starting", exit },
  Running: { _tag: "Running", ...live },
  Stopped: { _tag: "Stopped", ...live, exit },
  Deleting: { _tag: "Deleting", ...live, exit: null },
  "Deleting+exit": { _tag: "Deleting", ...live, exit },
  "Deleting unborn": { _tag: "Deleting", identity: null, startedAt: null, exit: null },
  Deleted: { _tag: "Deleted", exit }
}

const inputs: Record<string, Input> = {
  Start: Command.Start(),
  Term: Command.Signal({ signal: 15 }),
  Kill: Command.Signal({ signal: 9 }),
  Delete: Command.Delete({ force: false }),
  Force: Command.Delete({ force: true }),
  StartDone: Report.StartDone({ identity, at }),
  StartFailed: Report.StartFailed(),
  DeleteDone: Report.DeleteDone({ exit }),
  DeleteFailed: Report.DeleteFailed(),
  Exited: Report.Exited({ exit })
}

/** Cells as in `TaskMachine.test.ts`: `refused: allowed…`, `finished`, `-` (ignored), or `State [events] (operations)`. */
const table: Record<string, Record<string, string>> = {
  Created: {
    Start: "Starting (Start)",
    Term: "refused: running",
    Kill: "refused: running",
    Delete: "Deleting (Delete)",
    Force: "Deleting (Delete)",
    StartDone: "Running [exec-started]",
    StartFailed: "-",
    DeleteDone: "-",
    DeleteFailed: "-",
    Exited: "-"
  },
  Starting: {
    Start: "refused: created",
    Term: "refused: running",
    Kill: "refused: running",
    Delete: "refused: created stopped",
    Force: "Deleting (Cancel Delete)",
    StartDone: "Running [exec-started]",
    StartFailed: "Created",
    DeleteDone: "-",
    DeleteFailed: "-",
    Exited: "Starting+exit"
  },
  "Starting+exit": {
    Start: "refused: created",
    Term: "refused: running",
    Kill: "refused: running",
    Delete: "refused: created stopped",
    Force: "Deleting+exit (Cancel Delete)",
    StartDone: "Stopped+exit [exec-started exit]",
    StartFailed: "Created",
    DeleteDone: "-",
    DeleteFailed: "-",
    Exited: "-"
  },
  Running: {
    Start: "refused: created",
    Term: "- (Signal 15)",
    Kill: "- (Signal 9)",
    Delete: "refused: created stopped",
    Force: "Deleting (Delete)",
    StartDone: "-",
    StartFailed: "-",
    DeleteDone: "-",
    DeleteFailed: "-",
    Exited: "Stopped+exit [exit]"
  },
  Stopped: {
    Start: "refused: created",
    Term: "finished",
    Kill: "finished",
    Delete: "Deleting+exit (Delete)",
    Force: "Deleting+exit (Delete)",
    StartDone: "-",
    StartFailed: "-",
    DeleteDone: "-",
    DeleteFailed: "-",
    Exited: "-"
  },
  Deleting: {
    Start: "refused: created stopped",
    Term: "finished",
    Kill: "finished",
    Delete: "refused: created stopped",
    Force: "- (Cancel Delete)",
    StartDone: "-",
    StartFailed: "-",
    DeleteDone: "Deleted+exit [exit]",
    DeleteFailed: "Running",
    Exited: "Deleting+exit [exit]"
  },
  "Deleting+exit": {
    Start: "refused: created stopped",
    Term: "finished",
    Kill: "finished",
    Delete: "refused: created stopped",
    Force: "- (Cancel Delete)",
    StartDone: "-",
    StartFailed: "-",
    DeleteDone: "Deleted+exit",
    DeleteFailed: "Stopped+exit",
    Exited: "-"
  },
  "Deleting unborn": {
    Start: "refused: created stopped",
    Term: "finished",
    Kill: "finished",
    Delete: "refused: created stopped",
    Force: "- (Cancel Delete)",
    StartDone: "-",
    StartFailed: "-",
    DeleteDone: "Deleted+exit",
    DeleteFailed: "Created",
    Exited: "Deleting+exit"
  },
  Deleted: {
    Start: "finished",
    Term: "finished",
    Kill: "finished",
    Delete: "finished",
    Force: "finished",
    StartDone: "-",
    StartFailed: "-",
    DeleteDone: "-",
    DeleteFailed: "-",
    Exited: "-"
  }
}

const facts = { containerId: ContainerId.make("web"), execId: ExecId.make("job") }

const describe = (state: ProcessState, input: Input): string => {
  const next = transition(facts, state, input)
  if (next.rejected !== null) {
    assert.deepStrictEqual([next.state, next.events, next.operations], [state, [], []])
    return next.rejected === "finished" ? "finished" : `refused: ${next.rejected.allowed.join(" ")}`
  }
  const held = "exit" in next.state && next.state.exit !== null ? "+exit" : ""
  const orders = next.operations.map((order) => (order._tag === "Signal" ? `Signal ${order.signal}` : order._tag))
  return [
    next.state === state ? "-" : `${next.state._tag}${held}`,
    next.events.length === 0 ? "" : `[${next.events.map(({ topic }) => topic.replace("/tasks/", "")).join(" ")}]`,
    orders.length === 0 ? "" : `(${orders.join(" ")})`
  ]
    .filter((part) => part !== "")
    .join(" ")
}

for (const [from, state] of Object.entries(states)) {
  it(`${from}: every input`, () => {
    const actual = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, describe(state, input)]))
    assert.deepStrictEqual(actual, table[from] ?? {})
  })

  it(`${from}: an exit that is known is the last word`, () => {
    if (!("exit" in state) || state.exit === null) return
    const next = transition(facts, state, Report.Exited({ exit: second }))
    assert.strictEqual(next.state, state)
    assert.deepStrictEqual(next.events, [])
  })
}

it("events name the container and the exec, and carry the exit whole", () => {
  const started: ProcessState = { _tag: "Starting", exit }
  assert.deepStrictEqual(transition(facts, started, Report.StartDone({ identity, at })).events, [
    { topic: "/tasks/exec-started", event: { ...facts, pid: 43 } },
    { topic: "/tasks/exit", event: { ...facts, ...exit } }
  ])
})

it("is live while an exit may still come", () => {
  assert.deepStrictEqual(
    Object.entries(states)
      .filter(([, state]) => isLive(state))
      .map(([name]) => name),
    ["Starting", "Starting+exit", "Running", "Deleting", "Deleting unborn"]
  )
})
