/** The runtimes at work on the pretended machine: processes that live as long as a call does, also when the host that called them is dead. */
import { Deferred, Effect } from "effect"
import { failed } from "../../src/layers/mock/MockRuntime.ts"
import type { ExecId, ProcessRef } from "../../src/schema/Ids.ts"
import { containerKey } from "../../src/schema/Ids.ts"
import type { Identity } from "../../src/schema/TaskState.ts"
import type { DriverError, Target } from "../../src/services/OciRuntime.ts"

export const commands = ["create", "start", "exec", "pause", "resume", "delete"] as const
export type Command = (typeof commands)[number]

export interface RuntimeProcess {
  readonly command: Command
  readonly ref: ProcessRef
  readonly identity: Identity
  /** It has failed because it was killed. */
  readonly killed: Deferred.Deferred<never, DriverError>
}

/** Their pids are no container's. */
const firstPid = 1_000_000

export const make = (bootId: string) => {
  const atWork = new Map<number, RuntimeProcess>()
  let pid = firstPid
  const which = (matches: (one: RuntimeProcess) => boolean): ReadonlyArray<Identity> =>
    Array.from(atWork.values()).flatMap((one) => (matches(one) ? [one.identity] : []))
  return {
    begin: (command: Command, ref: ProcessRef): RuntimeProcess => {
      const one = {
        command,
        ref,
        identity: { pid: pid++, startTime: "0", bootId },
        killed: Deferred.makeUnsafe<never, DriverError>()
      }
      atWork.set(one.identity.pid, one)
      return one
    },
    end: (one: RuntimeProcess): void => void atWork.delete(one.identity.pid),
    /** False where it is none of them. */
    kill: ({ pid }: Identity): boolean => {
      const one = atWork.get(pid)
      if (one !== undefined) Deferred.doneUnsafe(one.killed, Effect.fail(failed(one.command, "killed")))
      return atWork.delete(pid)
    },
    /** Those at work on a container, or on that exec of it. */
    left: (target: Target, execId: ExecId | null) =>
      which(({ ref }) => containerKey(ref) === containerKey(target) && ref.execId === execId),
    /** Those at work on these containers, or on an exec of theirs. */
    on: (targets: ReadonlyArray<Target>) => {
      const keys = new Set(targets.map(containerKey))
      return which(({ ref }) => keys.has(containerKey(ref)))
    }
  }
}
