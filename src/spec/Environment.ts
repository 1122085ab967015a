/** The environment of a process: defaults, then what is asked for, each name once. */
import { Result } from "effect"
import { fail, type Problem } from "./Problem.ts"

const nameOf = (entry: string) => entry.slice(0, entry.indexOf("="))

/** Both lists in order of first appearance, a later value of a name replacing an earlier one. */
export const merge = (
  base: ReadonlyArray<string>,
  asked: ReadonlyArray<string>
): Result.Result<ReadonlyArray<string>, Problem> => {
  const wrong = asked.find((entry) => entry.indexOf("=") < 1)
  if (wrong !== undefined) return fail("env", `expected NAME=value, got "${wrong}"`)
  return Result.succeed([...new Map([...base, ...asked].map((entry) => [nameOf(entry), entry])).values()])
}

/** What a program may count on: a search path, its host's name, and a kind of terminal where it has one. */
export const defaults = (hostname: string | undefined, terminal: boolean): ReadonlyArray<string> => [
  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  ...(hostname === undefined ? [] : [`HOSTNAME=${hostname}`]),
  ...(terminal ? ["TERM=xterm"] : [])
]
