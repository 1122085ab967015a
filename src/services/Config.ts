/** What a berth was started with, for whoever needs it. */
import { Context } from "effect"
import type { RuntimeName } from "../schema/Ids.ts"

export class Config extends Context.Service<
  Config,
  {
    readonly version: string
    /** Durable folder. */
    readonly root: string
    /** Volatile folder. */
    readonly state: string
    /** The driver of containers that name none; `auto` takes the best that works. */
    readonly runtime: RuntimeName
    /** First part of every cgroup's name; two berths on one machine have different ones. */
    readonly cgroupPrefix: string
  }
>()("berth/services/Config") {}
