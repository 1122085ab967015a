/** What a host holds of a container, from its creation or its taking over to its deletion. */
import { Deferred, Semaphore } from "effect"
import type { Fiber } from "effect"
import type { ExecId } from "../schema/Ids.ts"
import type { Driver, Target } from "../services/OciRuntime.ts"
import type { HostError } from "../services/ProcessHost.ts"
import type { Accounting } from "./Accounting.ts"
import type { Live } from "./LiveProcess.ts"

export interface Container {
  readonly target: Target
  readonly driver: Driver
  readonly init: Live
  /** Another one once init is seen that could not be when this was taken over. */
  accounting: Accounting
  readonly execs: Map<ExecId, Live>
  /** Runtime calls that go on without their callers. */
  readonly underWay: Set<Fiber.Fiber<unknown, HostError>>
  /** Completes when the runtime was told to forget it, after the end of init; with whether it has. */
  readonly forgotten: Deferred.Deferred<boolean>
  /** A pause has begun, and no resume has ended since. */
  maybeFrozen: boolean
  /** Its init was sent SIGKILL. */
  doomed: boolean
  /** Its deletion closes what its processes hold: no process comes to it any more. */
  closing: boolean
  /** Pauses and resumes take turns. */
  readonly freezer: Semaphore.Semaphore
}

/** As it is when it is made, or taken over. */
export const make = (
  parts: Pick<Container, "target" | "driver" | "init" | "accounting" | "execs"> & { readonly maybeFrozen?: boolean }
): Container => ({
  maybeFrozen: false,
  ...parts,
  underWay: new Set(),
  forgotten: Deferred.makeUnsafe(),
  doomed: false,
  closing: false,
  freezer: Semaphore.makeUnsafe(1)
})
