/**
 * Pairs of a terminal's two ends, made by node-pty: an optional package, loaded at the first use. Only its pairs are
 * used. A process that node-pty itself starts it also waits for, and the exit status would be lost to the reaper.
 */
import { Effect, Schema } from "effect"
import { closeSync, readlinkSync } from "node:fs"
import { createRequire } from "node:module"
import { Unavailable } from "../../schema/Errors.ts"
import type { TerminalSize } from "../../schema/Process.ts"
import { Libc } from "../posix/Libc.ts"

const Pair = Schema.Struct({ master: Schema.Int, slave: Schema.Int })
const decodePair = Schema.decodeUnknownSync(Pair)

type Open = (columns: number, rows: number) => unknown

const isOpen = (value: unknown): value is Open => typeof value === "function"

const load = (): Open | null => {
  try {
    const found: unknown = createRequire(import.meta.url)("node-pty")
    const native = typeof found === "object" && found !== null && "native" in found ? found.native : null
    const open = typeof native === "object" && native !== null && "open" in native ? native.open : null
    return isOpen(open) ? open : null
  } catch {
    return null
  }
}

/** Whether there is a node-pty that can be used. */
export const isInstalled: Effect.Effect<boolean> = Effect.sync(() => load() !== null)

const failed = (problem: string) =>
  new Unavailable({ what: "a terminal", problem, mend: "npm install node-pty beside berth" })

/**
 * A new terminal for the scope: `master` is close-on-exec and closed with it, `path` is where its process finds the other
 * end. Only for use where no program is started at the same time.
 */
export const open = Effect.fn("NodePty.open")(function* ({ height, width }: TerminalSize) {
  const libc = yield* Libc
  const make = Effect.try({
    try: () => {
      const native = load()
      return native === null ? null : decodePair(native(width, height))
    },
    catch: (error) => failed(error instanceof Error ? error.message : "node-pty makes none")
  })
  return yield* Effect.acquireRelease(
    Effect.gen(function* () {
      const pair = yield* make
      if (pair === null) return yield* failed("node-pty is not installed")
      const { master, slave } = pair
      // node-pty's own descriptors would be inherited by every program that is started meanwhile.
      const ours = Effect.all({
        master: libc.duplicate(master),
        path: Effect.sync(() => readlinkSync(`/proc/self/fd/${slave}`))
      })
      return yield* Effect.ensuring(
        Effect.mapError(ours, ({ message }) => failed(message)),
        Effect.sync(() => [master, slave].forEach((fd) => closeSync(fd)))
      )
    }),
    ({ master }) => Effect.sync(() => closeSync(master))
  )
})
