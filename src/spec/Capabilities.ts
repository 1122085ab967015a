/**
 * Linux capabilities by name: which exist, which a container gets, and how `--cap-add` and `--cap-drop` change that.
 * It knows nothing of users or processes: `Spec` and `ProcessSpec` decide which of the five sets a list goes to.
 */
import { Result } from "effect"
import { fail, type Problem } from "./Problem.ts"

/** Every capability, at the index that is its bit in the kernel's masks. */
export const all: ReadonlyArray<string> = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_LINUX_IMMUTABLE",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_BROADCAST",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_IPC_LOCK",
  "CAP_IPC_OWNER",
  "CAP_SYS_MODULE",
  "CAP_SYS_RAWIO",
  "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE",
  "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN",
  "CAP_SYS_BOOT",
  "CAP_SYS_NICE",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_MKNOD",
  "CAP_LEASE",
  "CAP_AUDIT_WRITE",
  "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP",
  "CAP_MAC_OVERRIDE",
  "CAP_MAC_ADMIN",
  "CAP_SYSLOG",
  "CAP_WAKE_ALARM",
  "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ",
  "CAP_PERFMON",
  "CAP_BPF",
  "CAP_CHECKPOINT_RESTORE"
]

/** What a container gets where nothing is said: enough for package managers and servers, nothing over the host. */
export const defaults: ReadonlyArray<string> = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_RAW",
  "CAP_SYS_CHROOT",
  "CAP_MKNOD",
  "CAP_AUDIT_WRITE",
  "CAP_SETFCAP"
]

/** The capabilities of a mask as the kernel prints it (`CapBnd` of /proc/PID/status, hexadecimal). */
export const fromMask = (mask: string): ReadonlyArray<string> => {
  if (!/^[0-9a-f]{1,16}$/i.test(mask)) return []
  const bits = BigInt(`0x${mask}`)
  return all.filter((_, bit) => ((bits >> BigInt(bit)) & 1n) === 1n)
}

/** Full names from names in any case, with or without `CAP_`; `ALL` stays as it is. */
export const normalise = (
  field: string,
  names: ReadonlyArray<string>
): Result.Result<ReadonlyArray<string>, Problem> => {
  const found: Array<string> = []
  for (const name of names) {
    const upper = name.toUpperCase()
    const full = upper === "ALL" ? upper : upper.startsWith("CAP_") ? upper : `CAP_${upper}`
    if (full !== "ALL" && !all.includes(full)) return fail(field, `unknown capability "${name}"`)
    if (!found.includes(full)) found.push(full)
  }
  return Result.succeed(found)
}

/** What a change starts from and may not exceed. */
export interface Change {
  readonly base: ReadonlyArray<string>
  readonly add: ReadonlyArray<string>
  readonly drop: ReadonlyArray<string>
  /** What the runtime itself holds, where that is known: nobody can pass on more. */
  readonly held: ReadonlyArray<string> | undefined
}

/**
 * The base with drops and adds applied, in kernel order. `drop ALL` empties the base, `add ALL` fills it; a name in
 * both lists is an error. What the runtime lacks disappears from the base and from `ALL`, but is refused by name.
 */
export const apply = (change: Change): Result.Result<ReadonlyArray<string>, Problem> =>
  Result.gen(function* () {
    const add = yield* normalise("capAdd", change.add)
    const drop = yield* normalise("capDrop", change.drop)
    const both = add.find((name) => drop.includes(name))
    if (both !== undefined) return yield* fail("capAdd", `${both} is both added and dropped`)
    const held = change.held ?? all
    const missing = add.find((name) => name !== "ALL" && !held.includes(name))
    if (missing !== undefined) return yield* fail("capAdd", `${missing} is not held by the runtime on this host`)
    const base = add.includes("ALL") ? all : drop.includes("ALL") ? [] : change.base
    const kept = base.filter((name) => !drop.includes(name) && held.includes(name))
    return all.filter((name) => kept.includes(name) || add.includes(name))
  })
