/**
 * How long a shim may take to answer: as long as it gets on. One that takes over many containers, or calls a slow runtime for them, has the time it needs, and
 * the log says that it is waited for. What it does is seen in `/proc`, for it answers nothing yet: each call of a runtime is another child of it. One
 * that is seen to do nothing new for a minute is given up; it is not killed, as it is the parent of containers.
 */
import { Effect, Option } from "effect"
import { join } from "node:path"
import { Unavailable } from "../../schema/Errors.ts"
import * as Proc from "../posix/Proc.ts"

/** Seconds between two looks. */
const interval = 5
/** How many looks in a row may find nothing new: longer than any call of a runtime may take. */
const patience = 12

const isEntry = (argument: string) => /(?:^|\/)shim(?:\.js|\/main\.ts)$/.test(argument)

/** The shims of a state folder, by their arguments, with the children that each has. */
const look = Effect.fnUntraced(function* (state: string) {
  const isShim = (argv: ReadonlyArray<string>) => argv.includes(state) && argv.some(isEntry)
  const alike = yield* Proc.withArguments(isShim)
  // A child of one looks like it until it executes a program of its own.
  const pids = alike.flatMap(({ parent, pid }) => (alike.some((other) => other.pid === parent) ? [] : [pid]))
  const children = (yield* Proc.all).filter(({ parent }) => pids.includes(parent))
  return { pids, doing: [...pids, ...children.map(({ pid, startTime }) => `${pid}@${startTime}`)].join() }
})

/** Fails when the shims of that folder do not get on any more. */
const watched = Effect.fnUntraced(function* (state: string): Effect.fn.Return<never, Unavailable> {
  // One that answers soon costs no look.
  let before = ""
  let idle = 0
  for (let waited = interval; ; waited += interval) {
    yield* Effect.sleep(`${interval} seconds`)
    const seen = yield* Effect.option(look(state))
    // What cannot be seen is not idle.
    if (Option.isNone(seen)) continue
    const now = seen.value
    const who = now.pids.length === 0 ? "the shim" : `the shim (pid ${now.pids.join(", ")})`
    idle = now.doing === before ? idle + 1 : 0
    if (idle >= patience) {
      return yield* new Unavailable({
        what: "shim",
        problem: `it does not answer, and has done nothing new for ${interval * patience} seconds`,
        mend: `see ${join(state, "shim.log")}${now.pids.length === 0 ? "" : `, or kill -9 ${now.pids.join(" ")}: containers go on`}`
      })
    }
    before = now.doing
    yield* Effect.logInfo(`waiting for ${who}, which takes over what is there: ${waited} seconds so far`)
  }
})

/** That wait, for as long as the shim of the folder lives and gets on; that it has died the wait itself must notice. */
export const whileItGetsOn = <A, E>(state: string, wait: Effect.Effect<A, E>): Effect.Effect<A, E | Unavailable> =>
  Effect.raceFirst(wait, watched(state))
