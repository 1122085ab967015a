/** `berth ps`: what runs, or with `--all` everything there is, tasks with their containers. */
import { DateTime, Effect } from "effect"
import type { Schema } from "effect"
import { Command } from "effect/cli"
import type { Container } from "../../schema/Container.ts"
import type { Task } from "../../schema/Task.ts"
import { Containers } from "../../services/Containers.ts"
import { Tasks } from "../../services/Tasks.ts"
import { connected, wantsJson } from "../Globals.ts"
import { Output } from "../Output.ts"
import * as Json from "../output/Json.ts"
import { type Cell, render, shorten } from "../output/Table.ts"
import { ago } from "../output/Time.ts"
import * as Params from "../Params.ts"

/** A line of the list: a task, its container, or both. */
export interface Row {
  readonly task: Task | null
  readonly container: Container | null
}

const hasEnded = (task: Task) => task.status === "stopped" || task.status === "deleted"

/** Every task that is wanted beside its container, then containers that have no task, each by id. */
export const join = (options: {
  readonly tasks: ReadonlyArray<Task>
  readonly containers: ReadonlyArray<Container>
  readonly idle: ReadonlyArray<Container>
  readonly all: boolean
}): ReadonlyArray<Row> => {
  const byId = new Map(options.containers.map((container) => [container.id, container]))
  const tasks = options.tasks.filter((task) => options.all || !hasEnded(task))
  const rows: ReadonlyArray<Row> = [
    ...tasks.map((task) => ({ task, container: byId.get(task.containerId) ?? null })),
    ...(options.all ? options.idle.map((container) => ({ task: null, container })) : [])
  ]
  return rows.toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
}

const idOf = ({ container, task }: Row) => task?.id ?? container?.id ?? ""

const absent = {
  status: null,
  pid: null,
  exitStatus: null,
  exitedAt: null,
  oomKilled: false,
  exitSource: null,
  stdin: null,
  stdout: null,
  stderr: null,
  terminal: false,
  startedAt: null,
  restartCount: 0,
  oomCount: 0
}

const toJson = ({ container, task }: Row): Schema.Json => {
  const encoded = container === null ? null : Json.container(container)
  if (task !== null) return { ...Json.task(task), container: encoded }
  if (encoded === null) return null
  const { createdAt, id, namespace, runtime } = encoded
  return { namespace, id, containerId: id, runtime: runtime.name, createdAt, ...absent, container: encoded }
}

/** The status of a task in its colour, with its exit status, and with a lack of memory where there was one. */
const taskCell = ({ exitStatus, oomCount, oomKilled, status }: Task): Cell => {
  if (oomKilled) return { text: `${status} (${exitStatus}, out of memory)`, color: "red" }
  if (oomCount > 0 && exitStatus === null) return { text: `${status} (${oomCount} out of memory)`, color: "yellow" }
  return statusCell(status, exitStatus)
}

/** A status in its colour, with the exit status where there is one. */
export const statusCell = (status: string | null, exitStatus: number | null): Cell => {
  if (status === null) return { text: "-", color: "dim" }
  if (status === "running") return { text: status, color: "green" }
  if (status === "paused" || status === "pausing") return { text: status, color: "yellow" }
  if (exitStatus === null) return status
  return { text: `${status} (${exitStatus})`, color: exitStatus === 0 ? "dim" : "red" }
}

const commandOf = (container: Container | null) => shorten((container?.spec.process?.args ?? []).join(" "), 40)

const toCells = ({ container, task }: Row, now: DateTime.Utc): ReadonlyArray<Cell> => {
  const createdAt = task?.createdAt ?? container?.createdAt
  return [
    task?.id ?? container?.id ?? "",
    task === null ? statusCell(null, null) : taskCell(task),
    task?.pid === null || task === null || hasEnded(task) ? "-" : `${task.pid}`,
    task?.runtime ?? container?.runtime.name ?? "",
    createdAt === undefined ? "-" : ago(createdAt, now),
    commandOf(container)
  ]
}

const list = Effect.fn("cli.ps")(function* (all: boolean, filters: ReadonlyArray<string>) {
  const tasks = yield* Tasks
  const containers = yield* Containers
  const matching = { filters }
  const filtered = filters.length > 0
  const [wanted, every, records, idle] = yield* Effect.all(
    [
      tasks.list(matching),
      all && filtered ? tasks.list({}) : Effect.succeed([]),
      containers.list({}),
      all && filtered ? containers.list(matching) : Effect.succeed(null)
    ],
    { concurrency: "unbounded" }
  )
  const busy = new Set([...wanted, ...every].map(({ containerId }) => containerId))
  return join({ tasks: wanted, containers: records, idle: (idle ?? records).filter(({ id }) => !busy.has(id)), all })
})

export const ps = Command.make(
  "ps",
  {
    all: Params.toggle("all", "Also what has stopped, and containers that have no task").pipe(Params.alias("a")),
    filters: Params.filters
  },
  ({ all, filters }) =>
    connected(
      Effect.gen(function* () {
        const rows = yield* list(all, filters)
        const output = yield* Output
        if (yield* wantsJson) return yield* output.write(Json.document(rows.map(toJson)))
        const now = yield* DateTime.now
        const headings = ["ID", "STATUS", "PID", "RUNTIME", "CREATED", "COMMAND"]
        yield* output.write(
          render(
            headings,
            rows.map((row) => toCells(row, now)),
            output.colors
          )
        )
      })
    )
).pipe(
  Command.withAlias("list"),
  Command.withDescription("List what runs"),
  Command.withExamples([
    { command: "berth ps" },
    { command: "berth ps -a --filter status==stopped", description: "Everything that has stopped" },
    { command: "berth ps --json | jq -r '.[].pid'", description: "For scripts" }
  ])
)
