import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Schema } from "effect"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { deviceNumbers } from "../../src/cli/run/HostInput.ts"
import { optionOf } from "../../src/cli/run/SpecInput.ts"
import { OciSpec } from "../../src/schema/OciSpec.ts"
import { berth } from "./support/Harness.ts"
import { valueIn } from "./support/Read.ts"

/** A folder for the test, gone afterwards. */
const folder = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* fs.makeTempDirectoryScoped()
  return {
    path,
    write: (name: string, text: string) =>
      Effect.gen(function* () {
        const file = `${path}/${name}`
        yield* fs.makeDirectory(file.slice(0, file.lastIndexOf("/")), { recursive: true })
        yield* fs.writeFileString(file, text)
        return file
      }),
    link: (target: string, name: string) => fs.symlink(target, `${path}/${name}`)
  }
}).pipe(Effect.provide(NodeFileSystem.layer))

/** What a container is created with. */
const decode = Schema.decodeUnknownSync(Schema.Struct({ spec: OciSpec }))

const decodeSpec = Schema.decodeUnknownSync(OciSpec)

const specOf = (...words: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { code, stderr, stdout } = yield* berth(["spec", "--json", ...words])
    assert.deepStrictEqual([code, stderr], [0, ""])
    return decodeSpec(valueIn(stdout))
  })

