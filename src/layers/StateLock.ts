/**
 * The lock of a state folder: one daemon, or one app that embeds berth, at a time. Two of them on different roots would share the folder's shim, and each
 * would take the other's containers for leftovers. The kernel lets go of it when its process ends, however that happens. Shims do not take it: they outlive
 * their daemon.
 */
import { Effect, Layer } from "effect"
import { closeSync, mkdirSync, openSync } from "node:fs"
import { join } from "node:path"
import { Unavailable } from "../schema/Errors.ts"
import { reasonOf } from "./Folders.ts"
import { diskFailure } from "./io/DiskFailure.ts"
import { Libc } from "./posix/Libc.ts"

const what = "state folder"

/** That the folder cannot be written to: ResourceExhausted where its disk is full. */
export const failure = (state: string, error: unknown) => {
  const found = diskFailure(what, "write to it", join(state, "lock"), error)
  if (found._tag === "ResourceExhausted") return found
  const problem = `cannot write to ${state}: ${reasonOf(error)}`
  return new Unavailable({ what, problem, mend: found.mend ?? "choose another --state" })
}

const open = (state: string) =>
  Effect.try({
    try: () => {
      mkdirSync(state, { recursive: true, mode: 0o700 })
      return openSync(join(state, "lock"), "a", 0o600)
    },
    catch: (error) => failure(state, error)
  })

const make = Effect.fnUntraced(function* ({ state }: { readonly state: string }) {
  const libc = yield* Libc
  const fd = yield* Effect.acquireRelease(open(state), (opened) => Effect.sync(() => closeSync(opened)))
  const locked = yield* Effect.mapError(
    libc.lock(fd),
    ({ message }) => new Unavailable({ what, problem: `cannot lock ${state}: ${message}`, mend: null })
  )
  if (!locked) {
    return yield* new Unavailable({
      what,
      problem: `another berth daemon uses ${state}`,
      mend: "stop that one, or choose another --state"
    })
  }
})

/** Held as long as the scope. Unavailable where another process holds it; ResourceExhausted where the disk is full. */
export const layer = (options: { readonly state: string }) =>
  Layer.effectDiscard(make(options)).pipe(Layer.provide(Libc.layer))
