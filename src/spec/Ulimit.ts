/** Resource limits of a process as users write them: `nofile=1024:2048`, `core=0`, `memlock=unlimited`. */
import { Result, Schema } from "effect"
import type { OciRlimit } from "../schema/OciSpec.ts"
import { fail, type Problem } from "./Problem.ts"

/** A limit by its short name; -1 is no limit. */
export const Ulimit = Schema.Struct({ name: Schema.String, soft: Schema.Int, hard: Schema.Int })
export type Ulimit = typeof Ulimit.Type

const field = "ulimit"

const known = [
  "as",
  "core",
  "cpu",
  "data",
  "fsize",
  "locks",
  "memlock",
  "msgqueue",
  "nice",
  "nofile",
  "nproc",
  "rss",
  "rtprio",
  "rttime",
  "sigpending",
  "stack"
]

/** RLIM_INFINITY; the double nearest to it, which `OciJson` writes exactly. */
const infinity = 2 ** 64

/** A limit from `NAME=SOFT[:HARD]`; the hard limit is the soft one where it is not given. */
export const parse = (text: string): Result.Result<Ulimit, Problem> => {
  const match = /^(?:rlimit_)?([a-z]+)=(-1|unlimited|\d{1,15})(?::(-1|unlimited|\d{1,15}))?$/.exec(text.toLowerCase())
  if (match === null) return fail(field, `expected NAME=SOFT[:HARD] such as nofile=1024:2048, got "${text}"`)
  const value = (digits: string) => (digits === "unlimited" ? -1 : Number(digits))
  return Result.succeed({ name: match[1], soft: value(match[2]), hard: value(match[3] ?? match[2]) })
}

/** The limit as the specification writes it. */
export const resolve = (ulimit: Ulimit): Result.Result<OciRlimit, Problem> => {
  const name = ulimit.name.toLowerCase().replace(/^rlimit_/, "")
  if (!known.includes(name)) return fail(field, `unknown limit "${ulimit.name}"; known are ${known.join(", ")}`)
  if (ulimit.soft < -1 || ulimit.hard < -1) return fail(field, `${name} must not be negative`)
  const [soft, hard] = [ulimit.soft, ulimit.hard].map((limit) => (limit === -1 ? infinity : limit))
  if (soft > hard) return fail(field, `${name} has a soft limit above its hard limit`)
  return Result.succeed({ type: `RLIMIT_${name.toUpperCase()}`, soft, hard })
}