describe("berth spec", () => {
  it.effect("prints what run would create", () =>
    Effect.gen(function* () {
      const words = [
        "--rootfs",
        "/",
        "--memory",
        "64m",
        "--hostname",
        "box",
        "-e",
        "A=1",
        "--read-only",
        "--annotation",
        "k=v"
      ]
      const printed = yield* specOf(...words, "ls", "-la")
      const { daemon } = yield* berth(["run", "-d", ...words, "ls", "-la"])
      assert.deepStrictEqual(
        [printed],
        daemon.requests("containers.create").map((request) => decode(request).spec)
      )
      assert.deepInclude(printed, { hostname: "box", annotations: { k: "v" }, root: { path: "/", readonly: true } })
      assert.deepInclude(printed.process, { args: ["ls", "-la"] })
      assert.deepInclude(printed.linux?.resources, { memory: { limit: 67_108_864 } })
    })
  )

  it.effect("is indented for people, with exact integers", () =>
    Effect.gen(function* () {
      const { stdout } = yield* berth(["spec", "--ulimit", "memlock=unlimited", "sh"])
      assert.include(stdout, `\n        "soft": 18446744073709551615,\n`)
      const { stdout: line } = yield* berth(["spec", "--json", "--ulimit", "memlock=unlimited", "sh"])
      assert.include(line, `"soft":18446744073709551615`)
      assert.strictEqual(line.split("\n").length, 2)
    })
  )

  it.effect("reads every option", () =>
    Effect.gen(function* () {
      const words =
        "--memory-reservation 32m --memory 64m --memory-swap -1 --cpus 1.5 --cpu-shares 512 --cpuset-cpus 0-1 " +
        "--pids-limit 10 --blkio-weight 100 --network host --cap-drop ALL --cap-add net_admin --ulimit nofile=10:20 " +
        "--device /dev/null:/dev/nothing:r --sysctl kernel.msgmax=1 --mount type=tmpfs,dst=/tmp,size=1m -u 7:8 -w /srv " +
        "--no-new-privileges=false --seccomp unconfined --uidmap 0:1000:10 --gidmap 0:1000:10 " +
        "--security-opt label=type:t --env X=--y env"
      const spec = yield* specOf(...words.split(" "))
      const { linux, process } = spec
      assert.deepInclude(linux?.resources, {
        memory: { limit: 67_108_864, reservation: 33_554_432, swap: -1 },
        cpu: { quota: 150_000, period: 100_000, shares: 512, cpus: "0-1" },
        pids: { limit: 10 },
        blockIO: { weight: 100 }
      })
      assert.deepInclude(process, { user: { uid: 7, gid: 8 }, cwd: "/srv", noNewPrivileges: false })
      assert.deepInclude(process?.capabilities, { bounding: ["CAP_NET_ADMIN"] })
      assert.deepInclude(process?.rlimits?.[0], { type: "RLIMIT_NOFILE", soft: 10, hard: 20 })
      assert.isTrue(process?.env?.includes("X=--y"))
      assert.deepInclude(linux?.devices?.[0], { path: "/dev/nothing", type: "c", major: 1, minor: 3 })
      assert.deepInclude(
        spec.mounts?.find(({ destination }) => destination === "/tmp"),
        { type: "tmpfs", source: "tmpfs" }
      )
      assert.isUndefined(linux?.seccomp)
      assert.deepStrictEqual(linux?.uidMappings, [{ containerID: 0, hostID: 1000, size: 10 }])
      assert.deepStrictEqual(linux?.sysctl, { "kernel.msgmax": "1" })
      assert.isFalse(linux?.namespaces?.some(({ type }) => type === "network"))
    })
  )

  it.effect("reads variables and filters from files, the command line last", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      const env = yield* dir.write("env", "# comment\nA=file\n\nB=file=x\r\n")
      const seccomp = yield* dir.write("seccomp.json", `{"defaultAction":"SCMP_ACT_ALLOW"}`)
      const spec = yield* specOf("--env-file", env, "-e", "A=flag", "--seccomp", seccomp, "env")
      assert.includeMembers([...(spec.process?.env ?? [])], ["A=flag", "B=file=x"])
      assert.deepStrictEqual(spec.linux?.seccomp, { defaultAction: "SCMP_ACT_ALLOW" })
      const broken = yield* berth(["spec", "--seccomp", env, "sh"])
      assert.strictEqual(broken.code, 1)
      assert.match(broken.stderr, /^berth: --seccomp: cannot read ".*env": .+\n$/)
      const missing = yield* berth(["spec", "--env-file", `${dir.path}/none`, "sh"])
      assert.deepStrictEqual(
        [missing.code, missing.stderr],
        [1, `berth: --env-file: cannot read "${dir.path}/none": it does not exist\n`]
      )
    })
  )

  it.effect("finds users by name in the root filesystem, and never outside of it", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      yield* dir.write("good/etc/passwd", "web:x:81:82::/:/bin/sh\n")
      yield* dir.write("good/etc/group", "www:x:90:web\n")
      const spec = yield* specOf("--rootfs", `${dir.path}/good`, "-u", "web", "id")
      assert.deepStrictEqual(spec.process?.user, { uid: 81, gid: 82, additionalGids: [90] })
      yield* dir.write("bad/etc/x", "")
      yield* dir.link("/etc/passwd", "bad/etc/passwd")
      const outside = yield* berth(["spec", "--rootfs", `${dir.path}/bad`, "-u", "daemon", "id"])
      assert.strictEqual(outside.code, 2)
      assert.match(outside.stderr, /^berth: spec: --user: no user "daemon" in the container \(see /)
    })
  )

  it.effect("takes a bundle as it is, with another command where one is given", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      const config = {
        ociVersion: "1.0.2",
        process: { cwd: "/w", args: ["sh"], env: ["A=1"] },
        root: { path: "fs" },
        later: true
      }
      yield* dir.write("config.json", JSON.stringify(config))
      const root = { path: `${dir.path}/fs` }
      assert.deepStrictEqual(yield* specOf("--bundle", dir.path), decodeSpec({ ...config, root }))
      const other = yield* specOf("--bundle", dir.path, "ls", "-l")
      assert.deepStrictEqual(other.process, { cwd: "/w", args: ["ls", "-l"], env: ["A=1"] })
      const both = yield* berth(["spec", "--bundle", dir.path, "--memory", "1g"])
      assert.strictEqual(both.code, 2)
      assert.match(both.stderr, /^berth: spec: --memory: not together with --bundle/)
    })
  )

  it("names options as users write them", () => {
    assert.deepStrictEqual(
      ["memorySwap", "args", "cwd", "uidMappings", "securityOpt", "mount", "capAdd"].map(optionOf),
      ["--memory-swap", "<command>", "--workdir", "--uidmap", "--security-opt", "--mount", "--cap-add"]
    )
  })

  it("takes device numbers apart as Linux packs them", () => {
    assert.deepStrictEqual(deviceNumbers(0x103n), { major: 1, minor: 3 })
    assert.deepStrictEqual(deviceNumbers((259n << 8n) | 5n), { major: 259, minor: 5 })
    assert.deepStrictEqual(
      deviceNumbers(((0x12345n & 0xfffn) << 8n) | ((0x12345n & ~0xfffn) << 32n) | 0xffn | (0xabc00n << 12n)),
      {
        major: 0x12345,
        minor: 0xabcff
      }
    )
  })
})
