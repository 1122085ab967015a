/**
 * Cgroups in memory, for tests and simulation: each container has what it was given, and nothing changes by itself. A container that was given nothing has
 * no group, as one whose runtime makes none.
 */
import { Context, Effect, Layer, PubSub, Stream } from "effect"
import { NotFound } from "../schema/Errors.ts"
import type { ContainerId } from "../schema/Ids.ts"
import type { ProcessInfo, Stats } from "../schema/Stats.ts"
import { Cgroups } from "./Cgroups.ts"

export interface MemoryGroup {
  readonly stats: Omit<Stats, "containerId">
  readonly processes: ReadonlyArray<ProcessInfo>
}

export class MemoryCgroups extends Context.Service<
  MemoryCgroups,
  {
    /** Gives a container its group, or other contents to it. */
    readonly set: (id: ContainerId, group: MemoryGroup) => Effect.Effect<void>
    /** The kernel kills a process of it for want of memory; false where it has no group. */
    readonly oom: (id: ContainerId) => Effect.Effect<boolean>
    /** Takes the group away, as the runtime does when it deletes the container. */
    readonly remove: (id: ContainerId) => Effect.Effect<void>
  }
>()("berth/services/MemoryCgroups") {}

const make = Effect.gen(function* () {
  const groups = new Map<ContainerId, MemoryGroup>()
  const changes = yield* Effect.acquireRelease(PubSub.unbounded<ContainerId>(), PubSub.shutdown)

  const group = (id: ContainerId) =>
    Effect.suspend(() => Effect.fromNullishOr(groups.get(id))).pipe(
      Effect.mapError(() => new NotFound({ kind: "task", id }))
    )
  const kills = (id: ContainerId) => Effect.map(group(id), ({ stats }) => stats.memory.oomKills ?? 0)

  const cgroups = Cgroups.of({
    find: ({ containerId: id }) =>
      Effect.succeed({
        stats: Effect.map(group(id), ({ stats }) => ({ containerId: id, ...stats })),
        pids: Effect.map(group(id), ({ processes }) => processes.map(({ pid }) => pid).sort((a, b) => a - b)),
        processes: Effect.map(group(id), ({ processes }) => processes),
        oomKills: Effect.map(group(id), ({ stats }) => stats.memory.oomKills),
        memoryPeak: Effect.map(group(id), ({ stats }) => stats.memory.peak),
        ended: Effect.void,
        watchOom: (known) =>
          Stream.unwrap(
            Effect.map(PubSub.subscribe(changes), (subscription) => {
              let told = known
              return Stream.concat(
                Stream.make(id),
                Stream.filter(Stream.fromSubscription(subscription), (changed) => changed === id)
              ).pipe(
                Stream.mapEffect(() => Effect.option(kills(id))),
                Stream.takeWhile((count) => count._tag === "Some"),
                Stream.map((count) => count.value),
                Stream.filter((count) => {
                  const risen = count > told
                  told = count
                  return risen
                })
              )
            })
          )
      })
  })

  const put = (id: ContainerId, group: MemoryGroup) =>
    Effect.suspend(() => {
      groups.set(id, group)
      return Effect.asVoid(PubSub.publish(changes, id))
    })
  const control = MemoryCgroups.of({
    set: put,
    oom: (id) =>
      Effect.suspend(() => {
        const group = groups.get(id)
        if (group === undefined) return Effect.succeed(false)
        const { memory } = group.stats
        const stats = { ...group.stats, memory: { ...memory, oomKills: (memory.oomKills ?? 0) + 1 } }
        return Effect.as(put(id, { ...group, stats }), true)
      }),
    remove: (id) =>
      Effect.suspend(() => {
        groups.delete(id)
        return Effect.asVoid(PubSub.publish(changes, id))
      })
  })
  return Context.make(Cgroups, cgroups).pipe(Context.add(MemoryCgroups, control))
})

/** Groups of its own, and the control over them, for each time it is built. */
export const layer: Layer.Layer<Cgroups | MemoryCgroups> = Layer.effectContext(make)
