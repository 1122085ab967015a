/**
 * The actor of one task and its execs. It decides by `TaskTree`, commits the decision with its events, then acts. It never waits inside its mailbox: what
 * takes time runs in a fiber of its own and comes back as a report, so that kill, delete and every read answer while a create or start hangs. Reads do not
 * pass through the mailbox at all.
 */
import { Cause, Deferred, Effect, Exit as Ended, Fiber, Option } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import { AlreadyExists, FailedPrecondition, Internal, NotFound, Unavailable } from "../schema/Errors.ts"
import type { ExecId } from "../schema/Ids.ts"
import { containerKey } from "../schema/Ids.ts"
import type { Exit } from "../schema/Process.ts"
import type { ProcessRecord } from "../schema/TaskState.ts"
import { EventBus } from "../services/EventBus.ts"
import { MetadataStore } from "../services/MetadataStore.ts"
import * as Mailbox from "./Mailbox.ts"
import { supervised } from "./Supervisor.ts"
import type * as ProcessMachine from "./ProcessMachine.ts"
import type * as TaskMachine from "./TaskMachine.ts"
import type { Addressed, Ordered, Rejection, Step, Tree } from "./TaskTree.ts"
import { addExec, step } from "./TaskTree.ts"

type Reply = Deferred.Deferred<Tree, BerthError>

type Message =
  | { readonly _tag: "Command"; readonly to: Addressed; readonly reply: Reply }
  | { readonly _tag: "AddExec"; readonly record: ProcessRecord; readonly reply: Reply }
  /** `reply` and `error` belong to the command whose operation this report ends. */
  | {
      readonly _tag: "Report"
      readonly reports: ReadonlyArray<Addressed>
      readonly reply: Reply | null
      readonly error: BerthError | null
    }

/** What an operation leads to: reports to the machines, and the error for whoever asked. */
export interface Outcome {
  readonly reports: ReadonlyArray<Addressed>
  readonly error: BerthError | null
}

/** Carries out operations: `TaskOperations.ts`. Never fails: a failure is part of the outcome. */
export type Perform = (tree: Tree, order: Ordered) => Effect.Effect<Outcome>

export interface TaskActor {
  /** The last committed state. */
  readonly read: () => Tree
  readonly command: (
    to:
      | { readonly execId: null; readonly input: TaskMachine.Command }
      | { readonly execId: ExecId; readonly input: ProcessMachine.Command }
  ) => Effect.Effect<Tree, BerthError>
  readonly addExec: (record: ProcessRecord) => Effect.Effect<Tree, BerthError>
  /** From the host. Returns when it is queued. */
  readonly tell: (report: Addressed) => Effect.Effect<void>
  /** Starts an operation that no command asked for: the create that begins a task's life. Gives its answer, which is there when its report is committed. */
  readonly begin: (operation: Effect.Effect<Outcome>) => Effect.Effect<Effect.Effect<Tree, BerthError>>
  /**
   * The exit of init or an exec, when it is committed. NotFound where there is no such process, or it is deleted without having run; Unavailable where the actor
   * has failed.
   */
  readonly exit: (execId: ExecId | null) => Effect.Effect<Exit, NotFound | Unavailable>
  /** Returns when that holds; never where it does not come to hold while the actor lives. */
  readonly until: (holds: (tree: Tree) => boolean) => Effect.Effect<void>
}

/** How long the removal of a container waits for those of its execs that were under way. */
const answerPatience = "1 second"
/** Commands that may wait at once for one task. */
const capacity = 64

const refuse = (operation: string, id: string, why: Rejection): BerthError => {
  switch (why._tag) {
    case "Finished":
      return new NotFound({ kind: "process", id })
    case "NoSuchExec":
      return new NotFound({ kind: "exec", id })
    case "ExecExists":
      return new AlreadyExists({ kind: "exec", id: why.id })
    case "Precondition":
      return new FailedPrecondition({ operation: `${operation} "${id}"`, found: why.found, allowed: why.allowed })
  }
}

