/**
 * Which of the things that are there belong to nobody any more, and what may be done about each. Pure. In doubt a thing is somebody's: a process that runs is
 * worth more than a tidy folder.
 */
import type { ContainerRef } from "../../schema/Host.ts"
import { containerKey } from "../../schema/Ids.ts"
import type { Recorded, Remain } from "./Remains.ts"

/** What is somebody's, by container. */
export interface Known {
  /** In the store, readable or not. */
  readonly containers: ReadonlySet<string>
  readonly tasks: ReadonlySet<string>
  /** In a living host. */
  readonly held: ReadonlySet<string>
}

/** `start`: any daemon removes it when it starts. `repair`: only who asks for it. */
export interface Verdict {
  readonly remain: Remain
  readonly removal: "start" | "repair" | "never"
  readonly reason: string | null
}

const damagedReason = (hasTask: boolean) =>
  hasTask
    ? `its record cannot be read: no host can take the task over; "berth delete --force" it, then repair`
    : "its record cannot be read, so its process may be alive"

/** Of a task folder whose container the store does not know as a task. */
const ofUnknown = (remain: Remain, record: Recorded, known: Known): Verdict | null => {
  const key = remain.owner === null ? "" : containerKey(remain.owner)
  if (remain.kind === "log") {
    return known.containers.has(key) || isAlive(record) ? null : { remain, removal: "repair", reason: null }
  }
  if (record === "none") return { remain, removal: "start", reason: null }
  if (record === "damaged") {
    return { remain, removal: "repair", reason: remain.kind === "record" ? damagedReason(false) : null }
  }
  if (record.exit !== null) return { remain, removal: "repair", reason: null }
  return remain.kind === "container"
    ? {
        remain,
        removal: "never",
        reason: `no task of the store has it, and it runs: end process ${record.identity.pid}, then repair`
      }
    : null
}

const isAlive = (record: Recorded) => typeof record !== "string" && record.exit === null

/** What nobody has, in the order in which it is to be removed. */
export const judge = (remains: ReadonlyArray<Remain>, known: Known): ReadonlyArray<Verdict> => {
  const records = new Map<string, Recorded>()
  for (const { owner, record } of remains) {
    if (owner !== null && record !== undefined) records.set(containerKey(owner), record)
  }
  const recordOf = (owner: ContainerRef) => records.get(containerKey(owner)) ?? "none"
  return remains.flatMap((remain): ReadonlyArray<Verdict> => {
    if (remain.owner === null) return [{ remain, removal: "repair", reason: null }]
    const key = containerKey(remain.owner)
    if (known.tasks.has(key)) {
      return remain.kind === "record" ? [{ remain, removal: "never", reason: damagedReason(true) }] : []
    }
    const record = recordOf(remain.owner)
    // A host that is making one has no record of it yet.
    if (known.held.has(key) && typeof record === "string") return []
    const verdict = ofUnknown(remain, record, known)
    return verdict === null ? [] : [verdict]
  })
}
