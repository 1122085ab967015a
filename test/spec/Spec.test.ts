import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { OciSpec } from "../../src/schema/OciSpec.ts"
import { all, defaults } from "../../src/spec/Capabilities.ts"
import type { HostFacts } from "../../src/spec/HostFacts.ts"
import * as Spec from "../../src/spec/Spec.ts"
import { SpecOptions } from "../../src/spec/SpecOptions.ts"
import { fromFiles } from "../../src/spec/UserSpec.ts"
import { bad, good } from "./support.ts"

const args = ["sh"]
const make = (options: Partial<SpecOptions> = {}, host?: HostFacts) => good(Spec.make({ args, ...options }, host))
const problem = (options: Partial<SpecOptions>, host?: HostFacts) => bad(Spec.make({ args, ...options }, host))
const ordered = (names: ReadonlyArray<string> | undefined) => [...(names ?? [])].sort()
const kinds = (spec: OciSpec) => ordered(spec.linux?.namespaces?.map((namespace) => namespace.type))

describe("Spec", () => {
  it("starts from the least privilege", () => {
    const { linux, process, root, ...rest } = make()
    assert.strictEqual(rest.ociVersion, "1.0.2")
    assert.deepStrictEqual(root, { path: "rootfs", readonly: false })
    assert.deepStrictEqual(process?.user, { uid: 0, gid: 0 })
    assert.deepStrictEqual([process?.cwd, process?.terminal, process?.noNewPrivileges], ["/", false, true])
    for (const set of ["bounding", "effective", "permitted"] as const)
      assert.deepStrictEqual(ordered(process?.capabilities?.[set]), ordered(defaults))
    assert.deepStrictEqual([process?.capabilities?.inheritable, process?.capabilities?.ambient], [[], []])
    assert.deepStrictEqual(kinds({ ociVersion: "", ...(linux === undefined ? {} : { linux }) }), [
      "cgroup",
      "ipc",
      "mount",
      "network",
      "pid",
      "uts"
    ])
    assert.includeMembers(
      [...(linux?.maskedPaths ?? [])],
      ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]
    )
    assert.includeMembers([...(linux?.readonlyPaths ?? [])], ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq"])
    assert.strictEqual(linux?.seccomp?.["defaultAction"], "SCMP_ACT_ERRNO")
    assert.deepStrictEqual(linux?.resources?.devices?.[0], { allow: false, access: "rwm" })
    assert.isTrue(
      linux?.resources?.devices
        ?.slice(1)
        .every((rule) => rule.type !== undefined && (rule.access === "m" || rule.major !== undefined))
    )
    assert.notProperty(rest, "hostname")
  })

  it("privileged: all the runtime holds, nothing in the way, still its own namespaces", () => {
    const spec = make({ privileged: true })
    assert.deepStrictEqual(spec.process?.capabilities?.effective, all)
    assert.strictEqual(spec.process?.noNewPrivileges, false)
    for (const key of ["maskedPaths", "readonlyPaths", "seccomp"]) assert.notProperty(spec.linux, key)
    assert.deepStrictEqual(spec.linux?.resources?.devices, [{ allow: true, access: "rwm" }])
    assert.deepStrictEqual(kinds(spec), kinds(make()))
    assert.deepStrictEqual(
      make({ privileged: true }, { capabilities: ["CAP_KILL"] }).process?.capabilities?.effective,
      ["CAP_KILL"]
    )
    const held = make({ privileged: true, noNewPrivileges: true, seccomp: "default", capDrop: ["SYS_ADMIN"] })
    assert.isTrue(held.process?.noNewPrivileges)
    assert.property(held.linux, "seccomp")
    assert.notInclude(held.process?.capabilities?.bounding ?? [], "CAP_SYS_ADMIN")
  })

  it("users: numbers, names, and no capability in force for others than root", () => {
    assert.deepStrictEqual(make({ user: "1000:50" }).process?.user, { uid: 1000, gid: 50 })
    const users = fromFiles("web:x:33:34::/:/bin/sh", "log:x:40:web")
    const { process } = make({ user: "web" }, { users })
    assert.deepStrictEqual(process?.user, { uid: 33, gid: 34, additionalGids: [40] })
    assert.deepStrictEqual([process?.capabilities?.effective, process?.capabilities?.permitted], [[], []])
    assert.deepStrictEqual(ordered(process?.capabilities?.bounding), ordered(defaults))
    assert.strictEqual(problem({ user: "web" }), `user: no user "web" in the container`)
  })

  it("network: its own, the host's, or one that exists", () => {
    const network = (spec: OciSpec) => spec.linux?.namespaces?.find((namespace) => namespace.type === "network")
    assert.deepStrictEqual(network(make({ network: "none" })), { type: "network" })
    assert.isUndefined(network(make({ network: "host" })))
    assert.deepStrictEqual(network(make({ network: "ns:/run/netns/a" })), { type: "network", path: "/run/netns/a" })
  })

  it("environment, terminal and name", () => {
    const plain = make({ env: ["A=1", "A=2"] }).process
    assert.deepStrictEqual(plain?.env, ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=2"])
    const spec = make({
      terminal: true,
      consoleSize: { height: 24, width: 80 },
      hostname: "web-1.local",
      env: ["PATH=/bin"]
    })
    assert.deepStrictEqual(spec.process?.env, ["PATH=/bin", "HOSTNAME=web-1.local", "TERM=xterm"])
    assert.deepStrictEqual([spec.hostname, spec.process?.consoleSize], ["web-1.local", { height: 24, width: 80 }])
    assert.notProperty(make({ consoleSize: { height: 1, width: 1 } }).process, "consoleSize")
  })

  it("limits, devices and control group", () => {
    const device = () => ({ type: "c" as const, major: 10, minor: 229 })
    const { linux, process } = make(
      {
        memory: 64,
        memorySwap: 128,
        cpus: 0.5,
        pidsLimit: 9,
        devices: [{ source: "/dev/fuse", access: "rw" }],
        cgroupsPath: "/a/b",
        ulimits: [{ name: "core", soft: 0, hard: -1 }],
        resources: { devices: [{ allow: true, type: "c", major: 5, minor: 9, access: "r" }] }
      },
      { device }
    )
    assert.deepStrictEqual([linux?.resources?.memory, linux?.resources?.pids], [{ limit: 64, swap: 128 }, { limit: 9 }])
    assert.deepStrictEqual(linux?.resources?.devices?.slice(-2), [
      { allow: true, type: "c", major: 10, minor: 229, access: "rw" },
      { allow: true, type: "c", major: 5, minor: 9, access: "r" }
    ])
    assert.deepStrictEqual(linux?.devices, [{ path: "/dev/fuse", type: "c", major: 10, minor: 229 }])
    assert.strictEqual(linux?.cgroupsPath, "/a/b")
    assert.deepStrictEqual(process?.rlimits, [{ type: "RLIMIT_CORE", soft: 0, hard: 2 ** 64 }])
  })

  it("mappings make a user namespace", () => {
    const mapping = [{ containerID: 0, hostID: 100_000, size: 65_536 }]
    const spec = make({ uidMappings: mapping, gidMappings: mapping })
    assert.include(kinds(spec), "user")
    assert.deepStrictEqual([spec.linux?.uidMappings, spec.linux?.gidMappings], [mapping, mapping])
    assert.include(problem({ uidMappings: mapping }), "gidMappings: needed")
    assert.include(problem({ gidMappings: mapping }), "uidMappings: needed")
    assert.notInclude(kinds(make({ uidMappings: [], gidMappings: [] })), "user")
  })

  it("labels, annotations, kernel parameters, filter of the user, read-only root", () => {
    const seccomp = { defaultAction: "SCMP_ACT_ALLOW" }
    const spec = make({
      securityOpt: ["label=type:x_t", "apparmor=p"],
      annotations: { a: "b" },
      sysctls: { "net.ipv4.ip_forward": "1", "kernel.shmmax": "1" },
      seccomp,
      rootfs: { path: "/r" },
      readOnly: true
    })
    assert.deepStrictEqual(
      [spec.process?.selinuxLabel, spec.process?.apparmorProfile],
      ["system_u:system_r:x_t:s0", "p"]
    )
    assert.strictEqual(spec.linux?.mountLabel, "system_u:object_r:container_file_t:s0")
    assert.deepStrictEqual(
      [spec.annotations, spec.linux?.seccomp, spec.root],
      [{ a: "b" }, seccomp, { path: "/r", readonly: true }]
    )
    assert.deepStrictEqual(spec.linux?.sysctl, { "net.ipv4.ip_forward": "1", "kernel.shmmax": "1" })
    assert.notProperty(make({ seccomp: "unconfined" }).linux, "seccomp")
    assert.deepStrictEqual(make({ seccomp: "native" }).linux?.seccomp?.["architectures"], ["SCMP_ARCH_X86_64"])
    assert.deepStrictEqual(make({ seccomp: "native" }, { architecture: "arm64" }).linux?.seccomp?.["architectures"], [
      "SCMP_ARCH_AARCH64"
    ])
  })

  it("says what is wrong, by the name of the option", () => {
    const ulimit = { name: "core", soft: 0, hard: 0 }
    const cases: ReadonlyArray<readonly [Partial<SpecOptions>, string]> = [
      [{ args: [] }, "args: a command is needed"],
      [{ args: [""] }, "args: a command is needed"],
      [{ args: ["a", "b\0"] }, "args: contains a NUL byte"],
      [{ cwd: "srv" }, "cwd: must be an absolute path"],
      [{ env: ["A"] }, "env: expected NAME=value"],
      [{ hostname: "" }, "hostname: expected"],
      [{ hostname: "a".repeat(65) }, "hostname: expected at most 64"],
      [{ hostname: "-a" }, "hostname: expected"],
      [{ capAdd: ["nope"] }, `capAdd: unknown capability "nope"`],
      [{ cgroupsPath: "a" }, "cgroupsPath: must be an absolute path"],
      [{ cgroupsPath: "/" }, "cgroupsPath: must be"],
      [{ cgroupsPath: "/a/../b" }, "cgroupsPath: must be"],
      [{ memorySwap: 10 }, "memorySwap: needs memory"],
      [{ memory: 0 }, "memory: must be positive"],
      [{ ulimits: [ulimit, { ...ulimit, name: "CORE" }] }, "ulimit: RLIMIT_CORE is given twice"],
      [{ devices: [{ source: "/dev/x" }] }, "device: "],
      [{ mounts: [{ destination: "/" }] }, "mount: "],
      [{ securityOpt: ["x"] }, "securityOpt: "],
      [{ sysctls: { "vm.swappiness": "1" } }, `sysctls: "vm.swappiness" would change the host`],
      [{ sysctls: { "kernel.hostname": "x" } }, `sysctls: "kernel.hostname" would`],
      [
        { sysctls: { "net.core.somaxconn": "1" }, network: "host" },
        `sysctls: "net.core.somaxconn" needs a network of its own`
      ]
    ]
    for (const [options, expected] of cases) assert.include(problem(options), expected)
    const unified = { resources: { unified: { "memory.high": "1" } } }
    assert.strictEqual(problem(unified, { cgroupVersion: 1 }), "resources.unified: this host has cgroup v1")
    assert.deepStrictEqual(make(unified, { cgroupVersion: 2 }).linux?.resources?.unified, { "memory.high": "1" })
  })

  it.effect("options travel as JSON and refuse a network that is none", () =>
    Effect.gen(function* () {
      const decode = Schema.decodeUnknownEffect(SpecOptions)
      const options = {
        args,
        network: "ns:/run/netns/a",
        mounts: [{ destination: "/a", type: "tmpfs" }],
        devices: [{ source: "/dev/a" }],
        seccomp: { x: [1] }
      }
      assert.deepStrictEqual<unknown>(yield* Schema.encodeEffect(SpecOptions)(yield* decode(options)), options)
      for (const network of ["bridge", "ns:", "ns:rel", ""]) {
        assert.include((yield* Effect.flip(decode({ args, network }))).message, "host, none or ns:PATH", network)
      }
    })
  )

  const Caps = Schema.Array(Schema.Literals(all)).check(Schema.isMaxLength(4))
  it.effect.prop(
    "never gives more than was asked for",
    {
      options: Schema.Struct({
        args: Schema.NonEmptyArray(Schema.NonEmptyString),
        capAdd: Caps,
        capDrop: Caps,
        user: Schema.Literals(["0", "0:0", "1:1", "65534"]),
        network: Schema.Literals(["none", "host", "ns:/n"]),
        noNewPrivileges: Schema.optionalKey(Schema.Boolean),
        terminal: Schema.Boolean,
        readOnly: Schema.Boolean,
        cpus: Schema.optionalKey(Schema.Literals([0.1, 3])),
        annotations: Schema.Record(Schema.String, Schema.String)
      })
    },
    ({ options }) =>
      Effect.gen(function* () {
        const result = Spec.make(options)
        if (Result.isFailure(result)) {
          const clash = options.capAdd.some((name) => options.capDrop.includes(name))
          assert.isTrue(clash || options.args.some((text) => text.includes("\0")), result.failure.problem)
          return
        }
        const spec = result.success
        assert.deepStrictEqual(yield* Schema.decodeEffect(OciSpec)(spec), spec)
        const allowed: ReadonlyArray<string> = [...defaults, ...options.capAdd]
        const { bounding = [], effective = [] } = spec.process?.capabilities ?? {}
        assert.isTrue(
          bounding.every((name) => allowed.includes(name) && !options.capDrop.some((dropped) => dropped === name))
        )
        assert.deepStrictEqual(effective, options.user.startsWith("0") ? bounding : [])
        assert.strictEqual(spec.process?.noNewPrivileges, options.noNewPrivileges ?? true)
        assert.strictEqual(spec.root?.readonly, options.readOnly)
        assert.isNotEmpty(spec.linux?.maskedPaths)
        assert.isNotEmpty(spec.linux?.seccomp)
      })
  )
})
