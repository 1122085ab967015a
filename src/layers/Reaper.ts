/**
 * The reaper of a real process. It becomes the subreaper, so that what a runtime leaves behind becomes its child, and
 * has exactly the children waited for that were claimed. A child that ends before it is claimed stays a zombie until
 * then. While it is unreaped its pid cannot be reused, which is what makes `signal` safe.
 */
import { Cause, DateTime, Deferred, Effect, Layer, Option } from "effect"
import { closeSync } from "node:fs"
import { PermissionDenied, Unavailable } from "../schema/Errors.ts"
import type { Reaped } from "../schema/Process.ts"
import type { Identity } from "../schema/TaskState.ts"
import { ProcessReaper } from "../services/ProcessReaper.ts"
import type { Child } from "../services/ProcessReaper.ts"
import { Children } from "./posix/Children.ts"
import { Libc } from "./posix/Libc.ts"
import type { PosixError } from "./posix/Libc.ts"
import * as Proc from "./posix/Proc.ts"
import * as Foreign from "./reaper/Foreign.ts"
import * as Pins from "./reaper/Pins.ts"
import * as Strays from "./reaper/Strays.ts"

const strayInterval = "100 millis"
/** When strays are looked for again that could not be. */
const retryInterval = "1 second"

interface Claim extends Child {
  readonly done: Deferred.Deferred<Reaped>
  /** False once the kernel has said that it is not our child. */
  own: boolean
}

/** A signal that could not be sent because its process has ended is an answer. Who is not root may not signal a program that has become another user's. */
const sent = (pid: number, send: Effect.Effect<void, PosixError>): Effect.Effect<boolean, PermissionDenied> =>
  send.pipe(
    Effect.as(true),
    Effect.catch((error) => {
      if (error.code === "ESRCH") return Effect.succeed(false)
      if (error.code !== "EPERM") return Effect.die(error)
      return Effect.fail(new PermissionDenied({ problem: `process ${pid} is another user's: it may not be signalled` }))
    })
  )

const make = Effect.gen(function* () {
  const libc = yield* Libc
  const children = yield* Children
  const scope = yield* Effect.scope
  const bootId = yield* Proc.bootId
  const claims = new Map<number, Claim>()
  const watchForeign = yield* Foreign.make
  const pins = yield* Pins.make
  const strays = yield* Strays.make((pid) => claims.has(pid))

  yield* libc.setChildSubreaper.pipe(
    Effect.mapError(
      (error) => new Unavailable({ what: "process reaper", problem: error.message, mend: "npm install koffi" })
    )
  )

  const complete = (claim: Claim, reaped: Reaped) =>
    Effect.suspend(() => {
      if (claims.get(claim.identity.pid) === claim) claims.delete(claim.identity.pid)
      return Deferred.succeed(claim.done, reaped)
    })

  /** Until the claim is complete; by what the kernel says of the process where it is not ours to wait for. */
  const follow = (claim: Claim) =>
    Effect.flatMap(children.adopt(claim.identity.pid), ({ exit }) => exit).pipe(
      Effect.matchEffect({
        onSuccess: (exitStatus) =>
          Effect.flatMap(DateTime.now, (exitedAt) => complete(claim, { exitStatus, exitedAt, source: "reaped" })),
        onFailure: () => {
          claim.own = false
          return watchForeign(claim.identity, (reaped) => complete(claim, reaped))
        }
      })
    )

  const sweepStrays = Effect.repeat(Effect.andThen(Effect.sleep(strayInterval), strays.sweep()), {
    until: (left) => !left
  })
  // Whatever goes wrong in one sweep is no reason to make no other.
  let lastProblem = ""
  const sweepAtLast: Effect.Effect<unknown> = Effect.catchCause(sweepStrays, (cause) =>
    Effect.gen(function* () {
      const problem = String(Cause.squash(cause))
      if (problem !== lastProblem) yield* Effect.logWarning("strays are looked for again later", cause)
      lastProblem = problem
      yield* Effect.sleep(retryInterval)
      yield* sweepAtLast
    })
  )
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(children.stranger, sweepAtLast)))
  yield* Effect.addFinalizer(() =>
    Effect.forEach(Array.from(claims.values()), ({ done }) => Deferred.interrupt(done), { discard: true })
  )

  const claim = Effect.fn("ProcessReaper.claim")(function* (pid: number) {
    const known = claims.get(pid)
    if (known !== undefined) return known
    const found = yield* Proc.stat(pid)
    if (Option.isNone(found)) {
      const stray = strays.recall(pid)
      if (Option.isSome(stray)) {
        const { exitStatus, startTime } = stray.value
        const reaped: Reaped = { exitStatus, exitedAt: yield* DateTime.now, source: "reaped" }
        return { identity: { pid, startTime, bootId }, exit: Effect.succeed(reaped) }
      }
    }
    // None: it was gone before anybody came to claim it.
    const startTime = Option.match(found, { onNone: () => "0", onSome: (found) => found.startTime })
    const done = Deferred.makeUnsafe<Reaped>()
    const made: Claim = { identity: { pid, startTime, bootId }, exit: Deferred.await(done), done, own: true }
    claims.set(pid, made)
    yield* Effect.forkIn(follow(made), scope, { startImmediately: true })
    return made
  }, Effect.uninterruptible)

  /** For a process that another may reap: a descriptor of it cannot come to mean another process, a pid can. */
  const signalForeign = (identity: Identity, signal: number) =>
    Effect.acquireUseRelease(
      Effect.option(libc.pidfdOpen(identity.pid)),
      (pidfd) =>
        Effect.flatMap(Proc.find(identity), (found) =>
          Option.isNone(found)
            ? Effect.succeed(false)
            : sent(
                identity.pid,
                Option.isSome(pidfd) ? libc.pidfdSendSignal(pidfd.value, signal) : libc.kill(identity.pid, signal)
              )
        ),
      (pidfd) => Effect.sync(() => Option.isSome(pidfd) && closeSync(pidfd.value))
    )

  const signal = Effect.fn("ProcessReaper.signal")(function* (identity: Identity, signal: number) {
    if (identity.bootId !== bootId) return false
    const claimed = claims.get(identity.pid)
    if (claimed?.own !== true || claimed.identity.startTime !== identity.startTime) {
      return yield* signalForeign(identity, signal)
    }
    // Of a child the kernel says it without a descriptor.
    const ended = yield* Effect.option(libc.hasEnded(identity.pid))
    if (Option.isNone(ended)) return yield* signalForeign(identity, signal)
    return ended.value ? false : yield* sent(identity.pid, libc.kill(identity.pid, signal))
  })

  const identify = (pid: number) =>
    Effect.map(
      Proc.stat(pid),
      Option.map(({ startTime }): Identity => ({ pid, startTime, bootId }))
    )

  const recall = Effect.fn("ProcessReaper.recall")(function* (path: string) {
    const exitedAt = yield* DateTime.now
    return Option.map(yield* pins.recall(path), (exitStatus): Reaped => ({ exitStatus, exitedAt, source: "kernel" }))
  })

  const isAlive = (identity: Identity) =>
    identity.bootId === bootId
      ? Effect.map(
          Proc.find(identity),
          Option.exists(({ exiting }) => !exiting)
        )
      : Effect.succeed(false)

  return ProcessReaper.of({ claim, identify, isAlive, signal, pin: pins.pin, recall, unpin: pins.unpin })
})

/** Fails where the system calls that it needs are not to be had. One per process. */
export const layer = Layer.effect(ProcessReaper, make)
