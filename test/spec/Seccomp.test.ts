import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { all, defaults } from "../../src/spec/Capabilities.ts"
import { profile } from "../../src/spec/Seccomp.ts"
import { always, onArchitecture, withCapability } from "../../src/spec/SeccompTable.ts"

const Arg = Schema.Struct({
  index: Schema.Int,
  value: Schema.Int,
  valueTwo: Schema.optionalKey(Schema.Int),
  op: Schema.String
})
const Rule = Schema.Struct({
  names: Schema.NonEmptyArray(Schema.NonEmptyString),
  action: Schema.Literals(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"]),
  errnoRet: Schema.optionalKey(Schema.Int),
  args: Schema.optionalKey(Schema.Array(Arg))
})
const Filter = Schema.Struct({
  defaultAction: Schema.Literal("SCMP_ACT_ERRNO"),
  architectures: Schema.NonEmptyArray(Schema.String),
  syscalls: Schema.NonEmptyArray(Rule)
})
type Filter = typeof Filter.Type
const read = Schema.decodeUnknownEffect(Filter, { onExcessProperty: "error" })

const holds = ({ op, value, valueTwo = 0 }: typeof Arg.Type, given: number) =>
  op === "SCMP_CMP_EQ"
    ? given === value
    : op === "SCMP_CMP_LT"
      ? given < value
      : op === "SCMP_CMP_GT"
        ? given > value
        : op === "SCMP_CMP_MASKED_EQ" && Number(BigInt(given) & BigInt(value)) === valueTwo

/** What happens to a call with this first argument: allowed, or the error it gets (1 is EPERM). */
const outcome = (filter: Filter, name: string, first = 0): "allowed" | number => {
  const rule = filter.syscalls.find(
    (r) => r.names.includes(name) && (r.args ?? []).every((arg) => arg.index === 0 && holds(arg, first))
  )
  return rule === undefined ? 1 : rule.action === "SCMP_ACT_ALLOW" ? "allowed" : (rule.errnoRet ?? 1)
}

describe("Seccomp", () => {
  it.effect("allows what programs need and refuses what reaches the host", () =>
    Effect.gen(function* () {
      const filter = yield* read(profile(defaults, "x64"))
      const allowed =
        "read write openat execve mmap futex socketpair epoll_pwait2 clock_nanosleep chroot fork arch_prctl statx rseq".split(
          " "
        )
      for (const name of allowed) assert.strictEqual(outcome(filter, name), "allowed", name)
      const refused =
        "mount umount2 unshare setns bpf perf_event_open keyctl add_key request_key io_uring_setup io_uring_enter userfaultfd kexec_load init_module finit_module reboot swapon swapoff settimeofday clock_settime open_by_handle_at iopl ioperm acct syslog pivot_root move_mount fsopen quotactl nfsservctl vm86 lookup_dcookie kcmp pidfd_getfd process_madvise mbind".split(
          " "
        )
      for (const name of refused) assert.strictEqual(outcome(filter, name), 1, name)
    })
  )

  it.effect("a capability brings back the calls that it guards", () =>
    Effect.gen(function* () {
      for (const capability of all) {
        const filter = yield* read(profile([capability], "x64"))
        for (const [other, names] of Object.entries(withCapability)) {
          for (const name of names.filter((call) => !["clone", "clone3"].includes(call))) {
            const guarded = other === capability || (withCapability[capability] ?? []).includes(name)
            assert.strictEqual(outcome(filter, name), guarded ? "allowed" : 1, `${name} with ${capability}`)
          }
        }
      }
    })
  )

  it.effect("threads and children may be made, namespaces only with CAP_SYS_ADMIN", () =>
    Effect.gen(function* () {
      const filter = yield* read(profile(defaults, "x64"))
      assert.strictEqual(outcome(filter, "clone", 0x3d0f00), "allowed")
      for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
        assert.strictEqual(outcome(filter, "clone", 0x3d0f00 + flag), 1, flag.toString(16))
      }
      assert.strictEqual(outcome(filter, "clone3"), 38)
      const admin = yield* read(profile(["CAP_SYS_ADMIN"], "x64"))
      assert.strictEqual(outcome(admin, "clone", 0x10000000), "allowed")
      assert.strictEqual(outcome(admin, "clone3"), "allowed")
    })
  )

  it.effect("sockets of every family but the kernel's crypto and the hypervisor's", () =>
    Effect.gen(function* () {
      const filter = yield* read(profile(all, "arm64"))
      for (let family = 0; family < 64; family++) {
        assert.strictEqual(
          outcome(filter, "socket", family),
          family === 38 || family === 40 ? 1 : "allowed",
          `${family}`
        )
      }
    })
  )

  it.effect("personality may be asked and set to what cannot weaken a process", () =>
    Effect.gen(function* () {
      const filter = yield* read(profile(all, "x64"))
      for (const value of [0, 8, 0x20000, 0x20008, 0xffffffff])
        assert.strictEqual(outcome(filter, "personality", value), "allowed")
      for (const value of [0x40000, 0x400000, 0x0100000, 0x0200000, 9])
        assert.strictEqual(outcome(filter, "personality", value), 1)
    })
  )

  it.effect("knows its machine", () =>
    Effect.gen(function* () {
      const [x64, arm64] = [yield* read(profile([], "x64")), yield* read(profile([], "arm64"))]
      assert.deepStrictEqual(x64.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
      assert.deepStrictEqual(arm64.architectures, ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])
      assert.deepStrictEqual((yield* read(profile([], "x64", "native"))).architectures, ["SCMP_ARCH_X86_64"])
      assert.deepStrictEqual([outcome(x64, "modify_ldt"), outcome(arm64, "modify_ldt")], ["allowed", 1])
      assert.deepStrictEqual([outcome(x64, "set_tls"), outcome(arm64, "set_tls")], [1, "allowed"])
    })
  )

  it("no table names a call twice, nor one that another already allows to all", () => {
    const lists = [always, ...Object.values(onArchitecture), ...Object.values(withCapability)]
    for (const list of lists) assert.strictEqual(new Set(list).size, list.length)
    for (const list of lists.slice(1))
      assert.deepStrictEqual(
        list.filter((name) => always.includes(name)),
        []
      )
    assert.deepStrictEqual(
      Object.keys(withCapability).filter((name) => !all.includes(name)),
      []
    )
    for (const name of lists.flat()) assert.match(name, /^[a-z_0-9]+$/)
  })
})
