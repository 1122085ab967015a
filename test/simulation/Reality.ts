/** What the store says when all is calm, against what the machine runs. */
import { containerKey } from "../../src/schema/Ids.ts"
import type { Identity, TaskState } from "../../src/schema/TaskState.ts"
import type { Ledger } from "./Ledger.ts"
import type { Machine } from "./Machine.ts"

/** What the machine may say of the init of a task in that state; null for a state that cannot last. */
const expected: Readonly<Record<TaskState["_tag"], string | null>> = {
  Creating: null,
  Created: "created",
  Starting: null,
  Running: "running",
  Pausing: null,
  Paused: "paused",
  Resuming: null,
  Stopped: "gone",
  Deleting: null,
  Deleted: null
}

/** What it may say too after a start, pause or resume that has failed: it may have acted first. */
const doubted: Readonly<Partial<Record<TaskState["_tag"], string>>> = {
  Created: "running",
  Running: "paused",
  Paused: "running"
}

/** Every difference, in words. */
export const compare = (ledger: Ledger, { doubtful, world }: Machine): ReadonlyArray<string> => {
  const { containers } = world.inner.machine
  const wrong: Array<string> = []
  for (const [id, { autoRemove, namespace, state }] of ledger.tasks) {
    const key = `${namespace}/${id}`
    const container = containers.get(key)
    const procs = Array.from(container?.procs ?? [])
    const alive = procs.some(({ kind }) => kind === "init")
    const found = container === undefined || !alive ? "gone" : container.paused ? "paused" : container.status
    const status = expected[state._tag]
    const isDoubted = doubtful.has(key) && doubted[state._tag] === found
    if (status === null) wrong.push(`${id} is still ${state._tag}`)
    else if (found !== status && !isDoubted) wrong.push(`${id} is ${state._tag}, and its init is ${found}`)
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

/** Processes that live though they were sent SIGKILL before that moment, where a runtime that has failed does not hold them back. */
export const undead = (
  { doubtful, world }: Machine,
  doomedAt: (identity: Identity) => number | null,
  before: number
): ReadonlyArray<string> =>
  Array.from(world.inner.machine.table.values()).flatMap(({ ended, identity, ref }) =>
    !ended && (doomedAt(identity) ?? before) < before && !doubtful.has(containerKey(ref))
      ? [`${identity.pid} of ${ref.containerId} was killed, and lives`]
      : []
  )
