/** What clients ask, drawn from the seed, and what each answer means: what was answered well is in the log, and what was read was so at some moment of the call. */
import { DateTime, Effect } from "effect"
import type { BerthError } from "../../src/schema/Errors.ts"
import type { Payload } from "../../src/schema/Events.ts"
import { ContainerId, ExecId } from "../../src/schema/Ids.ts"
import type { Exit } from "../../src/schema/Process.ts"
import type { Task } from "../../src/schema/Task.ts"
import { Containers } from "../../src/services/Containers.ts"
import { Tasks } from "../../src/services/Tasks.ts"
import type { Api } from "./DaemonLives.ts"
import type { Ledger } from "./Ledger.ts"
import type { Status } from "./Model.ts"
import type { Random } from "./Random.ts"

export interface Operation {
  readonly name: string
  readonly id: string
  readonly line: string
  /** It may wait as long as a process lives. */
  readonly patient: boolean
  readonly effect: Effect.Effect<unknown, BerthError, Api>
  /** Call it when the operation begins; what it gives says what is wrong with the answer. */
  readonly judge: () => (answer: unknown) => string | null
}

const ids = ["a", "b", "c"] as const
const execIds = ["x", "y"] as const

export const names = [
  "containers.create",
  "containers.get",
  "containers.list",
  "containers.update",
  "containers.delete",
  "create",
  "start",
  "get",
  "list",
  "signal",
  "stop",
  "pause",
  "resume",
  "wait",
  "delete",
  "pids",
  "exec",
  "startExec",
  "deleteExec",
  "processes"
] as const
export type Name = (typeof names)[number]

/** What suits a task in that status; the rest is asked too, but less. */
const fitting: Readonly<Record<Status, Readonly<Partial<Record<Name, number>>>>> = {
  none: { "containers.create": 3, create: 6, "containers.delete": 1, "containers.update": 1 },
  created: { start: 6, exec: 1, delete: 1, signal: 1, wait: 1 },
  running: { exec: 4, startExec: 4, deleteExec: 2, pause: 2, signal: 2, stop: 1, wait: 1, delete: 1, pids: 1 },
  paused: { resume: 4, delete: 1, stop: 1, signal: 1, deleteExec: 1 },
  stopped: { delete: 6, wait: 1, start: 1, processes: 1 }
}

const program = (random: Random): ReadonlyArray<string> => {
  const shell = (text: string) => ["sh", "-c", text]
  switch (random.int(0, 8)) {
    case 0:
      return ["true"]
    case 1:
      return ["no-such-program"]
    case 2:
      return shell("trap 'sleep 1; exit 4' TERM; while true; do sleep 1; done")
    case 3:
      return shell("trap '' TERM; echo here; while true; do sleep 2; done")
    case 4:
      return shell(`sleep 30 & sleep ${random.int(0, 3)}; exit ${random.int(0, 9)}`)
    case 5:
    case 6:
      return shell(`sleep ${random.int(0, 20)}; exit ${random.int(0, 200)}`)
    default:
      return ["sleep", "inf"]
  }
}

const isExit = (value: unknown): value is Exit =>
  typeof value === "object" && value !== null && "exitStatus" in value && "exitedAt" in value && "pid" in value

const isTask = (value: unknown): value is Task => typeof value === "object" && value !== null && "status" in value

/** How long a daemon may still show what was before a commit that is on its way back to it. */
const slack = 200

