/** A time without descriptors: whatever this process tries to open fails, and what is open stays so. */
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { Libc } from "../../src/layers/posix/Libc.ts"

const RLIMIT_NOFILE = 7

/** Has the effect run while none can be opened. */
export const withoutDescriptors = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const { setLimit } = yield* Libc
    const [soft = "", hard = ""] =
      /^Max open files +(\d+) +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.slice(1) ?? []
    const allow = (soft: bigint) => setLimit(process.pid, RLIMIT_NOFILE, { soft, hard: BigInt(hard) })
    return yield* Effect.acquireUseRelease(
      allow(3n),
      () => effect,
      () => Effect.orDie(allow(BigInt(soft)))
    )
  })
