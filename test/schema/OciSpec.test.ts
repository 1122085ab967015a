import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { OciSpec } from "../../src/schema/OciSpec.ts"
import { plainKeys } from "../support/plainKeys.ts"

const mapping = { containerID: 0, hostID: 100_000, size: 65_536 }

/** A specification that uses every typed level. */
const full = {
  ociVersion: "1.2.0",
  process: {
    terminal: true,
    consoleSize: { height: 24, width: 80 },
    user: { uid: 0, gid: 0, additionalGids: [10], umask: 18 },
    args: ["sh"],
    env: ["PATH=/bin"],
    cwd: "/",
    capabilities: { bounding: ["CAP_KILL"], effective: [], inheritable: [], permitted: [], ambient: [] },
    rlimits: [{ type: "RLIMIT_NOFILE", soft: 1024, hard: 2 ** 64 }],
    noNewPrivileges: true,
    apparmorProfile: "p",
    selinuxLabel: "l",
    oomScoreAdj: -500
  },
  root: { path: "rootfs", readonly: true },
  hostname: "h",
  domainname: "d",
  mounts: [
    {
      destination: "/proc",
      type: "proc",
      source: "proc",
      options: ["nosuid"],
      uidMappings: [mapping],
      gidMappings: [mapping]
    }
  ],
  annotations: { a: "b" },
  hooks: { prestart: [{ path: "/bin/true" }] },
  linux: {
    namespaces: [{ type: "network", path: "/run/netns/a" }],
    uidMappings: [mapping],
    gidMappings: [mapping],
    devices: [{ path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 438, uid: 0, gid: 0 }],
    cgroupsPath: "/x",
    resources: { pids: { limit: 10 } },
    maskedPaths: ["/proc/kcore"],
    readonlyPaths: ["/proc/sys"],
    seccomp: { defaultAction: "SCMP_ACT_ALLOW" },
    mountLabel: "m",
    rootfsPropagation: "slave",
    sysctl: { "net.ipv4.ip_forward": "1" }
  }
}

type Node = { readonly [key: string]: Node } | ReadonlyArray<Node> | string | number | boolean | null

/** Values whose keys are not ours to choose: maps of the specification and what berth treats as opaque. */
const opaque = new Set(["annotations", "sysctl", "hooks", "seccomp"])

/** The same value with `extra` added to every object that berth types; keys that an object has win. */
const sprinkle = (value: Node, extra: { readonly [key: string]: Node }): Node => {
  if (isList(value)) return value.map((item) => sprinkle(item, extra))
  if (value === null || typeof value !== "object") return value
  const known = Object.entries(value).map(
    ([key, item]) => [key, opaque.has(key) ? item : sprinkle(item, extra)] as const
  )
  return Object.fromEntries([...Object.entries(extra), ...known])
}
const isList = (value: Node): value is ReadonlyArray<Node> => Array.isArray(value)

const extraKey = Schema.String.check(Schema.isPattern(/^x-/))

describe("OciSpec", () => {
  it.effect("its encoded form is its type", () =>
    Effect.gen(function* () {
      const decoded = yield* Schema.decodeEffect(OciSpec)(full)
      assert.deepStrictEqual<unknown>(decoded, full)
      assert.deepStrictEqual<unknown>(yield* Schema.encodeEffect(OciSpec)(decoded), full)
    })
  )

  it.effect.prop(
    "keeps unknown keys at every typed level",
    { extra: Schema.Record(extraKey, Schema.Json) },
    ({ extra }) =>
      Effect.gen(function* () {
        const value = sprinkle(full, { "io.new": 1, __proto__x: null, toString: "t", ...extra })
        const decoded = yield* Schema.decodeUnknownEffect(OciSpec)(value)
        assert.deepStrictEqual<unknown>(decoded, value)
        assert.deepStrictEqual<unknown>(yield* Schema.encodeEffect(OciSpec)(decoded), value)
      }),
    { arbitrary: { runs: 50 } }
  )

  it.effect.prop(
    "any specification of the schema survives the wire",
    [OciSpec],
    ([spec]) =>
      Effect.gen(function* () {
        plainKeys(spec)
        const wire = JSON.parse(JSON.stringify(yield* Schema.encodeEffect(OciSpec)(spec)))
        assert.deepStrictEqual(yield* Schema.decodeUnknownEffect(OciSpec)(wire), JSON.parse(JSON.stringify(spec)))
      }),
    { arbitrary: { runs: 30 } }
  )

  it.effect("needs little and says where it is wrong", () =>
    Effect.gen(function* () {
      const decode = Schema.decodeUnknownEffect(OciSpec)
      assert.deepStrictEqual(yield* decode({ ociVersion: "1.0.2" }), { ociVersion: "1.0.2" })
      const cases: ReadonlyArray<readonly [object, string]> = [
        [{}, `["ociVersion"]`],
        [{ process: {} }, `["process"]["cwd"]`],
        [{ process: { cwd: "/", args: "sh" } }, `["process"]["args"]`],
        [{ process: { cwd: "/", user: { uid: "0", gid: 0 } } }, `["process"]["user"]["uid"]`],
        [{ linux: { namespaces: [{ path: "/x" }] } }, `["linux"]["namespaces"][0]["type"]`],
        [{ linux: { resources: { pids: { limit: "1" } } } }, `["linux"]["resources"]["pids"]["limit"]`],
        [{ annotations: { a: 1 } }, `["annotations"]["a"]`],
        [{ mounts: [{ destination: "/x", options: null }] }, `["mounts"][0]["options"]`]
      ]
      for (const [value, path] of cases) {
        const input = path === `["ociVersion"]` ? value : { ociVersion: "1.0.2", ...value }
        assert.include((yield* Effect.flip(decode(input))).message, path)
      }
    })
  )
})
