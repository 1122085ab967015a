/**
 * The copy-on-write view of a root filesystem (`spec/Overlay.ts`) in a bundle: `rootfs` is where it is mounted, `overlay` holds what is written. What is
 * mounted here is never looked into to remove it: it is unmounted, and only what was written is deleted.
 */
import { Effect } from "effect"
import { chmodSync, chownSync, existsSync, mkdirSync, rmdirSync } from "node:fs"
import type { Stats } from "node:fs"
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { InvalidArgument, Unavailable } from "../schema/Errors.ts"
import { root } from "../spec/Overlay.ts"
import { diskFailure, unavailable } from "./io/DiskFailure.ts"
import * as UserPaths from "./io/UserPaths.ts"
import { codeOf } from "./posix/Libc.ts"
import type { Libc, PosixError } from "./posix/Libc.ts"

const what = "overlay"
/** The kernel takes one page of options. */
const maxOptions = 4095
/** So often a mount may have been made on top of another. */
const layers = 8

const places = (bundle: string) => {
  const own = join(bundle, "overlay")
  return { target: join(bundle, root), own, upper: join(own, "upper"), work: join(own, "work") }
}

const escaped = (path: string) => path.replaceAll(/[\\,:]/g, "\\$&")

/** What is at the bottom, where it can be that. */
const check = Effect.fnUntraced(function* (lower: string) {
  const wrong = (problem: string) => new InvalidArgument({ field: "rootfs", problem })
  if (!lower.startsWith("/")) return yield* wrong(`a copy on write needs an absolute path, got "${lower}"`)
  const found = yield* Effect.mapError(UserPaths.statOf(lower), (error) =>
    ["ENOENT", "ENOTDIR"].includes(codeOf(error))
      ? wrong(`"${lower}" does not exist`)
      : unavailable(what, "look at the root filesystem", error)
  )
  return found.isDirectory() ? found : yield* wrong(`"${lower}" is not a folder`)
})

/** The top of the view has the rights of what is written, so these must be those of the folder beneath. */
const writable = (bundle: string, { gid, mode, uid }: Stats): void => {
  const { upper, work } = places(bundle)
  for (const folder of [upper, work]) mkdirSync(folder, { mode: 0o700 })
  chownSync(upper, uid, gid)
  chmodSync(upper, mode & 0o7777)
}

/** Mounts the view. Where it fails, what is left is for `release`. */
export const mount = Effect.fnUntraced(function* (libc: Libc["Service"], bundle: string, lower: string) {
  const { own, target, upper, work } = places(bundle)
  const making = (run: () => void) =>
    Effect.try({ try: run, catch: (error) => diskFailure(what, "make its folders", bundle, error) })
  const found = yield* check(lower)
  const options = `lowerdir=${escaped(lower)},upperdir=${escaped(upper)},workdir=${escaped(work)}`
  if (Buffer.byteLength(options) > maxOptions) {
    return yield* new InvalidArgument({ field: "rootfs", problem: "its path is too long for a copy on write" })
  }
  yield* making(() => {
    mkdirSync(target, { mode: 0o755 })
    mkdirSync(own, { mode: 0o700 })
    writable(bundle, found)
  })
  const failed = ({ code }: PosixError) =>
    new Unavailable({ what, problem: `"${lower}" cannot be mounted: ${code}`, mend: "run without --overlay" })
  const view = libc.mount("overlay", target, options)
  // Not every filesystem can hold what is written: another overlay cannot. Memory can.
  const inMemory = Effect.mapError(libc.mount("tmpfs", own, "mode=0700"), failed).pipe(
    Effect.andThen(making(() => writable(bundle, found))),
    Effect.andThen(Effect.mapError(view, failed))
  )
  yield* Effect.catch(view, (error) => (error.code === "EINVAL" ? inMemory : Effect.fail(failed(error))))
})

/** Removes the view and what was written; where there is none it does nothing. */
export const release = Effect.fnUntraced(function* (libc: Libc["Service"], bundle: string) {
  const { own, target } = places(bundle)
  if (!existsSync(own) && !existsSync(target)) return
  for (const place of [target, own]) {
    for (let left = layers; left > 0 && (yield* Effect.isSuccess(libc.unmount(place))); left--);
  }
  yield* Effect.tryPromise({
    try: () => rm(own, { recursive: true, force: true }),
    catch: (error) => unavailable(what, "remove what was written", error)
  })
  // With something in it, it is still mounted: then it stays as it is.
  yield* Effect.try({
    try: () => existsSync(target) && rmdirSync(target),
    catch: (error) => unavailable(what, "unmount it", error)
  })
})
