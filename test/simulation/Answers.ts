/**
 * What an answer means, judged by what was committed: what was answered well is in the log, what was read was so at some moment of the call, and what was
 * refused was refused for what was so. A daemon that always refused would break no other promise.
 */
import { DateTime, Equal } from "effect"
import type { Container, Labels } from "../../src/schema/Container.ts"
import type { BerthError } from "../../src/schema/Errors.ts"
import type { Payload } from "../../src/schema/Events.ts"
import type { Exit, Process } from "../../src/schema/Process.ts"
import type { Task } from "../../src/schema/Task.ts"
import type { Identity } from "../../src/schema/TaskState.ts"
import type { Ledger, Moment } from "./Ledger.ts"

/** Call it when the operation begins; what it gives says what is wrong with the answer, null where nothing is. */
export type Judge = () => (answer: unknown) => string | null

const isRecord = (value: unknown): value is object => typeof value === "object" && value !== null
const isExit = (value: unknown): value is Exit =>
  isRecord(value) && "exitStatus" in value && "exitedAt" in value && "pid" in value
const isContainer = (value: unknown): value is Container => isRecord(value) && "labels" in value && "spec" in value
const isProcess = (value: unknown): value is Process => isRecord(value) && "id" in value && "pid" in value
const isTask = (value: unknown): value is Task => isRecord(value) && "status" in value

const listOf = <A>(answer: unknown, isOne: (value: unknown) => value is A): ReadonlyArray<A> =>
  Array.isArray(answer) ? answer.filter(isOne) : []
const firstOf = (problems: ReadonlyArray<string | null>) => problems.find((problem) => problem !== null) ?? null

/** How long a daemon may still show what was before a commit that is on its way back to it. */
const slack = 200

const nameOf = ({ pid, startTime }: Identity) => `${pid} ${startTime}`

const hasContainer = ({ container }: Moment) => container !== null
const hasTask = ({ task }: Moment) => task !== null
const hasExec =
  (execId: string) =>
  ({ execs }: Moment) =>
    execs.has(execId)

