/** What each stored state is told, whatever the host holds of it, as a table. */
import { assert, describe, it } from "@effect/vitest"
import { settle } from "../../src/actors/Recovery.ts"
import type { Addressed, Tree } from "../../src/actors/TaskTree.ts"
import { step } from "../../src/actors/TaskTree.ts"
import type { HostedRecord } from "../../src/schema/Host.ts"
import { ExecId, processKey } from "../../src/schema/Ids.ts"
import type { ProcessState, TaskState } from "../../src/schema/TaskState.ts"
import { namespace } from "../support/pretended.ts"
import { at, exitOf, identity, processOf, taskOf, taskStates } from "../support/records.ts"

describe("settle", () => {
  const execId = ExecId.make("job")
  const recordOf = (exec: boolean, patch: Partial<HostedRecord> = {}): HostedRecord => {
    const { id: containerId, runtime, stdio } = taskOf("web")
    const ref = { namespace, containerId, execId: exec ? execId : null }
    return { ref, runtime, identity, started: false, paused: false, stdio, logFile: null, exit: null, ...patch }
  }
  const records = (...all: ReadonlyArray<HostedRecord>) =>
    new Map(all.map((record) => [processKey(record.ref), record]))

  const name = ({ execId, input }: Addressed) => {
    const what = input._tag === "Delete" && input.force ? "Force" : input._tag
    const how = input._tag === "Exited" ? ` ${input.exit.source} ${input.exit.exitStatus}` : ""
    return `${execId === null ? "" : `${execId}:`}${what}${how}`
  }
  const told = (tree: Tree, ...all: ReadonlyArray<HostedRecord>) => settle(tree, records(...all), at).map(name)

  describe("init", () => {
    /** What the host holds of it: nothing; a live one, started, frozen; one that has ended, unstarted or started. */
    const held = {
      absent: [],
      made: [recordOf(false)],
      started: [recordOf(false, { started: true })],
      paused: [recordOf(false, { started: true, paused: true })],
      stillborn: [recordOf(false, { exit: exitOf("web", 1) })],
      ended: [recordOf(false, { started: true, exit: exitOf("web", 7) })]
    } as const
    const nothing: ReadonlyArray<string> = []
    const unknown = "Exited unknown 255"
    const [one, seven] = ["Exited reaped 1", "Exited reaped 7"]
    const always = (...tell: ReadonlyArray<string>) => ({
      absent: tell,
      made: tell,
      started: tell,
      paused: tell,
      stillborn: tell,
      ended: tell
    })

    const table: Record<TaskState["_tag"], Record<keyof typeof held, ReadonlyArray<string>>> = {
      // What was started is not what was to be created: it is spared.
      Creating: {
        ...always("Force"),
        started: ["CreateFailed"],
        paused: ["CreateFailed"],
        ended: ["CreateFailed"]
      },
      Created: {
        absent: [unknown],
        made: nothing,
        started: ["StartDone"],
        paused: ["StartDone"],
        stillborn: [one],
        ended: ["StartDone", seven]
      },
      Starting: {
        absent: ["StartFailed", unknown],
        made: ["StartFailed"],
        started: ["StartDone"],
        paused: ["StartDone"],
        stillborn: ["StartDone", one],
        ended: ["StartDone", seven]
      },
      Running: {
        absent: [unknown],
        made: nothing,
        started: nothing,
        paused: ["PauseDone"],
        stillborn: [one],
        ended: [seven]
      },
      Pausing: {
        absent: [unknown],
        made: ["PauseFailed"],
        started: ["PauseFailed"],
        paused: ["PauseDone"],
        stillborn: ["PauseFailed", one],
        ended: ["PauseFailed", seven]
      },
      Paused: {
        absent: [unknown],
        made: ["ResumeDone"],
        started: ["ResumeDone"],
        paused: nothing,
        stillborn: [one],
        ended: [seven]
      },
      Resuming: {
        absent: [unknown],
        made: ["ResumeDone"],
        started: ["ResumeDone"],
        paused: ["ResumeFailed"],
        stillborn: ["ResumeDone", one],
        ended: ["ResumeDone", seven]
      },
      Stopped: always(),
      Deleting: { ...always("Force"), stillborn: [one, "Force"], ended: [seven, "Force"] },
      Deleted: always()
    }
    for (const [tag, state] of Object.entries(taskStates)) {
      it(`${tag}: whatever the host holds`, () => {
        const tree: Tree = { task: taskOf("web", state), execs: new Map(), held: null }
        for (const [what, all] of Object.entries(held)) {
          const expected: Record<string, ReadonlyArray<string>> = table[state._tag]
          assert.deepStrictEqual([what, told(tree, ...all)], [what, expected[what]])
        }
      })
    }
  })

  it("a task that removes itself is deleted where it has ended and is still there", () => {
    const tree = (state: TaskState): Tree => ({
      task: { ...taskOf("web", state), autoRemove: true },
      execs: new Map(),
      held: null
    })
    const [report, ...others] = settle(tree(taskStates.Stopped), records(), at)
    assert.deepStrictEqual([report?.input._tag, others], ["DeleteDue", []])
    if (report === undefined) return
    assert.deepStrictEqual(
      step(tree(taskStates.Stopped), report).operations.map(({ operation }) => operation._tag),
      ["Delete"]
    )
    assert.deepStrictEqual(settle(tree(taskStates.Deleted), records(), at), [])
  })

  describe("an exec", () => {
    const states: Record<string, ProcessState> = {
      Created: { _tag: "Created" },
      Starting: { _tag: "Starting", exit: null },
      Running: { _tag: "Running", identity, startedAt: at },
      Stopped: { _tag: "Stopped", identity, startedAt: at, exit: exitOf("job", 3) },
      Deleting: { _tag: "Deleting", identity, startedAt: at, exit: null }
    }
    const held = { absent: [], live: [recordOf(true)], ended: [recordOf(true, { exit: exitOf("job", 3) })] }
    const [three, unknown] = ["job:Exited reaped 3", "job:Exited unknown 255"]
    const table: Record<string, Record<keyof typeof held, ReadonlyArray<string>>> = {
      Created: { absent: [], live: ["job:StartDone"], ended: ["job:StartDone", three] },
      Starting: { absent: ["job:StartFailed"], live: ["job:StartDone"], ended: ["job:StartDone", three] },
      Running: { absent: [unknown], live: [], ended: [three] },
      Stopped: { absent: [], live: [], ended: [three] },
      Deleting: { absent: ["job:Force"], live: ["job:Force"], ended: [three, "job:Force"] }
    }
    const treeOf = (state: ProcessState): Tree => ({
      task: taskOf("web", taskStates.Running),
      execs: new Map([[execId, processOf("web", "job", state)]]),
      held: null
    })
    const init = recordOf(false, { started: true })
    for (const [tag, state] of Object.entries(states)) {
      it(`${tag}: whatever the host holds`, () => {
        for (const [what, all] of Object.entries(held)) {
          const expected: Record<string, ReadonlyArray<string>> = table[tag] ?? {}
          assert.deepStrictEqual([what, told(treeOf(state), init, ...all)], [what, expected[what]])
        }
      })
    }

    it("comes before its init", () => {
      const running = states["Running"] ?? { _tag: "Created" }
      const ended = recordOf(false, { started: true, exit: exitOf("web", 7) })
      assert.deepStrictEqual(told(treeOf(running), ended, recordOf(true, { exit: exitOf("job", 3) })), [
        three,
        "Exited reaped 7"
      ])
      assert.deepStrictEqual(told(treeOf(running)), [unknown, "Exited unknown 255"])
    })

    it("ends up in a state that is not on the way to another, whatever it was and whatever the host holds", () => {
      const passing = new Set(["Creating", "Starting", "Pausing", "Resuming"])
      for (const state of Object.values(states)) {
        for (const all of Object.values(held)) {
          let tree = treeOf(state)
          let ordered = 0
          for (const input of settle(tree, records(init, ...all), at)) {
            const next = step(tree, input)
            tree = next.tree
            ordered += next.operations.length
          }
          const after = tree.execs.get(execId)?.state._tag ?? "Deleted"
          assert.isFalse(passing.has(after), after)
          if (after === "Deleting") assert.isAbove(ordered, 0, "nobody goes on with it")
        }
      }
    })
  })
})
