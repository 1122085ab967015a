/** Containers, tasks, processes and events to put into a store. */
import { DateTime } from "effect"
import type { Container } from "../../src/schema/Container.ts"
import type { NewEvent } from "../../src/schema/Events.ts"
import { ContainerId, ExecId, Namespace, RuntimeName } from "../../src/schema/Ids.ts"
import { defaultStdio } from "../../src/schema/Process.ts"
import type { Exit } from "../../src/schema/Process.ts"
import type { ProcessRecord, ProcessState, TaskRecord, TaskState } from "../../src/schema/TaskState.ts"

export const at = DateTime.makeUnsafe("2026-01-02T03:04:05.006Z")
export const identity = { pid: 4242, startTime: "998877", bootId: "b9f1" }
const runtime = RuntimeName.make("runc")
const paths = { stdin: null, stdout: "/run/out", stderr: null }

export const exitOf = (id: string, exitStatus = 0): Exit => ({
  id,
  pid: identity.pid,
  exitStatus,
  exitedAt: at,
  oomKilled: false,
  source: "reaped",
  oomCount: 0,
  memoryPeak: 4096
})

export const taskStates: { readonly [Tag in TaskState["_tag"]]: Extract<TaskState, { readonly _tag: Tag }> } = {
  Creating: { _tag: "Creating", exit: null },
  Created: { _tag: "Created", identity },
  Starting: { _tag: "Starting", identity, exit: null },
  Running: { _tag: "Running", identity, startedAt: at },
  Pausing: { _tag: "Pausing", identity, startedAt: at },
  Paused: { _tag: "Paused", identity, startedAt: at },
  Resuming: { _tag: "Resuming", identity, startedAt: at },
  Stopped: { _tag: "Stopped", identity, startedAt: at, exit: exitOf("web", 137) },
  Deleting: { _tag: "Deleting", identity, startedAt: at, exit: null },
  Deleted: { _tag: "Deleted", exit: null }
}

export const namespaceOf = (name = "default") => Namespace.make(name)

export const containerOf = (id: string, namespace = "default", labels: Container["labels"] = {}): Container => ({
  namespace: Namespace.make(namespace),
  id: ContainerId.make(id),
  labels,
  runtime: { name: runtime, options: {} },
  spec: { ociVersion: "1.2.0", process: { cwd: "/", args: ["true"] } },
  snapshotKey: null,
  snapshotter: null,
  createdAt: at,
  updatedAt: at,
  extensions: {}
})

export const taskOf = (id: string, state: TaskState = taskStates.Running, namespace = "default"): TaskRecord => ({
  namespace: Namespace.make(namespace),
  id: ContainerId.make(id),
  runtime,
  terminal: false,
  stdio: defaultStdio,
  paths,
  autoRemove: false,
  oomCount: 0,
  createdAt: at,
  state
})

export const processOf = (
  containerId: string,
  id: string,
  state: ProcessState = { _tag: "Created" },
  namespace = "default"
): ProcessRecord => ({
  namespace: Namespace.make(namespace),
  containerId: ContainerId.make(containerId),
  id: ExecId.make(id),
  spec: { cwd: "/", args: ["true"] },
  stdio: defaultStdio,
  paths,
  createdAt: at,
  state
})

export const startEvent = (id: string, pid = identity.pid, namespace = "default"): NewEvent => ({
  namespace: Namespace.make(namespace),
  payload: { topic: "/tasks/start", event: { containerId: ContainerId.make(id), pid } }
})

export const exitEvent = (id: string, execId: string | null = null, namespace = "default"): NewEvent => ({
  namespace: Namespace.make(namespace),
  payload: {
    topic: "/tasks/exit",
    event: {
      containerId: ContainerId.make(id),
      execId: execId === null ? null : ExecId.make(execId),
      ...exitOf(execId ?? id)
    }
  }
})
