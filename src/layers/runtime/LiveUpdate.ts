/**
 * Changes the limits of a live container, all or none. The runtime is told what every runtime can do, so that its own records stay true; whatever it passes
 * over, or writes beside what was asked, is then set right in the container's groups. Where anything is refused, or the call is interrupted, every value is
 * brought back to what it was. It never takes the runtime's word for what the kernel holds.
 */
import { Effect, Exit } from "effect"
import { RuntimeFailed, Unsupported } from "../../schema/Errors.ts"
import type { RuntimeName } from "../../schema/Ids.ts"
import type { Resources } from "../../schema/Resources.ts"
import type { DriverError } from "../../services/OciRuntime.ts"
import { flatten, unflatten, unlimited } from "../../spec/Limits.ts"
import type { Limits } from "../../spec/Limits.ts"
import type { Where } from "../cgroup/limits/LimitFiles.ts"
import * as LimitFiles from "../cgroup/limits/LimitFiles.ts"
import { codeOf } from "../posix/Libc.ts"

export interface Update {
  readonly runtime: RuntimeName
  readonly where: Where
  readonly changes: Resources
  /** Has the runtime set these. */
  readonly call: (resources: Resources) => Effect.Effect<void, DriverError>
}

/**
 * What runc and crun, in all their versions, set without fault. The rest they refuse, pass over without a word, or do on some kernels only: throttles, huge
 * pages, weights, real time, bursts, and the end of a limit of processor time or processes.
 */
const forRuntime = (wanted: Limits): Limits =>
  new Map(
    Array.from(wanted).filter(
      ([key, value]) => key.startsWith("memory.") || (value !== -1 && certain.some((known) => known === key))
    )
  )

const certain = ["cpu.shares", "cpu.quota", "cpu.period", "cpu.cpus", "cpu.mems", "pids.limit"] as const

const hints: { readonly [code: string]: string } = {
  EBUSY: "more is in use",
  ERANGE: "there is no such processor or node",
  EINVAL: "it contradicts another limit, or the kernel has no such value",
  ENODEV: "there is no such device",
  EACCES: "the groups are read-only",
  EPERM: "not permitted",
  EROFS: "the groups are read-only"
}

/** What the kernel held before, and holds now. */
export const run = Effect.fnUntraced(function* ({ call, changes, runtime, where }: Update) {
  const failed = (detail: string) =>
    new RuntimeFailed({ runtime, command: "update", exitCode: 0, reason: "failed", detail, log: [] })
  const attempt = <A>(work: () => A) =>
    Effect.try({ try: work, catch: (error) => failed(`the container's groups cannot be read: ${codeOf(error)}`) })

  const files = yield* attempt(() => LimitFiles.open(where))
  if (files === null) return yield* new Unsupported({ driver: runtime, capability: "update without a cgroup" })
  const wanted = flatten(changes)
  for (const key of wanted.keys()) {
    if (!files.has(key)) return yield* new Unsupported({ driver: runtime, capability: `${key} on this host` })
  }
  const before = yield* attempt(files.read)
  const settle = (limits: Limits) =>
    Effect.flatMap(
      attempt(() => files.settle(limits)),
      (refusal) =>
        refusal === null
          ? Effect.void
          : Effect.fail(failed(`${refusal.key}: refused, ${hints[refusal.code] ?? refusal.code}`))
    )
  const unset = Array.from(wanted.keys()).flatMap((key) => {
    const none = before.has(key) ? undefined : unlimited(key)
    return none === undefined ? [] : [[key, none] as const]
  })
  const putBack = Effect.catch(settle(new Map([...before, ...unset])), (error) =>
    Effect.logWarning(`limits of a container are not put back: ${error.message}`)
  )
  const told = forRuntime(wanted)
  const work = Effect.gen(function* () {
    if (told.size > 0) yield* call(unflatten(told))
    yield* settle(new Map([...before, ...wanted]))
    return { before: unflatten(before), after: unflatten(yield* attempt(files.read)) }
  })
  return yield* Effect.onExit(work, (exit) => (Exit.isSuccess(exit) ? Effect.void : putBack))
})
