/**
 * What a runtime leaves behind when it is killed in the middle of a call: copies of itself that wait for a parent which
 * is gone, and cgroups that it did not come to write down. `delete --force` knows of neither. Removes only what can
 * belong to nobody else.
 */
import { Effect, Option, Schedule } from "effect"
import { existsSync, readdirSync, rmdirSync } from "node:fs"
import { join } from "node:path"
import { cgroupsPath } from "./Bundle.ts"
import * as Proc from "../posix/Proc.ts"

const forks = Effect.fnUntraced(function* (argument: string) {
  const found: Array<number> = []
  for (const pid of yield* Proc.children) {
    // A zombie has no arguments.
    if ((yield* Proc.argv(pid)).includes(argument)) found.push(pid)
  }
  return found
})

/**
 * Kills those of our children that still carry `argument`, a path used in one call only: they are forks of that call's
 * runtime. Goes on until there is none, because the children of the killed become ours in turn.
 */
export const killForks = Effect.fn("Leftovers.killForks")(function* (argument: string) {
  for (let left = 100; left > 0; left--) {
    const found = yield* forks(argument)
    if (found.length === 0) return
    yield* Effect.forEach(found, kill, { discard: true })
    yield* Effect.sleep("5 millis")
  }
})

/** Kills a child of ours that nobody has waited for, so that its pid still means it. */
export const kill = (pid: number): Effect.Effect<void> =>
  Effect.ignore(
    Effect.try({
      try: () => process.kill(pid, "SIGKILL"),
      catch: () => "it has ended" as const
    })
  )

/** Every directory of that path: in the one hierarchy of version 2, or in each of version 1. */
const directories = (root: string, path: string): ReadonlyArray<string> => {
  const hierarchies = existsSync(join(root, "cgroup.controllers")) ? ["."] : readdirSync(root)
  return hierarchies.map((hierarchy) => join(root, hierarchy, path)).filter((directory) => existsSync(directory))
}

const removeEmpty = (directory: string): void => {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeEmpty(join(directory, entry.name))
  }
  rmdirSync(directory)
}

/**
 * Removes the cgroups of the bundle's container. The kernel refuses while a process is in one, so this tries for a
 * while, then leaves it.
 */
export const removeCgroups = (bundle: string, root = "/sys/fs/cgroup"): Effect.Effect<void> =>
  Effect.forEach(
    Option.match(cgroupsPath(bundle), { onNone: () => [], onSome: (path) => directories(root, path) }),
    (directory) =>
      Effect.try({ try: () => removeEmpty(directory), catch: () => "in use" as const }).pipe(
        Effect.retry(Schedule.upTo(Schedule.spaced("20 millis"), { times: 25 })),
        Effect.ignore
      ),
    { discard: true }
  )
