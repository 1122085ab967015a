/**
 * Drivers: what creates and ends real (or pretended) containers. A driver acts and answers; it keeps no state, publishes nothing and does not know when
 * processes end: that is the reaper's.
 */
import { Context } from "effect"
import type { Effect } from "effect"
import type { InvalidArgument, RuntimeFailed, Unavailable, Unsupported } from "../schema/Errors.ts"
import type { ContainerId, ExecId, Namespace, RuntimeName } from "../schema/Ids.ts"
import type { OciProcess } from "../schema/OciSpec.ts"
import type { Updated } from "../schema/Host.ts"
import type { Resources } from "../schema/Resources.ts"
import type { DriverInfo } from "../schema/Runtime.ts"
import type { Identity } from "../schema/TaskState.ts"

/** A container as a driver knows it. `bundle` is the absolute path of the folder that holds `config.json`. */
export interface Target {
  readonly namespace: Namespace
  readonly containerId: ContainerId
  readonly bundle: string
}

/** Descriptors that the process gets, open in this process; `null` is /dev/null. The driver does not close them. */
export interface Descriptors {
  readonly stdin: number | null
  readonly stdout: number | null
  readonly stderr: number | null
}

export type DriverError = InvalidArgument | RuntimeFailed | Unsupported | Unavailable

/** Every call has a deadline of its own (RuntimeFailed, reason `deadline`); interrupting one kills the runtime process that it started. */
export interface Driver {
  readonly info: DriverInfo
  /**
   * Returns the pid of init, which waits to be started. `console`: where to send its terminal, if it has one.
   * InvalidArgument where there is no such root filesystem.
   */
  readonly create: (target: Target, stdio: Descriptors, console?: string | null) => Effect.Effect<number, DriverError>
  readonly start: (target: Target) => Effect.Effect<void, DriverError>
  /** Starts a process beside init and returns its pid. */
  readonly exec: (
    target: Target,
    execId: ExecId,
    process: OciProcess,
    stdio: Descriptors,
    console?: string | null
  ) => Effect.Effect<number, DriverError>
  readonly pause: (target: Target) => Effect.Effect<void, DriverError>
  readonly resume: (target: Target) => Effect.Effect<void, DriverError>
  /**
   * Sets the limits that are named, all or none: where one is refused, or the call is interrupted, what was set is put back. Answers what the kernel held
   * before and holds after. Unsupported where this host or driver has no such limit.
   */
  readonly update: (target: Target, changes: Resources) => Effect.Effect<Updated, DriverError>
  /** Removes every trace; `force` kills what still runs. A container that is not there is a success. */
  readonly delete: (target: Target, options: { readonly force: boolean }) => Effect.Effect<void, DriverError>
  /** Whether init was started, as the runtime has it; false while it waits for that. */
  readonly hasStarted: (target: Target) => Effect.Effect<boolean, DriverError>
  /** Whether it is frozen, as the runtime has it. */
  readonly isPaused: (target: Target) => Effect.Effect<boolean, DriverError>
  /**
   * What a call has left behind that its host did not outlive: runtimes still at work on the container, where `execId` is null, or on that exec, and the process
   * that they have started for it.
   */
  readonly leftAtWork: (target: Target, execId: ExecId | null) => Effect.Effect<ReadonlyArray<Identity>, DriverError>
  /** Runtimes that are at work on one of these containers, whoever called them. */
  readonly atWork: (targets: ReadonlyArray<Target>) => Effect.Effect<ReadonlyArray<Identity>, DriverError>
  /** Every pid in the container, as the host sees them. */
  readonly pids: (target: Target) => Effect.Effect<ReadonlyArray<number>, DriverError>
}

export class OciRuntime extends Context.Service<
  OciRuntime,
  {
    /** The driver of that name; `auto` gives the best that works on this host. Unavailable says what to install. */
    readonly driver: (name: RuntimeName) => Effect.Effect<Driver, Unavailable>
    /** Every driver known, also those that do not work here, with the reason. */
    readonly list: Effect.Effect<ReadonlyArray<DriverInfo>>
  }
>()("berth/services/OciRuntime") {}
