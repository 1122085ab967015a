/**
 * The lock of the shim of a state folder: whoever has it is the parent of the folder's processes and the only one to take them over. The kernel lets go of it
 * when its process ends, however that happens; children do not inherit it. Its file says who has it, so that a shim whose socket is gone can be told to listen
 * anew. Shims of earlier versions have no lock; that one of them lives is seen at the socket alone.
 */
import { Effect, Option, Runtime, Schema } from "effect"
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import type { Identity } from "../../schema/TaskState.ts"
import { diskFailure, unavailable } from "../io/DiskFailure.ts"
import { Libc } from "../posix/Libc.ts"
import * as Proc from "../posix/Proc.ts"
import { probe } from "../server/Listen.ts"

/** Where the shim of a state folder listens. */
export const socketOf = (state: string) => join(state, "shim.sock")

const fileOf = (state: string) => join(state, "shim.lock")
const what = "state folder"
const SIGHUP = 1

/** What a shim ends with that does not get the lock. */
export const heldCode = 75

/** Another shim has the folder; `answers`: on its socket too. */
export class Held extends Schema.TaggedError<Held>()("Held", {
  pid: Schema.NullOr(Schema.Int),
  answers: Schema.Boolean
}) {
  override readonly [Runtime.errorExitCode] = heldCode
  override readonly [Runtime.errorReported] = false
  override get message() {
    const who = this.pid === null ? "another shim" : `another shim (pid ${this.pid})`
    return this.answers ? `${who} serves this folder` : `${who} has this folder, and does not listen on its socket`
  }
}

/** The living process that has the lock, as far as it has said so. */
export const holder = (state: string): Effect.Effect<Option.Option<Identity>> =>
  Effect.gen(function* () {
    const text = yield* Effect.try(() => readFileSync(fileOf(state), "utf8"))
    const [pid, startTime = "", bootId = ""] = text.trim().split(" ")
    const identity: Identity = { pid: Number(pid), startTime, bootId }
    if (!Number.isInteger(identity.pid) || identity.pid < 1 || bootId !== (yield* Proc.bootId)) return Option.none()
    return Option.as(yield* Proc.find(identity), identity)
  }).pipe(Effect.orElseSucceed(() => Option.none()))

const sayWho = (fd: number) =>
  Effect.gen(function* () {
    const [own, bootId] = [yield* Proc.stat(process.pid), yield* Proc.bootId]
    if (Option.isNone(own)) return
    const text = `${process.pid} ${own.value.startTime} ${bootId}\n`
    yield* Effect.try(() => {
      ftruncateSync(fd)
      writeSync(fd, text)
    })
    // The lock is what counts: on a full disk nobody can be told where it is, and that is all.
  }).pipe(Effect.ignore)

/** Takes the lock for as long as the scope, by the descriptor that it gives; `null` where another has it. */
export const attempt = (state: string) =>
  Effect.acquireRelease(
    Effect.gen(function* () {
      const libc = yield* Libc
      const fd = yield* Effect.try({
        try: () => {
          mkdirSync(state, { recursive: true, mode: 0o700 })
          // Node opens everything close-on-exec: a lock belongs to all who have inherited its descriptor.
          return openSync(fileOf(state), "a", 0o600)
        },
        catch: (error) => diskFailure(what, "open its lock", fileOf(state), error)
      })
      const close = Effect.sync(() => closeSync(fd))
      const locked = yield* Effect.onError(libc.lock(fd), () => close).pipe(
        Effect.mapError((error) => unavailable(what, "lock it", error))
      )
      if (locked) return fd
      yield* close
      return null
    }),
    (fd) => Effect.sync(() => fd !== null && closeSync(fd))
  )

/** Tells the one that has the lock to look whether its socket is there. It heeds that from the first moment on: to others the signal is the end. */
const rouse = (state: string) =>
  Effect.gen(function* () {
    const libc = yield* Libc
    const found = yield* holder(state)
    if (Option.isNone(found)) return
    yield* Effect.acquireUseRelease(
      libc.pidfdOpen(found.value.pid),
      // Only now it is sure whose descriptor that is.
      (pidfd) =>
        Effect.flatMap(Proc.find(found.value), (same) =>
          Option.isSome(same) ? libc.pidfdSendSignal(pidfd, SIGHUP) : Effect.void
        ),
      (pidfd) => Effect.sync(() => closeSync(pidfd))
    )
  }).pipe(Effect.ignore)

/** How often to try, in milliseconds, and how often to tell the other one; and how often at most, as long as nobody answers. */
const [every, rouseEvery, most] = [20, 50, 250]

/**
 * Takes the lock for as long as the scope. One that has it and does not answer may be about to end, or to listen, or has lost its socket: for five seconds it is
 * waited for. Held where it stays.
 */
export const hold = Effect.fn("ShimLock.hold")(function* (state: string) {
  for (let tries = 0; ; tries++) {
    const fd = yield* attempt(state)
    const answers = (yield* probe(socketOf(state))) === "alive"
    if (fd !== null && !answers) return yield* sayWho(fd)
    // One of an earlier version.
    if (fd !== null) return yield* new Held({ pid: null, answers })
    if (answers || tries === most) {
      const pid = Option.map(yield* holder(state), (found) => found.pid)
      return yield* new Held({ pid: Option.getOrNull(pid), answers })
    }
    if (tries % rouseEvery === 0) yield* rouse(state)
    yield* Effect.sleep(every)
  }
})
