/** The small parsers: devices, limits, id ranges, security labels, users and environments. */
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as DeviceOption from "../../src/spec/DeviceOption.ts"
import * as Environment from "../../src/spec/Environment.ts"
import * as IdMapping from "../../src/spec/IdMapping.ts"
import * as SecurityOption from "../../src/spec/SecurityOption.ts"
import * as Ulimit from "../../src/spec/Ulimit.ts"
import { fromFiles, resolve as resolveUser } from "../../src/spec/UserSpec.ts"
import { bad, good } from "./support.ts"

describe("DeviceOption", () => {
  it("reads a source, a place and an access", () => {
    assert.deepStrictEqual(good(DeviceOption.parse("/dev/fuse")), { source: "/dev/fuse" })
    assert.deepStrictEqual(good(DeviceOption.parse("/dev/fuse:rw")), { source: "/dev/fuse", access: "rw" })
    assert.deepStrictEqual(good(DeviceOption.parse("/dev/a:/dev/b")), { source: "/dev/a", destination: "/dev/b" })
    assert.deepStrictEqual(good(DeviceOption.parse("/dev/a:/dev/b:r")), {
      source: "/dev/a",
      destination: "/dev/b",
      access: "r"
    })
    for (const text of ["", ":/dev/b", "/dev/a:/dev/b:r:x"])
      assert.include(bad(DeviceOption.parse(text)), "device: expected SOURCE")
  })

  it("becomes a node and the rule that allows it", () => {
    const fuse: DeviceOption.HostDevice = { type: "c", major: 10, minor: 229, fileMode: 0o666, uid: 0, gid: 0 }
    const lookup = (path: string) => (path === "/dev/fuse" ? fuse : undefined)
    assert.deepStrictEqual(
      good(DeviceOption.resolve({ source: "/dev/fuse", destination: "/dev/x", access: "r" }, lookup)),
      {
        node: { ...fuse, path: "/dev/x" },
        rule: { allow: true, type: "c", major: 10, minor: 229, access: "r" }
      }
    )
    assert.strictEqual(good(DeviceOption.resolve({ source: "/dev/fuse" }, lookup)).rule.access, "rwm")
    assert.include(
      bad(DeviceOption.resolve({ source: "/dev/none" }, lookup)),
      `"/dev/none" is not a device of this host`
    )
    assert.include(bad(DeviceOption.resolve({ source: "/dev/fuse" }, undefined)), "not a device")
    assert.include(bad(DeviceOption.resolve({ source: "fuse" }, lookup)), "not an absolute path")
    assert.include(
      bad(DeviceOption.resolve({ source: "/dev/fuse", destination: "/dev/../x" }, lookup)),
      "not an absolute path"
    )
    for (const access of ["", "x", "rr"])
      assert.include(bad(DeviceOption.resolve({ source: "/dev/fuse", access }, lookup)), "made of r, w and m")
  })
})

describe("Ulimit", () => {
  it("reads one or two values", () => {
    assert.deepStrictEqual(good(Ulimit.parse("nofile=1024:2048")), { name: "nofile", soft: 1024, hard: 2048 })
    assert.deepStrictEqual(good(Ulimit.parse("RLIMIT_CORE=0")), { name: "core", soft: 0, hard: 0 })
    assert.deepStrictEqual(good(Ulimit.parse("memlock=unlimited")), { name: "memlock", soft: -1, hard: -1 })
    assert.deepStrictEqual(good(Ulimit.parse("nproc=10:-1")), { name: "nproc", soft: 10, hard: -1 })
    for (const text of ["nofile", "nofile=", "nofile=1:2:3", "nofile=-2", "=1"])
      assert.include(bad(Ulimit.parse(text)), "ulimit: expected NAME=SOFT")
  })

  it("becomes a limit of the process", () => {
    assert.deepStrictEqual(good(Ulimit.resolve({ name: "nofile", soft: 1, hard: -1 })), {
      type: "RLIMIT_NOFILE",
      soft: 1,
      hard: 2 ** 64
    })
    assert.include(bad(Ulimit.resolve({ name: "files", soft: 1, hard: 1 })), `unknown limit "files"`)
    assert.include(bad(Ulimit.resolve({ name: "core", soft: 2, hard: 1 })), "soft limit above")
    assert.include(bad(Ulimit.resolve({ name: "core", soft: -1, hard: 1 })), "soft limit above")
    assert.include(bad(Ulimit.resolve({ name: "core", soft: -5, hard: 1 })), "not be negative")
  })
})

const Small = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 }))
const Size = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 }))

