/**
 * File operations on paths that users name. Such a path may lie on a mount that does not answer, where any of them takes for ever: so none is done in the event
 * loop, which is that of all containers. Node's few threads do them, no more than two at a time, for the others have the logs to write; the next ones wait for
 * their turn. What has not been answered in ten seconds is given up, and what comes of it later is let go.
 */
import { Context, Effect, Exit } from "effect"
import { access, close, constants, fstat, lstat, open, stat, write } from "node:fs"
import type { BigIntStats, Stats } from "node:fs"
import { codeOf } from "../posix/Libc.ts"

const most = 2
const patience = "10 seconds"

/** Does one thing after the other, so many at a time: a thread that hangs keeps its place. */
export const makeLanes = () => {
  const waiting: Array<(done: () => void) => void> = []
  let busy = 0
  const next = () => {
    while (busy < most) {
      const begin = waiting.shift()
      if (begin === undefined) return
      busy++
      begin(() => {
        busy--
        next()
      })
    }
  }
  return (begin: (done: () => void) => void) => {
    waiting.push(begin)
    next()
  }
}

/** Those of this process. */
export const Lanes = Context.Reference<ReturnType<typeof makeLanes>>("berth/layers/io/UserPaths/Lanes", {
  defaultValue: makeLanes
})

/** What is given up looks like any other failure of a file. */
class NoAnswer extends Error {
  readonly code = "ETIMEDOUT"
}

/**
 * One operation, by a function of `node:fs` that calls back; fails with what that tells, or with the code ETIMEDOUT. Can be interrupted wherever it is used;
 * `letGo` gets what nobody wants any more.
 */
export const call = <A>(
  begin: (done: (error: Error | null, value: A) => void) => void,
  letGo: (late: A) => void = () => {}
): Effect.Effect<A, unknown> =>
  Effect.gen(function* () {
    const inTurn = yield* Lanes
    let abandoned = false
    let got: { readonly value: A } | undefined
    const answer = Effect.callback<A, unknown>((resume) =>
      inTurn((done) => {
        if (abandoned) return done()
        begin((error, value) => {
          done()
          if (error !== null) return resume(Effect.fail(error))
          if (abandoned) return letGo(value)
          got = { value }
          resume(Effect.succeed(value))
        })
      })
    )
    return yield* Effect.interruptible(
      Effect.timeoutOrElse(answer, { duration: patience, orElse: () => Effect.fail(new NoAnswer()) })
    ).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) return
          abandoned = true
          if (got !== undefined) letGo(got.value)
        })
      )
    )
  })

/** Closes a descriptor of such a file, some time. */
export const closeLater = (fd: number): Effect.Effect<void> =>
  Effect.map(Lanes, (inTurn) => inTurn((done) => close(fd, done)))

/** A file that is written to, and closed as soon as no thread is at that any more. */
export interface UserFile {
  readonly fd: number
  /** The number of bytes that were written, or the errno's name. Takes as long as it takes; where it is interrupted, whatever is under way goes on. */
  readonly write: (bytes: Uint8Array) => Effect.Effect<number | string>
  /** Returns at once, and may be called again. */
  readonly close: Effect.Effect<void>
}

/** Takes charge of a descriptor. */
export const userFile = (fd: number): Effect.Effect<UserFile> =>
  Effect.map(Lanes, (inTurn) => {
    let [writing, closing, closed] = [0, false, false]
    const closeIdle = () => {
      if (!closing || closed || writing > 0) return
      closed = true
      inTurn((done) => close(fd, done))
    }
    return {
      fd,
      write: (bytes) =>
        Effect.callback<number | string>((resume) => {
          let wanted = true
          inTurn((done) => {
            if (!wanted || closing) return done()
            writing++
            write(fd, bytes, 0, bytes.length, null, (error, written) => {
              writing--
              done()
              closeIdle()
              resume(Effect.succeed(error === null ? written : codeOf(error)))
            })
          })
          return Effect.sync(() => void (wanted = false))
        }),
      close: Effect.sync(() => {
        closing = true
        closeIdle()
      })
    }
  })

/** A descriptor; the caller has it closed by `closeLater`. */
export const openFile = (path: string, flags: number, mode = 0o600) =>
  Effect.flatMap(Lanes, (inTurn) =>
    call<number>(
      (done) => open(path, flags, mode, done),
      (fd) => inTurn((done) => close(fd, done))
    )
  )

export const statOpen = (fd: number) => call<Stats>((done) => fstat(fd, done))

export const statOf = (path: string) => call<Stats>((done) => stat(path, done))

/** Of a link itself, in whole numbers. */
export const statOfName = (path: string) => call<BigIntStats>((done) => lstat(path, { bigint: true }, done))

/** Fails where it may not be executed. */
export const mayExecute = (path: string) => call<void>((done) => access(path, constants.X_OK, (error) => done(error)))
