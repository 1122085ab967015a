/**
 * What a runtime leaves behind when a call does not come to its end: copies of itself that wait for a parent which is
 * gone, and cgroups that it did not come to write down. `delete --force` knows of neither. Removes only what can belong
 * to nobody else.
 */
import { Effect, Option, Schedule } from "effect"
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs"
import { join } from "node:path"
import type { Target } from "../../services/OciRuntime.ts"
import { cgroupsPath, hasCgroup } from "./Bundle.ts"
import { codeOf } from "../posix/Libc.ts"
import * as Proc from "../posix/Proc.ts"

/** How often, within some ten seconds, children are looked for that cannot be seen for want of descriptors. */
const looks = Schedule.upTo(Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("1 second")]), {
  times: 12
})

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
export const killForks = Effect.fn("Leftovers.killForks")(
  function* (argument: string) {
    for (let left = 100; left > 0; left--) {
      const found = yield* Effect.retry(forks(argument), looks)
      if (found.length === 0) return
      yield* Effect.forEach(found, kill, { discard: true })
      yield* Effect.sleep("5 millis")
    }
  },
  Effect.catch(({ message }) =>
    Effect.logWarning(`what an unfinished call of a runtime has left may go on: ${message}`)
  )
)

/** Kills a child of ours that nobody has waited for, so that its pid still means it. */
export const kill = (pid: number): Effect.Effect<void> =>
  Effect.ignore(
    Effect.try({
      try: () => process.kill(pid, "SIGKILL"),
      catch: () => "it has ended" as const
    })
  )

/** Every directory of that path: in the one hierarchy of version 2, or in each of version 1, of which some have two names. */
export const cgroupDirectories = (path: string, root = "/sys/fs/cgroup"): ReadonlyArray<string> => {
  const hierarchies = existsSync(join(root, "cgroup.controllers"))
    ? ["."]
    : readdirSync(root, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
  return hierarchies.map((hierarchy) => join(root, hierarchy, path)).filter((directory) => existsSync(directory))
}

const groupsIn = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? [join(directory, entry.name)] : []
  )

/** Whether a process is in a group or in one below it; of what is not there, none is. */
export const isPopulated = (directory: string): boolean => {
  try {
    return readFileSync(join(directory, "cgroup.procs"), "utf8") !== "" || groupsIn(directory).some(isPopulated)
  } catch (error) {
    // A threaded group of version 2 does not list its processes: it would not be there without one.
    return codeOf(error) !== "ENOENT"
  }
}

const removeTree = (directory: string): void => {
  try {
    groupsIn(directory).forEach(removeTree)
    rmdirSync(directory)
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error
  }
}

/** Removes a group with those below it, all of them or none: where a process is in one of them they are somebody's. */
export const removeEmpty = (directory: string): Effect.Effect<void, "in use"> =>
  Effect.suspend(() => {
    if (isPopulated(directory)) return Effect.fail("in use" as const)
    return Effect.try({ try: () => removeTree(directory), catch: () => "in use" as const })
  })

/** The directories of the cgroup that the bundle's container has; none where its runtime chooses the place. */
export const cgroupsOf = ({ bundle }: Target): ReadonlyArray<string> =>
  Option.match(cgroupsPath(bundle), { onNone: () => [], onSome: (path) => cgroupDirectories(path) })

/** Whether its cgroup has the name that berth gives (decision 0008), so that it can only be the container's. */
const isOwn = ({ bundle, containerId, namespace }: Target): boolean =>
  hasCgroup(bundle, `--${namespace}--${containerId}"`)

/** Those of them that berth has named. */
export const ownCgroupsOf = (target: Target): ReadonlyArray<string> => (isOwn(target) ? cgroupsOf(target) : [])

/**
 * Those of them that somebody has made before the container: they stay. Of a name that is berth's own neither the rest of
 * the specification nor the hierarchies are looked at.
 */
export const madeBefore = (target: Target): ReadonlyArray<string> => (isOwn(target) ? [] : cgroupsOf(target))

/** Removes such cgroups where they are empty. With `patience` it waits a while for processes that are about to end. */
export const removeCgroups = (
  directories: ReadonlyArray<string>,
  { patience }: { readonly patience: boolean }
): Effect.Effect<void> =>
  Effect.forEach(
    directories,
    (directory) =>
      removeEmpty(directory).pipe(
        Effect.retry(Schedule.upTo(Schedule.spaced("20 millis"), { times: patience ? 25 : 0 })),
        Effect.ignore
      ),
    // One patience for all of them.
    { concurrency: "unbounded", discard: true }
  )