/** `ids` and `execIds` are all that anybody asks for. */
export const make = (
  ledger: Ledger,
  now: () => number,
  { execIds, ids }: { readonly ids: ReadonlyArray<string>; readonly execIds: ReadonlyArray<string> }
) => {
  const inCall =
    (check: (since: number, answer: unknown) => string | null): Judge =>
    () => {
      const since = now() - slack
      return (answer) => check(since, answer)
    }

  const readable = (since: number, task: Task): string | null => {
    const seen = new Set(ledger.moments(task.id, since).map(({ status }) => status))
    const status = task.status === "pausing" ? "running" : task.status
    if (status === "deleted" || seen.has(status)) return null
    // A task that is being made has not been announced; one that is being deleted is not called paused.
    if (status === "created" && seen.has("none")) return null
    if (status === "running" && seen.has("paused")) return null
    return `${task.id} was read as ${task.status}, and was ${[...seen].join(", ")}`
  }

  const asKept = (since: number, shown: Container): string | null =>
    ledger.moments(shown.id, since).some(({ container }) => container !== null && Equal.equals(container, shown))
      ? null
      : `container ${shown.id} was shown as it never was: ${JSON.stringify(shown)}`

  /** What was there all the time is listed, and what is listed was there at some moment. */
  const listed = (id: string, since: number, isListed: boolean, isThere: (moment: Moment) => boolean) => {
    const moments = ledger.moments(id, since)
    if (isListed) return moments.some(isThere) ? null : `of ${id} was listed what was not there`
    return moments.every(isThere) ? `of ${id} was not listed what was there` : null
  }

  const exitLogged = (id: string, execId: string | null, answer: unknown) =>
    !isExit(answer) ||
    ledger.events.some(
      ({ event, topic }) =>
        topic === "/tasks/exit" &&
        event.containerId === id &&
        event.execId === execId &&
        event.pid === answer.pid &&
        event.exitStatus === answer.exitStatus &&
        DateTime.Equivalence(event.exitedAt, answer.exitedAt)
    )
      ? null
      : `the answer is an exit that is not in the log: ${JSON.stringify(answer)}`

  /** Processes that were sent SIGKILL, and when. */
  const doomed = new Map<string, number>()
  const processOf = (id: string, execId: string | null): string | null => {
    const state = execId === null ? ledger.tasks.get(id)?.state : ledger.processes.get(id)?.get(execId)?.state
    return state !== undefined && "identity" in state && state.identity !== null ? nameOf(state.identity) : null
  }

  const logged =
    (id: string, topic: Payload["topic"], execId?: string): Judge =>
    () => {
      const since = ledger.last()
      return () =>
        ledger.events
          .slice(since)
          .some(
            ({ event, topic: found }) =>
              found === topic &&
              ("containerId" in event ? event.containerId : event.id) === id &&
              (execId === undefined || ("execId" in event && event.execId === execId))
          )
          ? null
          : `it was answered well, and there is no ${topic} in the log`
    }
  const container = inCall((since, answer) => (isContainer(answer) ? asKept(since, answer) : "that is no container"))

  return {
    anything: (): Judge => () => () => null,
    /** There is such an event since it was asked. */
    logged,
    container,
    /** The same of a change: it is in the log, and is shown with these labels, as it was kept. */
    labelled:
      (id: string, topic: "/containers/create" | "/containers/update", labels: Labels): Judge =>
      () => {
        const judges = [logged(id, topic)(), container()]
        return (answer) =>
          isContainer(answer) && Object.entries(labels).some(([key, value]) => answer.labels[key] !== value)
            ? "a label is not as it was asked for"
            : firstOf(judges.map((judge) => judge(answer)))
      },
    containers: inCall((since, answer) => {
      const shown = listOf(answer, isContainer)
      const names = new Set<string>(shown.map(({ id }) => id))
      return firstOf([
        ...shown.map((container) => asKept(since, container)),
        ...ids.map((id) => listed(id, since, names.has(id), hasContainer))
      ])
    }),
    task: inCall((since, answer) => (isTask(answer) ? readable(since, answer) : "that is no task")),
    tasks: inCall((since, answer) => {
      const shown = listOf(answer, isTask)
      const names = new Set<string>(shown.map(({ id }) => id))
      return firstOf([
        ...shown.map((task) => readable(since, task)),
        ...ids.map((id) => listed(id, since, names.has(id), hasTask))
      ])
    }),
    processes: (id: string) =>
      inCall((since, answer) => {
        const names = new Set<string>(listOf(answer, isProcess).map((process) => process.id))
        return firstOf(execIds.map((execId) => listed(id, since, names.has(execId), hasExec(execId))))
      }),
    exit:
      (id: string, execId: string | null): Judge =>
      () =>
      (answer) =>
        exitLogged(id, execId, answer),
    stopped:
      (id: string): Judge =>
      () =>
      (answer) =>
        isRecord(answer) && "exit" in answer ? exitLogged(id, null, answer.exit) : "a stop without an exit",
    killed:
      (id: string, execId: string | null): Judge =>
      () => {
        const before = processOf(id, execId)
        return () => {
          if (before !== null && processOf(id, execId) === before) doomed.set(before, now())
          return null
        }
      },
    /** Of a process that was sent SIGKILL, when that was answered. */
    doomedAt: (identity: Identity) => doomed.get(nameOf(identity)) ?? null,
    removed:
      (id: string): Judge =>
      () => {
        const before = ledger.removals(id)
        return (answer) =>
          ledger.removals(id) > before ? exitLogged(id, null, answer) : "it was answered well, and the task is there"
      },
    /** The same for a refusal. */
    refusal: (id: string) => {
      const since = now() - slack
      return (error: BerthError): string | null => {
        const moments = ledger.moments(id, since)
        const untrue = `it was refused for what was never so: ${error.message}`
        if (error._tag === "FailedPrecondition") {
          const { found, operation } = error
          // Of execs and of what is under way no event tells.
          const isTold =
            operation.endsWith(`"${id}"`) && (found === "created" || found === "running" || found === "paused")
          return !isTold || moments.some(({ status }) => status === found) ? null : untrue
        }
        if (error._tag !== "NotFound" && error._tag !== "AlreadyExists") return null
        const { id: name, kind } = error
        if (kind !== "container" && kind !== "task" && kind !== "exec") return null
        const isThere = { container: hasContainer, task: hasTask, exec: hasExec(name) }[kind]
        // The host does not have it yet, or any more.
        const isHalfThere = ({ execs, task }: Moment) =>
          task?.state._tag === "Creating" ||
          task?.state._tag === "Deleting" ||
          (kind === "exec" && execs.get(name)?.state._tag === "Deleting")
        const isSo = (moment: Moment) =>
          error._tag === "AlreadyExists"
            ? isThere(moment)
            : !isThere(moment) || (kind !== "container" && isHalfThere(moment))
        return moments.some(isSo) ? null : untrue
      }
    }
  }
}
