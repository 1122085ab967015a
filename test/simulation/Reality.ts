/** What the store says when all is calm, against what the machine runs. */
import type { TaskState } from "../../src/schema/TaskState.ts"
import type { Ledger } from "./Ledger.ts"
import type { Machine } from "./Machine.ts"

/** What the machine may say of the init of a task in that state; null for a state that cannot last. */
const expected: Readonly<Record<TaskState["_tag"], ReadonlyArray<string> | null>> = {
  Creating: null,
  // A start that has acted though it failed leaves a task that runs and is called created, until somebody looks.
  Created: ["created", "running"],
  Starting: null,
  Running: ["running", "paused"],
  Pausing: null,
  Paused: ["paused", "running"],
  Resuming: null,
  Stopped: ["gone"],
  Deleting: null,
  Deleted: null
}

/** Every difference, in words. */
export const compare = (ledger: Ledger, { world }: Machine): ReadonlyArray<string> => {
  const { containers } = world.inner.machine
  const wrong: Array<string> = []
  for (const [id, { autoRemove, namespace, state }] of ledger.tasks) {
    const container = containers.get(`${namespace}/${id}`)
    const procs = Array.from(container?.procs ?? [])
    const alive = procs.some(({ kind }) => kind === "init")
    const found = container === undefined || !alive ? "gone" : container.paused ? "paused" : container.status
    const allowed = expected[state._tag]
    if (allowed === null) wrong.push(`${id} is still ${state._tag}`)
    else if (!allowed.includes(found)) wrong.push(`${id} is ${state._tag}, and its init is ${found}`)
    if (state._tag === "Stopped" && autoRemove) wrong.push(`${id} removes itself, and is still there`)
    const named = new Set<number>()
    for (const [execId, exec] of ledger.processes.get(id) ?? []) {
      const { _tag } = exec.state
      const pid = "identity" in exec.state ? exec.state.identity?.pid : undefined
      const runs = procs.some(({ identity, kind }) => kind === "exec" && identity.pid === pid)
      if (_tag === "Starting" || _tag === "Deleting") wrong.push(`exec ${execId} of ${id} is still ${_tag}`)
      else if ((_tag === "Running") !== runs) {
        wrong.push(`exec ${execId} of ${id} is ${_tag}, and its process ${runs ? "lives" : "is gone"}`)
      }
      if (pid !== undefined) named.add(pid)
    }
    for (const { identity, kind, ref } of procs) {
      if (kind === "exec" && !named.has(identity.pid)) wrong.push(`exec ${ref.execId} of ${id} runs, and nobody knows`)
    }
  }
  return wrong
}
