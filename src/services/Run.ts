/**
 * `Tasks.run`: the events of a run (`Tasks.runStream`) turned into calls of what the caller gave, and input fed to the process. The same code serves every
 * place that tasks can be in; it owns nothing beyond the call.
 */
import { Deferred, Effect, Exit as Outcome, Schedule, Stream } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import { Unavailable } from "../schema/Errors.ts"
import type { ContainerId } from "../schema/Ids.ts"
import type { OciSpec } from "../schema/OciSpec.ts"
import type { Exit } from "../schema/Process.ts"
import type { RunEvent, RunRequest } from "../schema/Run.ts"
import type { Containers } from "./Containers.ts"
import type { Tasks } from "./Tasks.ts"

/** Whatever of these fails ends the run, and the container with it. */
export interface RunOptions<E = never, R = never> extends Omit<RunRequest, "spec" | "stdio" | "detachable"> {
  /** What the process reads; without it, end-of-file at once. Left alone from when the process reads no more. */
  readonly stdin?: Stream.Stream<Uint8Array, E, R>
  /** Called with each piece, in order; the next one waits for it. Output that has no taker is dropped. */
  readonly stdout?: (bytes: Uint8Array) => Effect.Effect<void, E, R>
  readonly stderr?: (bytes: Uint8Array) => Effect.Effect<void, E, R>
  /** Called when the program runs, before any of its output. */
  readonly onStart?: (pid: number, id: ContainerId) => Effect.Effect<void, E, R>
}

export type Run = <E = never, R = never>(
  spec: OciSpec,
  options?: RunOptions<E, R>
) => Effect.Effect<Exit, BerthError | E, R>

type Steps = Pick<Tasks["Service"], "runStream" | "writeStdin" | "closeStdin">

/** The largest that `writeStdin` takes. */
const pieceBytes = 65_536

const pieces = (bytes: Uint8Array): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, n) =>
    bytes.subarray(n * pieceBytes, (n + 1) * pieceBytes)
  )

/** Ends with the input, or when the process reads no more; fails only where the input does. */
const feed = <E, R>(steps: Steps, id: ContainerId, stdin: Stream.Stream<Uint8Array, E, R>) => {
  const write = (bytes: Uint8Array) => Effect.isSuccess(steps.writeStdin({ id, bytes }))
  return Effect.andThen(
    Stream.runDrain(
      stdin.pipe(
        Stream.flatMap((chunk) => Stream.fromIterable(pieces(chunk))),
        Stream.mapEffect(write),
        Stream.takeWhile((taken) => taken)
      )
    ),
    Effect.ignore(steps.closeStdin({ id }))
  )
}

const noEnd = new Unavailable({ what: "run", problem: "it ended without an exit", mend: null })

/** Returns when nobody knows the container any more; gives up after a while, or where nobody can be asked. */
export const untilGone = (get: Containers["Service"]["get"]) => (id: ContainerId) =>
  Effect.isSuccess(get(id)).pipe(
    Effect.repeat({ while: (exists) => exists, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutOption("10 seconds"),
    Effect.asVoid
  )

/** `run` over the steps of a place. `gone`: for one that removes what it ran in its own time when its reader leaves. */
export const over =
  (steps: Steps, gone: (id: ContainerId) => Effect.Effect<void> = () => Effect.void): Run =>
  <E, R>(spec: OciSpec, { onStart, stderr, stdin, stdout, ...rest }: RunOptions<E, R> = {}) =>
    Effect.scoped(
      Effect.gen(function* () {
        const inputFailed = yield* Deferred.make<never, E>()
        let exit: Exit | null = null
        let startedId: ContainerId | null = null
        const take = (event: RunEvent): Effect.Effect<void, E, R> => {
          switch (event._tag) {
            case "Output":
              return (event.stream === "stdout" ? stdout : stderr)?.(event.bytes) ?? Effect.void
            case "Exited":
              return Effect.sync(() => void (exit = event.exit))
            case "Started":
              startedId = event.id
              return onStart?.(event.pid, event.id) ?? Effect.void
          }
        }
        const scope = yield* Effect.scope
        const begin = (event: RunEvent) =>
          event._tag === "Started" && stdin !== undefined
            ? feed(steps, event.id, stdin).pipe(
                Effect.onExit((outcome) =>
                  Outcome.isSuccess(outcome) ? Effect.void : Deferred.failCause(inputFailed, outcome.cause)
                ),
                Effect.ignoreCause,
                Effect.forkIn(scope)
              )
            : Effect.void
        yield* steps.runStream({ ...rest, spec, stdio: { stdin: stdin !== undefined, log: { _tag: "json" } } }).pipe(
          Stream.runForEach((event) => Effect.andThen(take(event), begin(event))),
          Effect.raceFirst(Deferred.await(inputFailed)),
          Effect.onError(() => (startedId === null ? Effect.void : gone(startedId)))
        )
        return exit ?? (yield* noEnd)
      })
    )
