/**
 * A run on the side of the daemon: container, task, start, output, exit and removal as one stream. It decides nothing that the steps do not; what it owns is
 * that nothing is left, whichever of them fails and whenever the reader goes away. The task removes itself at its end, so that this holds for a daemon that
 * dies meanwhile too.
 */
import { Effect, Exit as Outcome, Fiber, Queue, Random, Stream } from "effect"
import type { Cause } from "effect"
import type { NewContainer } from "../schema/Container.ts"
import type { BerthError } from "../schema/Errors.ts"
import { ContainerId } from "../schema/Ids.ts"
import { defaultStdio } from "../schema/Process.ts"
import type { CreateTask } from "../schema/Requests.ts"
import type { RunEvent, RunRequest } from "../schema/Run.ts"
import type { Task } from "../schema/Task.ts"
import * as Run from "../services/Run.ts"
import type { Tasks } from "../services/Tasks.ts"

interface Begun {
  readonly created: Effect.Effect<Task, BerthError>
}

interface Steps extends Pick<Tasks["Service"], "start" | "wait" | "output" | "writeStdin" | "closeStdin"> {
  /** Stores container and task, which goes with its container whatever becomes of it; gives what waits for its creation. */
  readonly createBoth: (container: NewContainer, task: CreateTask) => Effect.Effect<Begun, BerthError>
}

/** Pieces of output that may wait for their reader. */
const ahead = 1

/** How long the end of a run, and of a daemon with it, waits for the removal. */
const removalPatience = "15 seconds"

const randomId = Effect.map(Random.nextIntBetween(0, 2 ** 48, { halfOpen: true }), (n) =>
  ContainerId.make(n.toString(16).padStart(12, "0"))
)

/** `clean` is that of `Tasks`. */
export const make = (steps: Steps, clean: Tasks["Service"]["clean"]): Pick<Tasks["Service"], "run" | "runStream"> => {
  const life = Effect.fnUntraced(function* (
    id: ContainerId,
    { stdio = defaultStdio }: RunRequest,
    created: Begun["created"],
    queue: Queue.Queue<RunEvent, BerthError | Cause.Done>,
    started: () => void
  ) {
    yield* created
    // Both are under way before the start, so that neither can be missed.
    const exit = yield* Effect.forkChild(steps.wait({ id }), { startImmediately: true })
    const chunks = yield* Queue.bounded<RunEvent, BerthError | Cause.Done>(1)
    const reading =
      stdio.log._tag === "json"
        ? yield* steps.output({ id, follow: true }).pipe(
            Stream.map((chunk): RunEvent => ({ _tag: "Output", ...chunk })),
            Stream.runIntoQueue(chunks),
            Effect.forkChild({ startImmediately: true })
          )
        : null
    const { pid } = yield* steps.start(id)
    started()
    yield* Queue.offer(queue, { _tag: "Started", id, pid: pid ?? 0 })
    if (reading !== null) {
      yield* Stream.runForEach(Stream.fromQueue(chunks), (event) => Queue.offer(queue, event))
    }
    yield* Queue.offer(queue, { _tag: "Exited", exit: yield* Fiber.join(exit) })
  })

  const runStream = (request: RunRequest): Stream.Stream<RunEvent, BerthError> =>
    Stream.callback<RunEvent, BerthError>(
      (queue) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            const id = request.id ?? (yield* randomId)
            const { detachable = false, size, stdio = defaultStdio, ...rest } = request
            const task: CreateTask = { id, stdio, autoRemove: true, ...(size === undefined ? {} : { size }) }
            const { created } = yield* steps.createBoth({ ...rest, id }, task)
            let started = false
            const outcome = yield* Effect.exit(restore(life(id, request, created, queue, () => void (started = true))))
            if (Outcome.isFailure(outcome) && started && detachable) return yield* outcome
            yield* clean(id).pipe(
              // What takes longer goes on without the run, and the next daemon goes on with it.
              Effect.interruptible,
              Effect.timeoutOrElse({
                duration: removalPatience,
                orElse: () => Effect.logWarning(`run ${id}: its removal takes long`)
              }),
              Effect.catchCause((cause) => Effect.logWarning(`run ${id}: it could not be removed`, cause))
            )
            return yield* outcome
          })
        ).pipe(
          Effect.onExit((exit) => (Outcome.isSuccess(exit) ? Queue.end(queue) : Queue.failCause(queue, exit.cause)))
        ),
      { bufferSize: ahead, strategy: "suspend" }
    )

  return { runStream, run: Run.over({ ...steps, runStream }) }
}
