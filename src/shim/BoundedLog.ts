/**
 * Keeps the shim's log small: it is the shim's own standard error, appended to, so it can be emptied while it is open. What it held goes to a second file
 * first; of both together there is never much more than twice the limit.
 */
import { Effect, Schedule } from "effect"
import { copyFileSync, fstatSync, ftruncateSync } from "node:fs"
import { join } from "node:path"

const limit = 1024 * 1024
const stderr = 2

/** Looks once. `fd` is open for appending to `shim.log` in the state folder; where it is no file nothing happens. */
export const bound = (state: string, fd = stderr) =>
  Effect.ignore(
    Effect.try(() => {
      const found = fstatSync(fd)
      if (!found.isFile() || found.size <= limit) return
      const path = join(state, "shim.log")
      copyFileSync(path, `${path}.1`)
      ftruncateSync(fd)
    })
  )

/** Looks now and then for as long as the scope is open. */
export const keepBounded = (state: string) =>
  Effect.forkScoped(Effect.repeat(bound(state), Schedule.spaced("30 seconds")))
