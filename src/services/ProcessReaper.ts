/**
 * Ends of processes whose parent this process is, or has become as their subreaper. Nothing else in the process may wait for them. Unavailable is what cannot be
 * told now, for want of descriptors for example: then nothing follows, neither that a process lives nor that it does not.
 */
import { Context } from "effect"
import type { Effect, Option } from "effect"
import type { PermissionDenied, Unavailable } from "../schema/Errors.ts"
import type { Reaped } from "../schema/Process.ts"
import type { Identity } from "../schema/TaskState.ts"

export interface Child {
  readonly identity: Identity
  /** Completes when the process has ended; any number may wait, before or after. */
  readonly exit: Effect.Effect<Reaped>
}

/** Where a process is pinned, in its task folder. */
export const pinIn = (folder: string): string => `${folder}/pidfd`

export class ProcessReaper extends Context.Service<
  ProcessReaper,
  {
    /** Takes charge of a child by pid, also one that has ended but was not yet waited for. */
    readonly claim: (pid: number) => Effect.Effect<Child, Unavailable>
    /** Who has this pid now; none where nobody has. */
    readonly identify: (pid: number) => Effect.Effect<Option.Option<Identity>, Unavailable>
    /** Whether that very process lives and has its files open; one that is about to end has not. */
    readonly isAlive: (identity: Identity) => Effect.Effect<boolean, Unavailable>
    /** Sends a signal to that very process; false where it has ended. PermissionDenied where it lives, as another user's. Never reaches another process that got its pid. */
    readonly signal: (identity: Identity, signal: number) => Effect.Effect<boolean, PermissionDenied | Unavailable>
    /** Has the kernel keep at this path how the process ends, where it can: also while nobody lives to wait for it. */
    readonly pin: (identity: Identity, path: string) => Effect.Effect<void>
    /** How the process that is pinned there has ended; none where it has not, or where none is. */
    readonly recall: (path: string) => Effect.Effect<Option.Option<Reaped>, Unavailable>
    readonly unpin: (path: string) => Effect.Effect<void>
  }
>()("berth/services/ProcessReaper") {}