/** Starts the actor in the current scope. It ends by itself when the task is deleted, after calling `retire`. */
export const make = Effect.fnUntraced(function* (initial: Tree, perform: Perform, retire: Effect.Effect<void>) {
  const bus = yield* EventBus
  const store = yield* MetadataStore
  const scope = yield* Effect.scope
  const { id, namespace } = initial.task
  const mailbox = yield* Mailbox.make<Message>(id, capacity)
  const exits = new Map<ExecId | null, Deferred.Deferred<Exit, NotFound | Unavailable>>()
  /** The operation under way of each process, and who waits for it. */
  const underWay = new Map<ExecId | null, Fiber.Fiber<void>>()
  let tree = initial
  /** Done, and replaced, with each commit. */
  let turned = Deferred.makeUnsafe<void>()
  /** What is said to whoever comes after the end. */
  let ended: NotFound | Unavailable | null = null

  const exitOf = (execId: ExecId | null) => {
    const known = exits.get(execId)
    if (known !== undefined) return known
    const fresh = Deferred.makeUnsafe<Exit, NotFound | Unavailable>()
    if (ended !== null) Deferred.doneUnsafe(fresh, Effect.fail(ended))
    exits.set(execId, fresh)
    return fresh
  }

  /** Wakes those who wait for exits that are now committed. */
  const settle = Effect.fnUntraced(function* (before: Tree) {
    const last = (state: Tree["task"]["state"] | ProcessRecord["state"]) =>
      "exit" in state && state._tag !== "Creating" && state._tag !== "Starting" ? state.exit : null
    const exit = last(tree.task.state)
    if (exit !== null) yield* Deferred.succeed(exitOf(null), exit)
    for (const [execId, { state }] of tree.execs) {
      // Of one whose start was never announced no end is announced either.
      const exit = "startedAt" in state && state.startedAt === null ? null : last(state)
      if (exit !== null) yield* Deferred.succeed(exitOf(execId), exit)
    }
    for (const execId of before.execs.keys()) {
      if (tree.execs.has(execId)) continue
      yield* Deferred.fail(exitOf(execId), new NotFound({ kind: "exec", id: execId }))
      exits.delete(execId)
    }
  })

  const unanswered = (message: Message, error: BerthError) =>
    message.reply === null ? Effect.void : Effect.asVoid(Deferred.fail(message.reply, error))

  /** A report that nobody reads any more still has a caller who waits for it. */
  const report = (message: Extract<Message, { readonly _tag: "Report" }>) =>
    Effect.flatMap(mailbox.tell(message), (queued) =>
      queued ? Effect.void : unanswered(message, message.error ?? ended ?? new NotFound({ kind: "task", id }))
    )

  /** The answer to an exec's own deletion may still be on its way, with an exit that is no longer in that of its container. */
  const execsAnswered = Effect.suspend(() =>
    Effect.forEach(
      Array.from(underWay).flatMap(([execId, fiber]) =>
        execId !== null && tree.execs.get(execId)?.state._tag === "Deleting" ? [fiber] : []
      ),
      Fiber.await,
      { discard: true }
    )
  ).pipe(Effect.timeoutOption(answerPatience))

  /** Each operation in its own fiber; `Cancel` ends the one under way, whose caller learns why. */
  const order = Effect.fnUntraced(function* (orders: ReadonlyArray<Ordered>, reply: Reply | null) {
    for (const each of orders) {
      const previous = underWay.get(each.execId)
      if (each.operation._tag === "Cancel") {
        if (previous !== undefined) yield* Effect.forkIn(Fiber.interrupt(previous), scope)
        underWay.delete(each.execId)
        continue
      }
      const work = perform(tree, each)
      const isRemoval = each.execId === null && each.operation._tag === "Delete"
      yield* run(
        each.execId,
        each.operation._tag !== "Signal",
        isRemoval ? Effect.tap(work, () => execsAnswered) : work,
        reply
      )
    }
  })

  const run = Effect.fnUntraced(function* (
    execId: ExecId | null,
    exclusive: boolean,
    operation: Effect.Effect<Outcome>,
    reply: Reply | null
  ) {
    const fiber = yield* Effect.interruptible(operation).pipe(
      Effect.onExit((outcome) => {
        if (Ended.isSuccess(outcome)) {
          return report({ _tag: "Report", ...outcome.value, reply })
        }
        const error: BerthError = Cause.hasDies(outcome.cause)
          ? new Internal({ reference: containerKey({ namespace, containerId: id }) })
          : new FailedPrecondition({ operation: `go on with "${id}"`, found: "being deleted", allowed: [] })
        return Effect.andThen(
          Cause.hasDies(outcome.cause) ? Effect.logError("an operation crashed", outcome.cause) : Effect.void,
          reply === null ? Effect.void : Deferred.fail(reply, error)
        )
      }),
      Effect.asVoid,
      Effect.ignoreCause,
      // One that is cancelled before its first turn must still come to answer its caller.
      Effect.forkIn(scope, { uninterruptible: true })
    )
    if (!exclusive) return
    underWay.set(execId, fiber)
    fiber.addObserver(() => {
      if (underWay.get(execId) === fiber) underWay.delete(execId)
    })
  })

  /** Commits a step; only then is it true. */
  const commit = Effect.fnUntraced(function* (next: Step) {
    if (next.changes.length > 0 || next.events.length > 0) yield* bus.commit(next.changes, next.events)
    const before = tree
    tree = next.tree
    for (const { payload } of next.events) {
      if (payload.topic !== "/tasks/exit") continue
      const { containerId: _, execId, ...exit } = payload.event
      yield* Deferred.succeed(exitOf(execId), exit)
    }
    yield* settle(before)
    // Before anybody is answered: whoever learns of the deletion may use the id again.
    if (tree.task.state._tag === "Deleted") yield* retire
    const turn = turned
    turned = Deferred.makeUnsafe<void>()
    yield* Deferred.succeed(turn, undefined)
  }, Effect.uninterruptible)

  const onCommand = Effect.fnUntraced(function* (next: Step, operation: string, processId: string, reply: Reply) {
    const refused = next.rejection === null ? null : refuse(operation, processId, next.rejection)
    const outcome = yield* Effect.result(refused === null ? commit(next) : Effect.fail(refused))
    if (outcome._tag === "Failure") {
      yield* Deferred.fail(reply, outcome.failure)
    } else if (next.operations.length === 0) {
      yield* Deferred.succeed(reply, tree)
    } else {
      yield* order(next.operations, reply)
    }
  })

  const later = (message: Extract<Message, { readonly _tag: "Report" }>) =>
    Effect.asVoid(Effect.forkIn(Effect.delay(report(message), "1 second"), scope))

  /** What was done to a process that was over by then, or being deleted, is no success: nobody was told of it, and nobody will be. */
  const tooLate = (next: Step, { execId, input }: Addressed): BerthError | null => {
    if (next.changes.length > 0 || next.events.length > 0 || input._tag === "Exited") return null
    const state = execId === null ? tree.task.state._tag : (tree.execs.get(execId)?.state._tag ?? "Deleted")
    const found = { Stopped: "stopped", Deleting: "being deleted", Deleted: "deleted" } as const
    return state === "Stopped" || state === "Deleting" || state === "Deleted"
      ? new FailedPrecondition({ operation: `go on with "${execId ?? id}"`, found: found[state], allowed: [] })
      : null
  }

  /** A report is a fact: where the store cannot take it now, it is queued again and tried later. */
  const onReport = Effect.fnUntraced(function* (message: Extract<Message, { readonly _tag: "Report" }>) {
    let overtaken: BerthError | null = null
    for (const [index, report] of message.reports.entries()) {
      const next = step(tree, report)
      overtaken = tooLate(next, report)
      const outcome = yield* Effect.result(commit(next))
      if (outcome._tag === "Failure") {
        yield* Effect.logWarning(`task ${id}: cannot store what happened, trying again: ${outcome.failure.message}`)
        return yield* later({ ...message, reports: message.reports.slice(index) })
      }
      yield* order(next.operations, null)
    }
    if (message.reply === null) {
      // One that nobody asked for has nobody else to tell.
      if (message.error !== null && message.reports.some(({ input }) => input._tag === "DeleteFailed"))
        yield* Effect.logWarning(`task ${id}: a removal failed: ${message.error.message}`)
      return
    }
    const error = message.error ?? overtaken
    yield* error === null ? Deferred.succeed(message.reply, tree) : Deferred.fail(message.reply, error)
  })

  const handle = (message: Message): Effect.Effect<unknown> => {
    switch (message._tag) {
      case "Command": {
        const { execId, input } = message.to
        return onCommand(step(tree, message.to), input._tag.toLowerCase(), execId ?? id, message.reply)
      }
      case "AddExec":
        return onCommand(addExec(tree, message.record), "exec in", id, message.reply)
      case "Report":
        return onReport(message)
    }
  }

  /** After a crash the store is the truth; operations under way go on and report. */
  const reload = Effect.gen(function* () {
    const stored = yield* store.task(namespace, id)
    if (Option.isNone(stored)) return
    const { processes, task } = stored.value
    tree = { task, execs: new Map(processes.map((record) => [record.id, record])), held: tree.held }
  }).pipe(Effect.catch((error) => Effect.logWarning(`task ${id}: not reloaded: ${error.message}`)))

  const loop = Effect.gen(function* () {
    while (tree.task.state._tag !== "Deleted") {
      const message = yield* mailbox.take
      yield* Effect.onError(handle(message), (cause) =>
        Cause.hasDies(cause)
          ? unanswered(message, new Internal({ reference: `task ${id}` })).pipe(
              Effect.andThen(reload),
              Effect.andThen(message._tag === "Report" ? later({ ...message, reply: null }) : Effect.void)
            )
          : Effect.void
      )
    }
  })

  /** The end, by deletion or by too many crashes: nobody may be left waiting. A crashed actor stays in its place, so that reads still answer. */
  const end = (failed: boolean) =>
    Effect.gen(function* () {
      ended = failed
        ? new Unavailable({ what: `task "${id}"`, problem: "its actor failed too often", mend: "restart the daemon" })
        : new NotFound({ kind: "task", id })
      for (const message of yield* mailbox.close) yield* unanswered(message, ended)
      for (const exit of exits.values()) yield* Deferred.fail(exit, ended)
      if (!failed) for (const fiber of underWay.values()) yield* Effect.forkIn(Fiber.interrupt(fiber), scope)
    })

  yield* settle(initial)
  yield* supervised(loop).pipe(
    Effect.onExit((exit) => end(Ended.isFailure(exit) && Cause.hasDies(exit.cause))),
    Effect.ignoreCause({ log: "Error" }),
    Effect.forkIn(scope)
  )

  const ask = (message: (reply: Reply) => Message) =>
    Effect.suspend(() => (ended === null ? mailbox.ask(message) : Effect.fail(ended)))
  const actor: TaskActor = {
    read: () => tree,
    until: Effect.fnUntraced(function* (holds) {
      while (!holds(tree)) yield* Deferred.await(turned)
    }),
    command: (to) => ask((reply) => ({ _tag: "Command", to, reply })),
    addExec: (record) => ask((reply) => ({ _tag: "AddExec", record, reply })),
    tell: (input) => report({ _tag: "Report", reports: [input], reply: null, error: null }),
    begin: (operation) =>
      Effect.suspend(() => {
        const reply = Deferred.makeUnsafe<Tree, BerthError>()
        return Effect.as(run(null, true, operation, reply), Deferred.await(reply))
      }),
    exit: (execId) =>
      Effect.suspend(() =>
        execId !== null && !tree.execs.has(execId)
          ? Effect.fail(new NotFound({ kind: "exec", id: execId }))
          : Deferred.await(exitOf(execId))
      )
  }
  return actor
})