export const make = (random: Random, ledger: Ledger, now: () => number) => {
  const logged = (id: string, topic: Payload["topic"], execId?: string) => () => {
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
  const anything = () => () => null

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

  const readable = (since: number, task: Task): string | null => {
    const seen = ledger.statuses(task.id, since - slack)
    const status = task.status === "pausing" ? "running" : task.status
    if (status === "deleted" || seen.has(status)) return null
    // A task that is being made has not been announced; one that is being deleted is not called paused.
    if (status === "created" && seen.has("none")) return null
    if (status === "running" && seen.has("paused")) return null
    return `${task.id} was read as ${task.status}, and was ${[...seen].join(", ")}`
  }

  const draw = (): Operation => {
    const id = random.pick(ids)
    const fits = fitting[ledger.status(id)]
    const all = !random.chance(0.75)
    const name = random.weighted(names.map((name) => [name, all ? 1 : (fits[name] ?? 0)] as const))
    const [known, ...others] = Array.from(ledger.processes.get(id)?.keys() ?? [])
    const sensible = known !== undefined && name !== "exec" && random.chance(0.7)
    return of(name, id, random.pick(sensible ? [known, ...others] : execIds))
  }

  const of = (name: Name, id: string, exec: string): Operation => {
    const containerId = ContainerId.make(id)
    const execId = ExecId.make(exec)
    const operation = (
      line: string,
      effect: Operation["effect"],
      judge: Operation["judge"] = anything,
      patient = false
    ): Operation => ({ name, id, line: `${name} ${line}`, effect, judge, patient })
    const onTasks = (f: (tasks: Tasks["Service"]) => Effect.Effect<unknown, BerthError>) => Effect.flatMap(Tasks, f)
    const onContainers = (f: (containers: Containers["Service"]) => Effect.Effect<unknown, BerthError>) =>
      Effect.flatMap(Containers, f)
    const process = { args: [...program(random)], cwd: "/" }
    const force = random.chance(0.6)
    switch (name) {
      case "containers.create":
        return operation(
          `${id}: ${process.args.join(" ")}`,
          onContainers((containers) =>
            containers.create({ id: containerId, spec: { ociVersion: "1.0.2", process, root: { path: "/rootfs" } } })
          ),
          logged(id, "/containers/create")
        )
      case "containers.get":
        return operation(
          id,
          onContainers((containers) => containers.get(containerId))
        )
      case "containers.list":
        return operation(
          "",
          onContainers((containers) => containers.list({}))
        )
      case "containers.update":
        return operation(
          id,
          onContainers((containers) => containers.update(containerId, { labels: { at: `${now()}` } })),
          logged(id, "/containers/update")
        )
      case "containers.delete":
        return operation(
          id,
          onContainers((containers) => containers.delete(containerId)),
          logged(id, "/containers/delete")
        )
      case "create": {
        const autoRemove = random.chance(0.1)
        return operation(
          autoRemove ? `${id} --rm` : id,
          onTasks((tasks) => tasks.create({ id: containerId, autoRemove })),
          logged(id, "/tasks/create")
        )
      }
      case "start":
        return operation(
          id,
          onTasks((tasks) => tasks.start(containerId)),
          logged(id, "/tasks/start")
        )
      case "get":
        return operation(
          id,
          onTasks((tasks) => tasks.get(containerId)),
          () => {
            const since = now()
            return (answer) => (isTask(answer) ? readable(since, answer) : "that is no task")
          }
        )
      case "list":
        return operation(
          "",
          onTasks((tasks) => tasks.list({})),
          () => {
            const since = now()
            return (answer) => {
              const tasks = (Array.isArray(answer) ? answer : []).filter(isTask)
              return tasks.map((task) => readable(since, task)).find((problem) => problem !== null) ?? null
            }
          }
        )
      case "signal": {
        const signal = random.pick([9, 15, 15, 2, 10])
        const whose = random.chance(0.4) ? execId : null
        const all = whose === null && random.chance(0.3)
        return operation(
          `${id} ${whose ?? ""} ${signal}${all ? " --all" : ""}`,
          onTasks((tasks) => tasks.signal({ id: containerId, execId: whose, signal, all }))
        )
      }
      case "stop":
        return operation(
          id,
          onTasks((tasks) => tasks.stop({ id: containerId, timeoutMillis: random.int(0, 5_000) })),
          () => (answer) =>
            typeof answer === "object" && answer !== null && "exit" in answer
              ? exitLogged(id, null, answer.exit)
              : "a stop without an exit",
          true
        )
      case "pause":
        return operation(
          id,
          onTasks((tasks) => tasks.pause(containerId)),
          logged(id, "/tasks/paused")
        )
      case "resume":
        return operation(
          id,
          onTasks((tasks) => tasks.resume(containerId)),
          logged(id, "/tasks/resumed")
        )
      case "wait": {
        const whose = random.chance(0.4) ? execId : null
        const timeout = random.chance(0.5) ? { timeoutMillis: random.int(0, 20_000) } : {}
        return operation(
          `${id} ${whose ?? ""}`,
          onTasks((tasks) => tasks.wait({ id: containerId, execId: whose, ...timeout })),
          () => (answer) => exitLogged(id, whose, answer),
          true
        )
      }
      case "delete":
        return operation(
          force ? `${id} --force` : id,
          onTasks((tasks) => tasks.delete({ id: containerId, force })),
          () => {
            const before = ledger.removals(id)
            return (answer) =>
              ledger.removals(id) > before
                ? exitLogged(id, null, answer)
                : "it was answered well, and the task is there"
          }
        )
      case "pids":
        return operation(
          id,
          onTasks((tasks) => tasks.pids(containerId))
        )
      case "exec":
        return operation(
          `${id} ${exec}: ${process.args.join(" ")}`,
          onTasks((tasks) => tasks.exec({ id: containerId, execId, process })),
          logged(id, "/tasks/exec-added", exec)
        )
      case "startExec":
        return operation(
          `${id} ${exec}`,
          onTasks((tasks) => tasks.startExec({ id: containerId, execId })),
          logged(id, "/tasks/exec-started", exec)
        )
      case "deleteExec":
        return operation(
          `${id} ${exec}${force ? " --force" : ""}`,
          onTasks((tasks) => tasks.deleteExec({ id: containerId, execId, force })),
          () => (answer) => exitLogged(id, exec, answer)
        )
      case "processes":
        return operation(
          id,
          onTasks((tasks) => tasks.processes(containerId))
        )
    }
  }

  const forced = (id: string): Operation => {
    const containerId = ContainerId.make(id)
    return {
      ...of("delete", id, "x"),
      line: `delete ${id} --force`,
      effect: Effect.flatMap(Tasks, (tasks) => tasks.delete({ id: containerId, force: true }))
    }
  }

  return { draw, of, forced, ids }
}
export type Operations = ReturnType<typeof make>
