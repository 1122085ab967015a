import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as HostRefusals from "../../../src/layers/runtime/HostRefusals.ts"
import * as Spec from "../../../src/spec/Spec.ts"
import type { SpecOptions } from "../../../src/spec/SpecOptions.ts"

const spec = (options: Partial<SpecOptions> = {}) => Result.getOrThrow(Spec.make({ args: ["true"], ...options }))
const refusal = (options: Partial<SpecOptions>) => HostRefusals.ofSpec(spec(options))

describe("HostRefusals", () => {
  const passes: ReadonlyArray<Partial<SpecOptions>> = [
    {},
    { rootfs: { path: "/" } },
    { network: "host" },
    { privileged: true },
    { capAdd: ["SYS_ADMIN"] },
    { user: "7:7" },
    { cwd: "/tmp", env: ["A=1"], terminal: true },
    { ulimits: [{ name: "nofile", soft: 10, hard: 10 }] },
    { seccomp: "unconfined" },
    { noNewPrivileges: false },
    { cgroupsPath: "/berth--x" }
  ]
  it.each(passes.map((options) => [options] as const))("lets pass %j", (options) => {
    assert.isNull(refusal(options))
  })

  const refused: ReadonlyArray<readonly [asked: Partial<SpecOptions>, answer: RegExp]> = [
    [{ rootfs: { path: "/srv/alpine" } }, /^another root filesystem/],
    [{ readOnly: true }, /^a read-only root/],
    [{ hostname: "box" }, /host name/],
    [{ mounts: [{ type: "bind", source: "/a", destination: "/b" }] }, /^mounts$/],
    [{ memory: 64 * 1024 * 1024 }, /^limits of memory$/],
    [{ pidsLimit: 5 }, /^limits of pids$/],
    [{ cpus: 1 }, /^limits of cpu$/],
    [{ capDrop: ["ALL"] }, /^fewer capabilities$/],
    [{ capDrop: ["NET_RAW"] }, /^fewer capabilities$/],
    [{ network: "ns:/run/netns/x" }, /^another's network namespace$/],
    [
      {
        uidMappings: [{ containerID: 0, hostID: 100000, size: 10 }],
        gidMappings: [{ containerID: 0, hostID: 100000, size: 10 }]
      },
      /user namespace$/
    ],
    [{ sysctls: { "net.ipv4.ip_forward": "1" } }, /^kernel settings$/],
    [{ seccomp: { defaultAction: "SCMP_ACT_KILL" } }, /^a filter of system calls$/],
    [{ securityOpt: ["apparmor=strict"] }, /^AppArmor/]
  ]
  it.each(refused)("refuses %j", (options, answer) => {
    assert.match(refusal(options) ?? "nothing", answer)
  })

  it("refuses what only a bundle can ask for", () => {
    const base = spec()
    const hook = { ...base, hooks: { prestart: [{ path: "/bin/true" }] } }
    const masked = { ...base, linux: { ...base.linux, maskedPaths: ["/home"] } }
    const rules = { ...base, linux: { ...base.linux, resources: { devices: [{ allow: false, access: "rwm" }] } } }
    assert.deepStrictEqual([hook, masked, rules].map(HostRefusals.ofSpec), [
      "hooks",
      "masked paths",
      "rules for devices"
    ])
  })
})
