/** How a pretended process spends its time: its program, acted out on the Effect clock. While it is frozen its time stands still. */
import { Clock, Deferred, Duration, Effect, Queue } from "effect"
import { write } from "./MockPipes.ts"
import type { Proc } from "./MockProcess.ts"
import { burn, deliver } from "./MockProcess.ts"
import type { Handler, OutputStream, Step } from "./MockScript.ts"

/** Lets that much time of the process pass. */
const pass = Effect.fnUntraced(function* (proc: Proc, duration: Duration.Duration) {
  let left = Duration.toMillis(duration)
  if (left === Infinity) return yield* Effect.never
  do {
    yield* proc.thawed.await
    const since = yield* Clock.currentTimeMillis
    yield* Effect.timeoutOption(proc.frozen.await, left)
    left -= (yield* Clock.currentTimeMillis) - since
  } while (left > 0)
})

const put = (proc: Proc, stream: OutputStream | null, bytes: Uint8Array) =>
  Effect.suspend(() => {
    const pipe = stream === null ? null : proc.stdio[stream]
    return pipe === null ? Effect.void : Effect.andThen(proc.thawed.await, write(pipe, bytes))
  })

/** What a process needs of its machine. */
export interface Machinery {
  readonly spawnChild: (parent: Proc, steps: ReadonlyArray<Step>) => Effect.Effect<void>
  /** To the init of its container, from within. */
  readonly signalInit: (from: Proc, signal: number) => Effect.Effect<void>
}

const copy = Effect.fnUntraced(function* (proc: Proc, to: OutputStream | null) {
  if (proc.stdio.stdin === null) return
  while (true) {
    const bytes = yield* Effect.option(Queue.take(proc.stdio.stdin.queue))
    if (bytes._tag === "None") return
    yield* put(proc, to, bytes.value)
  }
})

const doSteps: (proc: Proc, steps: ReadonlyArray<Step>, machinery: Machinery) => Effect.Effect<void> =
  Effect.fnUntraced(function* (proc, steps, machinery) {
    for (const step of steps) {
      yield* proc.thawed.await
      switch (step._tag) {
        case "Write":
          yield* put(proc, step.stream, new TextEncoder().encode(step.text))
          break
        case "Pass":
          yield* pass(proc, step.duration)
          break
        case "Copy":
          yield* copy(proc, step.to)
          break
        case "Raise": {
          if (step.to === "init") yield* machinery.signalInit(proc, step.signal)
          else deliver(proc, step.signal, "within")
          const handler = proc.program.handles.get(step.signal)
          if (Deferred.isDoneUnsafe(proc.doomed) || (handler?.exit ?? null) !== null) return yield* Effect.never
          break
        }
        case "Spawn":
          yield* machinery.spawnChild(proc, step.steps)
          break
        case "Wait":
          yield* Effect.forEach(proc.children, (child) => Deferred.await(child.exit), { discard: true })
          break
        case "Repeat":
          while (true) {
            const since = yield* Clock.currentTimeMillis
            yield* doSteps(proc, step.steps, machinery)
            // A loop that takes no time would never let the clock move on.
            if ((yield* Clock.currentTimeMillis) !== since) continue
            yield* pass(proc, Duration.millis(1))
            burn(proc, 1)
          }
      }
    }
  })

/** Waits for a signal whose handler ends it, and does meanwhile what other handlers say. */
const fatalSignal = Effect.fnUntraced(function* (proc: Proc, machinery: Machinery) {
  while (true) {
    const handler = proc.program.handles.get(yield* Queue.take(proc.signals))
    if (handler === undefined) continue
    if (handler.exit !== null) return handler
    yield* doSteps(proc, handler.steps, machinery)
  }
})

/** The life of a process, from its start to its exit status. */
export const live = (proc: Proc, machinery: Machinery): Effect.Effect<number> => {
  const { exit, oomAfter, steps } = proc.program
  const outOfMemory =
    oomAfter === null
      ? Effect.never
      : Effect.andThen(
          pass(proc, oomAfter),
          Effect.sync(() => {
            proc.oomKilled = true
            return 137
          })
        )
  const main = Effect.as(doSteps(proc, steps, machinery), { steps: [], exit } satisfies Handler)
  const ending = Effect.flatMap(Effect.raceFirst(main, fatalSignal(proc, machinery)), (last) =>
    Effect.as(doSteps(proc, last.steps, machinery), last.exit ?? exit)
  )
  // Even a life without length is not over before the call that began it has returned, unless the scheduler wants it so.
  const begun = proc.kind === "child" ? Effect.void : Effect.andThen(proc.started.await, Effect.yieldNow)
  const acting = Effect.andThen(begun, Effect.raceFirst(ending, outOfMemory))
  return Effect.raceFirst(acting, Deferred.await(proc.doomed))
}