describe("IdMapping", () => {
  it("reads a range", () => {
    assert.deepStrictEqual(good(IdMapping.parse("uidMappings", "0:100000:65536")), {
      containerID: 0,
      hostID: 100_000,
      size: 65_536
    })
    for (const text of ["", "0:1", "0:1:2:3", "a:b:c", "-1:0:1"])
      assert.include(bad(IdMapping.parse("gidMappings", text)), "gidMappings: expected CONTAINER:HOST:SIZE")
    assert.include(bad(IdMapping.parse("uidMappings", "0:0:0")), "at least one id")
    assert.include(bad(IdMapping.parse("uidMappings", "0:4294967295:2")), "leaves the range")
  })

  it.prop(
    "refuses exactly the ranges that overlap on either side",
    {
      ranges: Schema.Array(Schema.Struct({ containerID: Small, hostID: Small, size: Size })).check(
        Schema.isMaxLength(3)
      )
    },
    ({ ranges }) => {
      const ids = (side: "containerID" | "hostID") =>
        ranges.flatMap((range) => Array.from({ length: range.size }, (_, i) => range[side] + i))
      const distinct = (list: ReadonlyArray<number>) => new Set(list).size === list.length
      assert.strictEqual(
        Result.isSuccess(IdMapping.check("uidMappings", ranges)),
        distinct(ids("containerID")) && distinct(ids("hostID"))
      )
      for (let id = 0; id < 30; id++) assert.strictEqual(IdMapping.covers(ranges, id), ids("containerID").includes(id))
    }
  )
})

describe("SecurityOption", () => {
  it("asks for nothing by default", () => {
    assert.deepStrictEqual(good(SecurityOption.resolve([])), {})
    assert.deepStrictEqual(good(SecurityOption.resolve(["label=disable", "label=type:x_t"])), {})
  })

  it("builds contexts from parts or takes them whole", () => {
    assert.deepStrictEqual(good(SecurityOption.resolve(["label=type:web_t", "label=level:s0:c1,c2"])), {
      process: "system_u:system_r:web_t:s0:c1,c2",
      mount: "system_u:object_r:container_file_t:s0:c1,c2"
    })
    assert.deepStrictEqual(
      good(SecurityOption.resolve(["label=u:r:t:s0:c3", "label:filetype:f_t", "apparmor=strict"])),
      {
        apparmor: "strict",
        process: "u:r:t:s0:c3",
        mount: "u:object_r:f_t:s0:c3"
      }
    )
  })

  it("says what is wrong", () => {
    assert.include(bad(SecurityOption.resolve(["seccomp=x"])), "securityOpt: expected label=… or apparmor=…")
    assert.include(bad(SecurityOption.resolve(["label=nonsense"])), "is not a context")
  })
})

describe("UserSpec", () => {
  const accounts = fromFiles(
    "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/:/bin/false\nbroken\nodd:x:nine:9::/:\n",
    "root:x:0:\nweb:x:34:\nlog:x:40:web,other\nextra:x:41:web\nsame:x:34:web\n"
  )

  it("numbers need no accounts", () => {
    assert.deepStrictEqual(good(resolveUser("1000", undefined)), { uid: 1000, gid: 0 })
    assert.deepStrictEqual(good(resolveUser("1000:1001", undefined)), { uid: 1000, gid: 1001 })
    assert.include(bad(resolveUser("web", undefined)), `user: no user "web"`)
    assert.include(bad(resolveUser("0:web", undefined)), `no group "web"`)
    assert.include(bad(resolveUser("99999999999", undefined)), "is not a user id")
    assert.include(bad(resolveUser("4294967295", undefined)), "is not a user id")
    for (const text of ["", ":", "0:", ":0", "0:0:0"])
      assert.include(bad(resolveUser(text, undefined)), "expected USER[:GROUP]")
  })

  it("names and groups come from the account files", () => {
    assert.deepStrictEqual(good(resolveUser("web", accounts)), { uid: 33, gid: 34, additionalGids: [40, 41] })
    assert.deepStrictEqual(good(resolveUser("33", accounts)), { uid: 33, gid: 34, additionalGids: [40, 41] })
    assert.deepStrictEqual(good(resolveUser("web:log", accounts)), { uid: 33, gid: 40 })
    assert.deepStrictEqual(good(resolveUser("0", accounts)), { uid: 0, gid: 0 })
    assert.deepStrictEqual(good(resolveUser("77", accounts)), { uid: 77, gid: 0 })
    assert.include(bad(resolveUser("odd", accounts)), `no user "odd"`)
  })
})

const Entry = Schema.TemplateLiteral([Schema.Literals(["A", "B", "C"]), "=", Schema.String])

describe("Environment", () => {
  it.prop(
    "each name once, the last value wins",
    { base: Schema.Array(Entry), asked: Schema.Array(Entry) },
    ({ asked, base }) => {
      const merged = good(Environment.merge(base, asked))
      const values = new Map([...base, ...asked].map((entry) => [entry[0], entry.slice(2)]))
      assert.strictEqual(merged.length, values.size)
      for (const entry of merged) assert.strictEqual(entry.slice(2), values.get(entry[0]))
    }
  )

  it("an entry needs a name", () => {
    assert.deepStrictEqual(good(Environment.merge([], ["A=", "B=x=y"])), ["A=", "B=x=y"])
    for (const entry of ["", "A", "=x"]) assert.include(bad(Environment.merge([], [entry])), "env: expected NAME=value")
  })
})
