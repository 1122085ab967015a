/** The end of a process that nobody saw, told as what it is: an exit whose status is not known. */
import type { DateTime } from "effect"
import type { Exit } from "../schema/Process.ts"
import type { Identity } from "../schema/TaskState.ts"

export const lost = (id: string, { pid }: Identity, exitedAt: DateTime.Utc): Exit => ({
  id,
  pid,
  exitStatus: 255,
  exitedAt,
  oomKilled: false,
  source: "unknown",
  oomCount: null,
  memoryPeak: null
})
