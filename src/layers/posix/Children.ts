/**
 * The children that this process waits for, each by its pid: never "any child", which would steal the exits of Node's
 * own children and, in an app that embeds berth, of the app's. Whoever starts a program or comes by one as a subreaper
 * gets its exit here. Nothing is signalled here, and a child that nobody asked for is left as it is.
 */
import { Context, Deferred, Effect, Exit, Latch, Layer, Option, Queue, Semaphore } from "effect"
import { closeSync } from "node:fs"
import type { Unavailable } from "../../schema/Errors.ts"
import { Libc } from "./Libc.ts"
import type { PosixError } from "./Libc.ts"
import * as Proc from "./Proc.ts"
import type { Program } from "./PosixSpawn.ts"

// SIGCHLD tells at once; the slow sweep is for the one that got lost.
const sweepInterval = "2 seconds"

export interface Running {
  readonly pid: number
  /**
   * Exit code, or 128 + signal; 126 for a process taken over that failed before it executed any program. Any number may wait, before or after. ECHILD where it is not our child, or another
   * part of this process waited for it.
   */
  readonly exit: Effect.Effect<number, PosixError>
  /** True once it was waited for: from then on its pid may be another's. */
  readonly isOver: () => boolean
}

export interface Start extends Omit<Program, "stdout"> {
  /** `pipe` makes one whose other end is the caller's. */
  readonly stdout: number | null | "pipe"
}

export interface Started extends Running {
  /** The end of the pipe to read from, for the caller to close; null where none was asked for. */
  readonly output: number | null
}

/** What shells answer for a program that is there and cannot be executed. A runtime that finds that out after its `start` has nobody else to tell. */
const notExecutable = 126
/** An exit code of the process's own, other than success. */
const isError = (status: number) => status > 0 && status < 128

interface Entry extends Running {
  /** Started here, where a failure to execute shows at once. */
  readonly isOurs: boolean
  readonly done: Deferred.Deferred<number, PosixError>
}

const make = Effect.gen(function* () {
  const libc = yield* Libc
  const awaited = new Map<number, Entry>()
  const wakes = yield* Queue.sliding<void>(1)
  const strangers = yield* Queue.sliding<void>(1)
  const some = yield* Latch.make()
  // Between a system call and what is made of its answer nobody else may wait for the same child.
  const oneAtATime = yield* Semaphore.make(1)

  const end = ({ done, pid }: Entry, exit: Exit.Exit<number, PosixError>) => {
    awaited.delete(pid)
    if (awaited.size === 0) some.closeUnsafe()
    Deferred.doneUnsafe(done, exit)
  }

  /** Whether a process that another program left us ended as a piece of that program, and never became its own. The kernel knows until it is waited for. */
  const neverRan = ({ isOurs, pid }: Entry): Effect.Effect<boolean, Unavailable> =>
    isOurs
      ? Effect.succeed(false)
      : libc.hasEnded(pid).pipe(
          Effect.orElseSucceed(() => false),
          Effect.flatMap((ended) => (ended ? Proc.stat(pid) : Effect.succeedNone)),
          Effect.map(Option.exists(({ forkedOnly }) => forkedOnly))
        )

  const reap = (entry: Entry) =>
    Effect.flatMap(
      neverRan(entry),
      (idle) =>
        Effect.match(libc.waitpid(entry.pid), {
          onSuccess: Option.match({
            onNone: () => {},
            onSome: (status) => end(entry, Exit.succeed(idle && isError(status) ? notExecutable : status))
          }),
          onFailure: (error) => end(entry, Exit.fail(error))
        })
      // It stays a zombie until the next sweep, which looks again.
    ).pipe(Effect.ignore)

  const sweep = Effect.suspend(() => Effect.forEach(Array.from(awaited.values()), reap, { discard: true }))

  /** Asks the kernel who has ended, so that a wake costs the same however many live; answers that are not ours end it. */
  const look = Effect.gen(function* () {
    while (awaited.size > 0) {
      const ended = yield* Effect.exit(libc.endedChild)
      if (Exit.isSuccess(ended) && Option.isNone(ended.value)) return
      const pid = Exit.isSuccess(ended) ? Option.getOrUndefined(ended.value) : undefined
      const entry = pid === undefined ? undefined : awaited.get(pid)
      if (entry === undefined) {
        yield* Queue.offer(strangers, undefined)
        return yield* sweep
      }
      yield* reap(entry)
      if (!entry.isOver()) return yield* sweep
    }
  })

  const exclusive = <A>(effect: Effect.Effect<A>) => Effect.uninterruptible(oneAtATime.withPermit(effect))

  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const listener = () => {
        Queue.offerUnsafe(wakes, undefined)
      }
      process.on("SIGCHLD", listener)
      return listener
    }),
    (listener) => Effect.sync(() => process.off("SIGCHLD", listener))
  )
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Queue.take(wakes), exclusive(look))))
  yield* Effect.forkScoped(Effect.forever(some.whenOpen(Effect.andThen(Effect.sleep(sweepInterval), exclusive(sweep)))))
  yield* Effect.addFinalizer(() =>
    Effect.forEach(Array.from(awaited.values()), ({ done }) => Deferred.interrupt(done), { discard: true })
  )

  const take = Effect.fnUntraced(function* (pid: number, isOurs: boolean) {
    const known = awaited.get(pid)
    if (known !== undefined) return known
    const done = Deferred.makeUnsafe<number, PosixError>()
    const entry: Entry = { pid, isOurs, done, exit: Deferred.await(done), isOver: () => Deferred.isDoneUnsafe(done) }
    awaited.set(pid, entry)
    some.openUnsafe()
    yield* exclusive(reap(entry))
    return entry
  }, Effect.uninterruptible)

  const start = (program: Program, output: number | null) =>
    Effect.flatMap(libc.spawn(program), (pid) =>
      Effect.map(take(pid, true), ({ exit, isOver }): Started => ({ pid, exit, isOver, output }))
    )

  const spawn = Effect.fnUntraced(function* ({ stdout, ...rest }: Start) {
    if (stdout !== "pipe") return yield* start({ ...rest, stdout }, null)
    const { read, write } = yield* libc.pipe
    return yield* start({ ...rest, stdout: write }, read).pipe(
      Effect.ensuring(Effect.sync(() => closeSync(write))),
      Effect.onError(() => Effect.sync(() => closeSync(read)))
    )
  }, Effect.uninterruptible)

  return Children.of({
    spawn,
    adopt: (pid) => take(pid, false),
    has: (pid) => awaited.has(pid),
    stranger: Queue.take(strangers)
  })
})

export class Children extends Context.Service<
  Children,
  {
    /** Starts a program, as the leader of a session of its own, and waits for it whether or not anybody asks. */
    readonly spawn: (start: Start) => Effect.Effect<Started, PosixError>
    /** Waits for a child that this process has got by other means, also one that has ended. */
    readonly adopt: (pid: number) => Effect.Effect<Running>
    /** Completes when a child has ended that nobody waits for here; it may be Node's own. For one taker. */
    readonly stranger: Effect.Effect<void>
    /** Whether a child is waited for here: nobody else may. */
    readonly has: (pid: number) => boolean
  }
>()("berth/layers/posix/Children") {
  static readonly layer = Layer.effect(Children, make)
}
