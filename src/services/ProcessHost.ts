/**
 * Where processes live: the parent of every container process, in this process, in a shim behind a socket, or pretended. It runs what it is told, knows
 * every exit, and tells whoever watches. It survives the daemon; it has no opinion on what may be done in which state.
 */
import { Context } from "effect"
import type { Effect, Stream } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import type { Exit, TerminalSize } from "../schema/Process.ts"
import type {
  ContainerRef,
  CreateRequest,
  DeleteResult,
  ExecRequest,
  Hosted,
  HostEvent,
  HostSignal,
  Ref,
  Updated,
  UpdateRequest
} from "../schema/Host.ts"
import type { ContainerId, Namespace } from "../schema/Ids.ts"
import type { ShimInfo } from "../schema/Requests.ts"
import type { ProcessInfo, Stats } from "../schema/Stats.ts"

/** A host behind a socket can answer with any of them. */
export type HostError = BerthError

export class ProcessHost extends Context.Service<
  ProcessHost,
  {
    /** Bundle, stdio and container, up to `created`. Leaves nothing behind where it fails or is interrupted. */
    readonly create: (request: CreateRequest) => Effect.Effect<Hosted, HostError>
    readonly start: (ref: ContainerRef) => Effect.Effect<void, HostError>
    /** Starts a process beside init. Leaves nothing behind where it fails or is interrupted. */
    readonly exec: (request: ExecRequest) => Effect.Effect<Hosted, HostError>
    /**
     * To one process, by its name or by a pid that its container has, or with `all` to every process of the container. NotFound where it has ended, or is
     * none of the container's. SIGKILL also ends what is frozen.
     */
    readonly signal: (request: HostSignal) => Effect.Effect<void, HostError>
    readonly pause: (ref: ContainerRef) => Effect.Effect<void, HostError>
    readonly resume: (ref: ContainerRef) => Effect.Effect<void, HostError>
    /** Changes limits, all that are named or none; one update of a container at a time. NotFound where its init has ended. */
    readonly update: (request: UpdateRequest) => Effect.Effect<Updated, HostError>
    /** Kills what runs, waits for its exits and removes every trace. Of a container that is not there: an empty result. */
    readonly delete: (ref: ContainerRef) => Effect.Effect<DeleteResult, HostError>
    /** Forgets an exec; kills it first where it runs. Answers its exit, null where there is no such exec. */
    readonly deleteExec: (ref: Ref) => Effect.Effect<Exit | null, HostError>
    readonly pids: (ref: ContainerRef) => Effect.Effect<ReadonlyArray<number>, HostError>
    /** FailedPrecondition where it has ended; Unavailable where the kernel keeps no account of it. */
    readonly processTable: (ref: ContainerRef) => Effect.Effect<ReadonlyArray<ProcessInfo>, HostError>
    /** One sample; fails as `processTable` does. */
    readonly stats: (ref: ContainerRef) => Effect.Effect<Stats, HostError>
    /** A sample of each, in that order; of which there can be none, those are left out. */
    readonly statsOf: (request: {
      readonly namespace: Namespace
      readonly containerIds: ReadonlyArray<ContainerId>
    }) => Effect.Effect<ReadonlyArray<Stats>, HostError>
    /** NotFound where the process has ended or its input is closed. */
    readonly writeStdin: (request: { readonly ref: Ref; readonly bytes: Uint8Array }) => Effect.Effect<void, HostError>
    readonly closeStdin: (ref: Ref) => Effect.Effect<void, HostError>
    /**
     * Sizes the terminal of a process; of an exec that is still to be made, or an init that is being made, the last size is kept for it. Nothing happens
     * where the process has no terminal or has ended.
     */
    readonly resize: (request: { readonly ref: Ref } & TerminalSize) => Effect.Effect<void, HostError>
    /** Of what version it is, where it is another process. */
    readonly about?: Effect.Effect<ShimInfo, HostError>
    /** A snapshot, then every exit, exec exits before that of their init. Ends with ShimLost when the host dies; watch again for a new snapshot. */
    readonly watch: Stream.Stream<HostEvent, HostError>
  }
>()("berth/services/ProcessHost") {}
