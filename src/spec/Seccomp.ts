/**
 * The default system call filter, as the OCI specification writes it. An allow-list: what `SeccompTable` does not name
 * fails with EPERM. It depends on the machine and on the bounding set, because a call that the kernel guards by a
 * capability is only worth refusing to those who lack it. Profiles of the user are never looked into.
 */
import type { Schema } from "effect"
import { always, onArchitecture, withCapability } from "./SeccompTable.ts"

/** Machines the table was made for, named as `process.arch` names them. */
export type Architecture = "x64" | "arm64"

/**
 * The native architecture first, then the 32-bit one whose programs the kernel also runs. Each costs several
 * milliseconds at every start, because libseccomp compiles the table once more; x32, which next to no kernel runs, is
 * left out for that reason. Programs of an architecture that is not listed are killed at their first call.
 */
const architectures: { readonly [name in Architecture]: ReadonlyArray<string> } = {
  x64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
}

interface Condition {
  readonly value: number
  readonly valueTwo?: number
  readonly op: string
}

const allow = (names: ReadonlyArray<string>, condition?: Condition): Schema.JsonObject => ({
  names,
  action: "SCMP_ACT_ALLOW",
  ...(condition === undefined ? {} : { args: [{ index: 0, ...condition }] })
})

/** CLONE_NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWNS: no new namespace without CAP_SYS_ADMIN. */
const newNamespaces = 0x7e020000
const enosys = 38

/** `clone3` hides its flags in memory, where no filter can look: ENOSYS makes C libraries fall back to `clone`. */
const cloneRules = [
  allow(["clone"], { value: newNamespaces, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }),
  { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: enosys }
]

/** AF_ALG (38) opens the kernel's crypto to everybody, AF_VSOCK (40) reaches the hypervisor past every namespace. */
const socketRules = [
  allow(["socket"], { value: 38, op: "SCMP_CMP_LT" }),
  allow(["socket"], { value: 39, op: "SCMP_CMP_EQ" }),
  allow(["socket"], { value: 40, op: "SCMP_CMP_GT" })
]

/** PER_LINUX, PER_LINUX32, UNAME26 with either, and the query. */
const personalityRules = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff].map((value) =>
  allow(["personality"], { value, op: "SCMP_CMP_EQ" })
)

/** The filter of a container with these capabilities in its bounding set; `native` refuses 32-bit programs. */
export const profile = (
  bounding: ReadonlyArray<string>,
  architecture: Architecture,
  programs: "all" | "native" = "all"
): Schema.JsonObject => {
  const granted = bounding.flatMap((capability) => withCapability[capability] ?? [])
  const names = new Set([...always, ...(onArchitecture[architecture] ?? []), ...granted])
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    architectures: architectures[architecture].slice(0, programs === "native" ? 1 : undefined),
    syscalls: [allow([...names].sort()), ...socketRules, ...personalityRules, ...(names.has("clone") ? [] : cloneRules)]
  }
}
