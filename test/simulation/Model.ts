/**
 * The state machine of a container as its users were promised it, told by events alone: a second opinion on what the actors do, written without looking at how they
 * do it. Each event must be one that may come now; what the store holds must agree with what the events tell.
 */
import type { Event } from "../../src/schema/Events.ts"
import type { ProcessState, TaskState } from "../../src/schema/TaskState.ts"

export type Status = "none" | "created" | "running" | "paused" | "stopped"
export type ExecStatus = "added" | "started" | "exited"

export interface Told {
  status: Status
  execs: Map<string, ExecStatus>
}

/** Follows the log. Gives what is wrong with an event, null where nothing is. */
export const makeModel = () => {
  const containers = new Map<string, Told>()

  const onInit = (told: Told, what: string, from: ReadonlyArray<Status>, to: Status): string | null => {
    if (!from.includes(told.status)) return `${what} while it is ${told.status}`
    told.status = to
    return null
  }
  const onExec = (told: Told, id: string, from: ExecStatus | undefined, to: ExecStatus): string | null => {
    const found = told.execs.get(id)
    if (found !== from) return `exec ${id} is ${to} after it was ${found ?? "unknown"}`
    told.execs.set(id, to)
    return null
  }

  const step = (event: Event): string | null => {
    const id = "containerId" in event.event ? event.event.containerId : event.event.id
    const told = containers.get(id)
    if (event.topic === "/containers/create") {
      if (told !== undefined) return "created twice"
      containers.set(id, { status: "none", execs: new Map() })
      return null
    }
    if (told === undefined) return "an event of a container that does not exist"
    switch (event.topic) {
      case "/containers/update":
        return null
      case "/containers/delete":
        if (told.status !== "none") return `deleted while its task is ${told.status}`
        containers.delete(id)
        return null
      case "/tasks/create":
        return onInit(told, "create", ["none"], "created")
      case "/tasks/start":
        return onInit(told, "start", ["created"], "running")
      case "/tasks/paused":
        return onInit(told, "pause", ["running"], "paused")
      case "/tasks/resumed":
        return onInit(told, "resume", ["paused"], "running")
      case "/tasks/oom":
        return onInit(told, "oom", ["created", "running", "paused"], told.status)
      case "/tasks/exec-added":
        return told.status === "created" || told.status === "running"
          ? onExec(told, event.event.execId, undefined, "added")
          : `an exec while it is ${told.status}`
      case "/tasks/exec-started":
        return told.status === "running" || told.status === "paused"
          ? onExec(told, event.event.execId, "added", "started")
          : `an exec runs while it is ${told.status}`
      case "/tasks/exit": {
        const { execId } = event.event
        if (execId !== null) return onExec(told, execId, "started", "exited")
        const [alive] = Array.from(told.execs).find(([, status]) => status === "started") ?? []
        if (alive !== undefined) return `init ended before exec ${alive}`
        return onInit(told, "exit", ["created", "running", "paused"], "stopped")
      }
      case "/tasks/delete": {
        const wrong = onInit(told, "delete", ["created", "stopped"], "none")
        told.execs.clear()
        return wrong
      }
    }
  }
  return { step, containers: containers as ReadonlyMap<string, Told> }
}

/** What events may have told of a task whose record is in that state. */
export const agreed = (state: TaskState): ReadonlyArray<Status> => {
  switch (state._tag) {
    case "Creating":
    case "Deleted":
      return ["none"]
    case "Created":
    case "Starting":
      return ["created"]
    case "Running":
    case "Pausing":
      return ["running"]
    case "Paused":
    case "Resuming":
      return ["paused"]
    case "Stopped":
      return ["stopped"]
    case "Deleting":
      if (state.exit !== null) return ["stopped"]
      if (state.identity === null) return ["none"]
      return state.startedAt === null ? ["created"] : state.paused === true ? ["paused"] : ["running"]
  }
}

export const agreedExec = (state: ProcessState): ExecStatus | null => {
  switch (state._tag) {
    case "Created":
    case "Starting":
      return "added"
    case "Running":
      return "started"
    case "Stopped":
      return "exited"
    case "Deleting":
      return state.startedAt === null ? "added" : state.exit === null ? "started" : "exited"
    case "Deleted":
      return null
  }
}
