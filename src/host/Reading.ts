/**
 * What can be read of hosted containers while they live, from the kernel's accounts alone: no process is started for it, and nothing changes. Where a
 * container has no group of its own only its pids are known, from its runtime.
 */
import { Effect, Option } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import { FailedPrecondition, Unavailable } from "../schema/Errors.ts"
import type { ContainerRef } from "../schema/Host.ts"
import type { ContainerId, Namespace } from "../schema/Ids.ts"
import { containerKey } from "../schema/Ids.ts"
import type { CgroupError } from "../services/Cgroups.ts"
import type { HostError } from "../services/ProcessHost.ts"
import type { Container } from "./Container.ts"

type Find = (ref: ContainerRef) => Effect.Effect<Container, HostError>

/** What a task must be for its processes to use anything. */
const alive = ["created", "running", "paused"]

export const makeReading = (containers: ReadonlyMap<string, Container>, find: Find) => {
  const hasEnded = ({ init }: Container) => init.record.exit !== null

  const living = Effect.fnUntraced(function* (ref: ContainerRef, operation: string) {
    const container = yield* find(ref)
    if (!hasEnded(container)) return container
    return yield* new FailedPrecondition({ operation, found: "stopped", allowed: alive })
  })

  /** A group that is not there tells of a container that has ended meanwhile, or of one whose runtime makes none. */
  const orWhy =
    (container: Container, operation: string) =>
    (error: CgroupError): BerthError => {
      if (error._tag !== "NotFound") return error
      if (hasEnded(container)) return new FailedPrecondition({ operation, found: "stopped", allowed: alive })
      return new Unavailable({ what: operation, problem: "the container has no cgroup of its own", mend: null })
    }

  const stats = Effect.fn("ProcessHost.stats")(function* (ref: ContainerRef) {
    const operation = `take statistics of "${ref.containerId}"`
    const container = yield* living(ref, operation)
    return yield* Effect.mapError(container.accounting.cgroup.stats, orWhy(container, operation))
  })

  const statsOf = Effect.fn("ProcessHost.statsOf")(function* (request: {
    readonly namespace: Namespace
    readonly containerIds: ReadonlyArray<ContainerId>
  }) {
    const { containerIds, namespace } = request
    const samples = yield* Effect.forEach(containerIds, (containerId) => {
      const container = containers.get(containerKey({ namespace, containerId }))
      if (container === undefined || hasEnded(container)) return Effect.succeedNone
      return Effect.option(container.accounting.cgroup.stats)
    })
    return samples.flatMap(Option.toArray)
  })

  const pids = Effect.fn("ProcessHost.pids")(function* (ref: ContainerRef) {
    const container = yield* find(ref)
    if (hasEnded(container)) return []
    return yield* Effect.catch(container.accounting.cgroup.pids, () => container.driver.pids(container.target))
  })

  const processTable = Effect.fn("ProcessHost.processTable")(function* (ref: ContainerRef) {
    const operation = `list the processes of "${ref.containerId}"`
    const container = yield* living(ref, operation)
    const found = yield* Effect.mapError(container.accounting.cgroup.processes, orWhy(container, operation))
    const execIds = new Map(
      Array.from(container.execs.values()).flatMap(({ record: { exit, identity, ref } }) =>
        exit === null ? [[identity.pid, ref.execId] as const] : []
      )
    )
    return found.map((process) => ({ ...process, execId: execIds.get(process.pid) ?? null }))
  })

  return { stats, statsOf, pids, processTable } as const
}
