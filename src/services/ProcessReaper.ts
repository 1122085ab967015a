/** Ends of processes whose parent this process is, or has become as their subreaper. Nothing else in the process may wait for them. */
import { Context } from "effect"
import type { Effect, Option } from "effect"
import type { Reaped } from "../schema/Process.ts"
import type { Identity } from "../schema/TaskState.ts"

export interface Child {
  readonly identity: Identity
  /** Completes when the process has ended; any number may wait, before or after. */
  readonly exit: Effect.Effect<Reaped>
}

export class ProcessReaper extends Context.Service<
  ProcessReaper,
  {
    /** Takes charge of a child by pid, also one that has ended but was not yet waited for. */
    readonly claim: (pid: number) => Effect.Effect<Child>
    /** Who has this pid now; none where nobody has. */
    readonly identify: (pid: number) => Effect.Effect<Option.Option<Identity>>
    /** Sends a signal to that very process; false where it has ended. Never reaches another process that got its pid. */
    readonly signal: (identity: Identity, signal: number) => Effect.Effect<boolean>
  }
>()("berth/services/ProcessReaper") {}
