/** A log that keeps nothing: output that nobody wants has to be read all the same, or its process would wait for ever. */
import { Effect } from "effect"
import type { LogWriter } from "./LogWriter.ts"

export const nowhere: LogWriter = {
  add: () => true,
  end: () => {},
  onRoom: (resume) => resume(),
  flush: Effect.void,
  hasRoom: () => true,
  lose: () => {},
  onSettled: (resume) => resume(true),
  checkpoint: () => ({ place: { file: 0, offset: 0 }, amounts: { stdout: 0, stderr: 0 } }),
  onCheckpoint: () => {},
  patiently: (waiting) => Effect.as(waiting, "complete" as const)
}
