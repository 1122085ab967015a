/**
 * What the kernel accounts for a container: read afresh at each call, never cached, never changed. Finding the group is done once, while the init process
 * lives; its last numbers can still be read after init has ended, until the runtime deletes the container. Limits are the runtime's to set.
 */
import { Context } from "effect"
import type { Effect, Stream } from "effect"
import type { NotFound, Unavailable } from "../schema/Errors.ts"
import type { ContainerId } from "../schema/Ids.ts"
import type { ProcessInfo, Stats } from "../schema/Stats.ts"

/** What leads to the groups of a container. */
export interface CgroupTarget {
  readonly containerId: ContainerId
  /** Of init; `null` where it has ended, so that the pid may be somebody else's by now. */
  readonly pid: number | null
  /** Of the specification. An absolute one tells where the group is when init no longer can. */
  readonly cgroupsPath: string | null
}

/** NotFound (kind `task`) where the container has no group of its own, or no longer; Unavailable where it cannot be read. */
export type CgroupError = NotFound | Unavailable

/** The groups of one container. It may be dropped without a word: what is open for it is the layer's, and soon closed. */
export interface Cgroup {
  readonly stats: Effect.Effect<Stats, CgroupError>
  /** Every process, those in groups below too, ascending. */
  readonly pids: Effect.Effect<ReadonlyArray<number>, CgroupError>
  /** The same with what is known of each; `execId` is `null` throughout. One that ends meanwhile is left out. */
  readonly processes: Effect.Effect<ReadonlyArray<ProcessInfo>, CgroupError>
  /** Processes killed for want of memory so far; `null` where the kernel does not count them. */
  readonly oomKills: Effect.Effect<number | null, CgroupError>
  /** The most memory ever used, in bytes; `null` where the kernel does not keep it. */
  readonly memoryPeak: Effect.Effect<number | null, CgroupError>
  /**
   * The new count each time it has risen above what was last told, at first above `known`. Late by up to a second on cgroup v1, so a container's end must
   * be preceded by a look at `oomKills`. Ends where there is no group, or once it is seen to be gone. The newest count replaces one that was not taken yet.
   */
  readonly watchOom: (known: number) => Stream.Stream<number>
  /** To be told when init has ended, whose network would live on while it is open here. Numbers of the group can be read all the same. */
  readonly ended: Effect.Effect<void>
}

export class Cgroups extends Context.Service<
  Cgroups,
  {
    /** Finds the groups now; where that fails, at each later use. Call it as soon as the container is created: later its init may have moved, or ended. */
    readonly find: (target: CgroupTarget) => Effect.Effect<Cgroup>
  }
>()("berth/services/Cgroups") {}
