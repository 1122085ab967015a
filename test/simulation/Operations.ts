/** What clients ask, drawn from the seed. What each answer means is in `Answers.ts`. */
import { Effect } from "effect"
import type { BerthError } from "../../src/schema/Errors.ts"
import { ContainerId, ExecId } from "../../src/schema/Ids.ts"
import { Containers } from "../../src/services/Containers.ts"
import { Tasks } from "../../src/services/Tasks.ts"
import * as Answers from "./Answers.ts"
import type { Judge } from "./Answers.ts"
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
  readonly judge: Judge
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

export const make = (random: Random, ledger: Ledger, now: () => number) => {
  const answers = Answers.make(ledger, now, { ids, execIds })

  const draw = (): Operation => {
    const id = random.pick(ids)
    const fits = fitting[ledger.status(id)]
    const all = !random.chance(0.75)
    const name = random.weighted(names.map((name) => [name, all ? 1 : (fits[name] ?? 0)] as const))
    const [known, ...others] = Array.from(ledger.processes.get(id)?.keys() ?? [])
    const sensible = known !== undefined && name !== "exec" && random.chance(0.7)
    return of(name, id, random.pick(sensible ? [known, ...others] : execIds))
  }

  const of = (name: Name, id: string, exec: string, args = program(random)): Operation => {
    const containerId = ContainerId.make(id)
    const execId = ExecId.make(exec)
    const operation = (
      line: string,
      effect: Operation["effect"],
      judge: Judge = answers.anything(),
      patient = false
    ): Operation => ({ name, id, line: `${name} ${line}`, effect, judge, patient })
    const onTasks = (f: (tasks: Tasks["Service"]) => Effect.Effect<unknown, BerthError>) => Effect.flatMap(Tasks, f)
    const onContainers = (f: (containers: Containers["Service"]) => Effect.Effect<unknown, BerthError>) =>
      Effect.flatMap(Containers, f)
    const process = { args: [...args], cwd: "/" }
    const force = random.chance(0.6)
    switch (name) {
      case "containers.create": {
        const labels = { made: `${now()}` }
        return operation(
          `${id}: ${process.args.join(" ")}`,
          onContainers((containers) =>
            containers.create({
              id: containerId,
              labels,
              spec: { ociVersion: "1.0.2", process, root: { path: "/rootfs" } }
            })
          ),
          answers.labelled(id, "/containers/create", labels)
        )
      }
      case "containers.get":
        return operation(
          id,
          onContainers((containers) => containers.get(containerId)),
          answers.container
        )
      case "containers.list":
        return operation(
          "",
          onContainers((containers) => containers.list({})),
          answers.containers
        )
      case "containers.update": {
        const labels = { [random.pick(["here", "there"])]: `${now()}` }
        return operation(
          id,
          onContainers((containers) => containers.update(containerId, { labels })),
          answers.labelled(id, "/containers/update", labels)
        )
      }
      case "containers.delete":
        return operation(
          id,
          onContainers((containers) => containers.delete(containerId)),
          answers.logged(id, "/containers/delete")
        )
      case "create": {
        const autoRemove = random.chance(0.1)
        return operation(
          autoRemove ? `${id} --rm` : id,
          onTasks((tasks) => tasks.create({ id: containerId, autoRemove })),
          answers.logged(id, "/tasks/create")
        )
      }
      case "start":
        return operation(
          id,
          onTasks((tasks) => tasks.start(containerId)),
          answers.logged(id, "/tasks/start")
        )
      case "get":
        return operation(
          id,
          onTasks((tasks) => tasks.get(containerId)),
          answers.task
        )
      case "list":
        return operation(
          "",
          onTasks((tasks) => tasks.list({})),
          answers.tasks
        )
      case "signal": {
        const signal = random.pick([9, 9, 15, 15, 2, 10])
        const whose = random.chance(0.4) ? execId : null
        const all = whose === null && random.chance(0.3)
        return operation(
          `${id} ${whose ?? ""} ${signal}${all ? " --all" : ""}`,
          onTasks((tasks) => tasks.signal({ id: containerId, execId: whose, signal, all })),
          signal === 9 ? answers.killed(id, whose) : answers.anything()
        )
      }
      case "stop":
        return operation(
          id,
          onTasks((tasks) => tasks.stop({ id: containerId, timeoutMillis: random.int(0, 5_000) })),
          answers.stopped(id),
          true
        )
      case "pause":
        return operation(
          id,
          onTasks((tasks) => tasks.pause(containerId)),
          answers.logged(id, "/tasks/paused")
        )
      case "resume":
        return operation(
          id,
          onTasks((tasks) => tasks.resume(containerId)),
          answers.logged(id, "/tasks/resumed")
        )
      case "wait": {
        const whose = random.chance(0.4) ? execId : null
        const timeout = random.chance(0.5) ? { timeoutMillis: random.int(0, 20_000) } : {}
        return operation(
          `${id} ${whose ?? ""}`,
          onTasks((tasks) => tasks.wait({ id: containerId, execId: whose, ...timeout })),
          answers.exit(id, whose),
          true
        )
      }
      case "delete":
        return operation(
          force ? `${id} --force` : id,
          onTasks((tasks) => tasks.delete({ id: containerId, force })),
          answers.removed(id)
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
          answers.logged(id, "/tasks/exec-added", exec)
        )
      case "startExec":
        return operation(
          `${id} ${exec}`,
          onTasks((tasks) => tasks.startExec({ id: containerId, execId })),
          answers.logged(id, "/tasks/exec-started", exec)
        )
      case "deleteExec":
        return operation(
          `${id} ${exec}${force ? " --force" : ""}`,
          onTasks((tasks) => tasks.deleteExec({ id: containerId, execId, force })),
          answers.exit(id, exec)
        )
      case "processes":
        return operation(
          id,
          onTasks((tasks) => tasks.processes(containerId)),
          answers.processes(id)
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

  /** From the beginning to the end: when all is over, nothing stands in the way of that. */
  const life = (id: string): ReadonlyArray<Operation> => {
    const containerId = ContainerId.make(id)
    const forever = ["sleep", "inf"]
    return [
      of("containers.create", id, "x", forever),
      { ...of("create", id, "x"), effect: Effect.flatMap(Tasks, (tasks) => tasks.create({ id: containerId })) },
      of("start", id, "x"),
      of("exec", id, "x", forever),
      of("startExec", id, "x"),
      forced(id),
      of("containers.delete", id, "x")
    ]
  }

  return { draw, of, forced, life, refusal: answers.refusal, doomedAt: answers.doomedAt, ids }
}
export type Operations = ReturnType<typeof make>
