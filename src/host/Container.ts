/** What a host holds of a container, from its creation or its taking over to its deletion. */
import type { Deferred, Fiber, Semaphore } from "effect"
import type { ExecId } from "../schema/Ids.ts"
import type { Driver, Target } from "../services/OciRuntime.ts"
import type { HostError } from "../services/ProcessHost.ts"
import type { Live } from "./LiveProcess.ts"

export interface Container {
  readonly target: Target
  readonly driver: Driver
  readonly init: Live
  readonly execs: Map<ExecId, Live>
  /** Runtime calls that go on without their callers. */
  readonly underWay: Set<Fiber.Fiber<void, HostError>>
  /** Completes when the runtime was told to forget it, after the end of init; with whether it has. */
  readonly forgotten: Deferred.Deferred<boolean>
  /** Deletions take turns: a late one must not hit the next container of that name. */
  readonly removal: Semaphore.Semaphore
  /** A pause has begun, and no resume has ended since. */
  maybeFrozen: boolean
}
