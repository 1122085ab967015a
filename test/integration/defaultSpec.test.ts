/**
 * The default specification against real runtimes: what the process inside really has and really cannot do. Runs the
 * binaries directly, without any other part of berth. Needs root, runc, crun and a static busybox.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { execFile, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { stringify } from "../../src/schema/OciJson.ts"
import type { OciSpec } from "../../src/schema/OciSpec.ts"
import { defaults, fromMask } from "../../src/spec/Capabilities.ts"
import type { HostFacts } from "../../src/spec/HostFacts.ts"
import * as MountOption from "../../src/spec/MountOption.ts"
import { makeProcess } from "../../src/spec/ProcessSpec.ts"
import * as Spec from "../../src/spec/Spec.ts"
import type { SpecOptions } from "../../src/spec/SpecOptions.ts"
import { canRunContainers, installed } from "../support/rootfs.ts"

const busybox = ["/bin/busybox", "/usr/bin/busybox"].find((file) => fs.existsSync(file))
const applets =
  "cat echo env grep head hostname id ls mkdir mknod mount pwd readlink rmdir sh sleep touch unshare wc".split(" ")
const cgroups = "/sys/fs/cgroup"
const isV2 = fs.existsSync(`${cgroups}/cgroup.controllers`)
const bounding = /CapBnd:\s*([0-9a-f]+)/.exec(fs.readFileSync("/proc/self/status", "utf8"))?.[1] ?? ""
const host: HostFacts = {
  cgroupVersion: isV2 ? 2 : 1,
  architecture: process.arch === "arm64" ? "arm64" : "x64",
  capabilities: fromMask(bounding),
  device: (file) => (file === "/dev/zero" ? { type: "c", major: 1, minor: 5 } : undefined)
}

const usable = (runtime: string) => canRunContainers && installed(runtime) !== null

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const command = (file: string, args: ReadonlyArray<string>) =>
  Effect.callback<Outcome>((resume) => {
    const child = execFile(file, [...args], { encoding: "utf8", timeout: 30_000 }, (error, stdout, stderr) =>
      resume(
        Effect.succeed({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr })
      )
    )
    child.stdin?.end()
  })

/** A bundle with a busybox root; container, control group and files go with the scope. */
const bundle = (runtime: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const dir = fs.mkdtempSync(path.join(tmpdir(), "berth-spec-"))
      fs.chmodSync(dir, 0o755)
      for (const name of ["bin", "proc", "dev", "sys", "tmp", "mnt"])
        fs.mkdirSync(`${dir}/rootfs/${name}`, { recursive: true })
      fs.chmodSync(`${dir}/rootfs/tmp`, 0o1777)
      fs.copyFileSync(busybox ?? "", `${dir}/rootfs/bin/busybox`)
      for (const name of applets) fs.symlinkSync("busybox", `${dir}/rootfs/bin/${name}`)
      const id = `berth-test--${randomBytes(6).toString("hex")}`
      return { dir, id, rootfs: `${dir}/rootfs`, cgroupsPath: `/${id}` }
    }),
    ({ cgroupsPath, dir, id }) =>
      command(runtime, ["delete", "--force", id]).pipe(
        Effect.andThen(
          Effect.sync(() => {
            const left = [cgroups, ...fs.readdirSync(cgroups).map((name) => `${cgroups}/${name}`)]
            for (const file of left.map((name) => name + cgroupsPath).filter((name) => fs.existsSync(name)))
              fs.rmdirSync(file)
            fs.rmSync(dir, { recursive: true, force: true })
          })
        )
      )
  )

const write = (dir: string, options: SpecOptions): OciSpec => {
  const spec = Result.getOrThrow(Spec.make(options, host))
  fs.writeFileSync(`${dir}/config.json`, stringify(spec))
  return spec
}

/** Runs a shell script in a new container and gives its output; a script that fails fails the test. */
const run = (runtime: string, script: string, options: Partial<SpecOptions> = {}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { cgroupsPath, dir, id } = yield* bundle(runtime)
      write(dir, { args: ["sh", "-c", script], cgroupsPath, ...options })
      const outcome = yield* command(runtime, ["run", "--bundle", dir, id])
      assert.strictEqual(outcome.code, 0, outcome.stderr)
      return outcome.stdout
    })
  )

const statusOf = (text: string) => Object.fromEntries(text.split("\n").map((line) => line.split(/:\s*/, 2)))
const ownNamespace = (name: string) => fs.readlinkSync(`/proc/self/ns/${name}`)
/** Prints `ok` if the command fails, as it must. */
const refuses = (text: string) =>
  `if ${text} 2>/dev/null; then echo "not refused: ${text.replaceAll('"', "'")}"; else echo ok; fi`

describe.each(["runc", "crun"])("default specification on %s", (runtime) => {
  const test = it.live.skipIf(!usable(runtime))

  test("gives no new privileges, a filter and the default capabilities", () =>
    Effect.gen(function* () {
      const status = statusOf(yield* run(runtime, "cat /proc/self/status"))
      assert.strictEqual(status["NoNewPrivs"], "1")
      assert.strictEqual(status["Seccomp"], "2")
      assert.sameMembers([...fromMask(status["CapBnd"])], [...defaults])
      assert.sameMembers([...fromMask(status["CapEff"])], [...defaults])
      assert.sameMembers([...fromMask(status["CapPrm"])], [...defaults])
      assert.deepStrictEqual([...fromMask(status["CapInh"]), ...fromMask(status["CapAmb"])], [])
    }))

  test("hides the host's kernel files and refuses to write the others", () =>
    Effect.gen(function* () {
      const files = ["/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/timer_list"].filter((file) =>
        fs.existsSync(file)
      )
      assert.isAtLeast(files.length, 2)
      const script = [
        ...files.map((file) => `test -c ${file} && cat ${file} | wc -c`),
        "ls /sys/firmware | wc -l",
        refuses("echo 1 > /proc/sys/vm/drop_caches"),
        refuses("echo h > /proc/sysrq-trigger"),
        refuses("echo 1500 > /sys/class/net/lo/mtu"),
        refuses(`mkdir ${isV2 ? cgroups : `${cgroups}/memory`}/x`),
        refuses("mount -t tmpfs none /mnt")
      ]
      const lines = (yield* run(runtime, script.join("\n"))).trim().split("\n")
      assert.deepStrictEqual(lines, [...files.map(() => "0"), "0", "ok", "ok", "ok", "ok", "ok"])
    }))

  test("lets standard devices be used and no other", () =>
    Effect.gen(function* () {
      const script = [
        "echo x > /dev/null && head -c 4 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c",
        "mknod /tmp/kmsg c 1 11",
        refuses("echo -n > /tmp/kmsg"),
        "ls /dev"
      ]
      const [zero, urandom, kmsg, ...nodes] = (yield* run(runtime, script.join("\n"))).trim().split("\n")
      assert.deepStrictEqual([zero, urandom, kmsg], ["4", "4", "ok"])
      assert.includeMembers(nodes, ["full", "null", "ptmx", "pts", "random", "shm", "mqueue", "tty", "urandom", "zero"])
    }))

  test("has namespaces of its own, a name, and only the loopback", () =>
    Effect.gen(function* () {
      const names = ["pid", "ipc", "uts", "mnt", "net", "cgroup"]
      const script = `hostname; echo $HOSTNAME; ls /sys/class/net; ${names.map((name) => `readlink /proc/self/ns/${name}`).join("; ")}`
      const lines = (yield* run(runtime, script, { hostname: "inside" })).trim().split("\n")
      assert.deepStrictEqual(lines.slice(0, 3), ["inside", "inside", "lo"])
      assert.strictEqual(lines.length, 3 + names.length)
      for (const [index, name] of names.entries()) assert.notStrictEqual(lines[3 + index], ownNamespace(name), name)
    }))

  test("the filter is what refuses new user namespaces", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* run(runtime, refuses("unshare -U true")), "ok\n")
      const status = statusOf(yield* run(runtime, "cat /proc/self/status", { seccomp: "unconfined" }))
      assert.strictEqual(status["Seccomp"], "0")
      assert.strictEqual(yield* run(runtime, "unshare -U echo made", { seccomp: "unconfined" }), "made\n")
    }))

  test("applies limits in the control group", () =>
    Effect.gen(function* () {
      const files = isV2
        ? ["memory.max", "memory.low", "pids.max", "cpu.max"]
        : ["memory/memory.limit_in_bytes", "memory/memory.soft_limit_in_bytes", "pids/pids.max", "cpu/cpu.cfs_quota_us"]
      const script = files.map((file) => `cat ${cgroups}/${file}`).join("; ")
      const out = yield* run(runtime, script, {
        memory: 67_108_864,
        memoryReservation: 33_554_432,
        pidsLimit: 50,
        cpus: 0.5
      })
      assert.strictEqual(out, `67108864\n33554432\n50\n${isV2 ? "50000 100000" : "50000"}\n`)
    }))

  test("runs as another user without any capability in force", () =>
    Effect.gen(function* () {
      const out = yield* run(runtime, "id -u; id -g; cat /proc/self/status", { user: "1000:1000" })
      assert.deepStrictEqual(out.split("\n").slice(0, 2), ["1000", "1000"])
      const status = statusOf(out)
      assert.deepStrictEqual([status["CapEff"], status["CapPrm"], status["CapAmb"]], Array(3).fill("0".repeat(16)))
      assert.sameMembers([...fromMask(status["CapBnd"])], [...defaults])
    }))

  test("mounts, limits of the process, read-only root, directory and environment", () =>
    Effect.gen(function* () {
      const source = fs.mkdtempSync(path.join(tmpdir(), "berth-spec-src-"))
      try {
        fs.writeFileSync(`${source}/file`, "from the host\n")
        const texts = ["type=tmpfs,dst=/mnt,size=1m,mode=700", `type=bind,src=${source},dst=/tmp,ro`]
        const out = yield* run(
          runtime,
          [
            "pwd; echo $GREETING; cat /tmp/file; ulimit -n; ulimit -Hc",
            "touch /mnt/x && echo written",
            refuses("touch /tmp/x"),
            refuses("touch /x"),
            "grep ' /mnt ' /proc/self/mounts"
          ].join("\n"),
          {
            mounts: texts.map((text) => Result.getOrThrow(MountOption.parse(text))),
            ulimits: [
              { name: "nofile", soft: 100, hard: 200 },
              { name: "core", soft: 0, hard: -1 }
            ],
            readOnly: true,
            cwd: "/bin",
            env: ["GREETING=hello"]
          }
        )
        const lines = out.trim().split("\n")
        assert.deepStrictEqual(lines.slice(0, 8), [
          "/bin",
          "hello",
          "from the host",
          "100",
          "unlimited",
          "written",
          "ok",
          "ok"
        ])
        assert.match(lines[8], /^tmpfs \/mnt tmpfs rw,nosuid,nodev,noexec,.*size=1024k,mode=700/)
      } finally {
        fs.rmSync(source, { recursive: true, force: true })
      }
    }))

  test("a device of the host appears where it was asked for, with the access that was given", () =>
    Effect.gen(function* () {
      const out = yield* run(runtime, "head -c 3 /dev/nothing | wc -c", {
        devices: [{ source: "/dev/zero", destination: "/dev/nothing" }]
      })
      assert.strictEqual(out.trim(), "3")
    }))

  test("privileged: everything the runtime has, nothing masked, no filter", () =>
    Effect.gen(function* () {
      const script = [
        "cat /proc/self/status",
        "mount -t tmpfs none /mnt && echo mounted",
        "mknod /tmp/kmsg c 1 11 && echo -n > /tmp/kmsg && echo opened",
        ": >> /proc/sys/vm/drop_caches && echo writable",
        "test -f /proc/interrupts && echo plain",
        `mkdir ${isV2 ? cgroups : `${cgroups}/memory`}/x && rmdir ${isV2 ? cgroups : `${cgroups}/memory`}/x && echo made`
      ].join("\n")
      const out = yield* run(runtime, script, { privileged: true })
      const status = statusOf(out)
      assert.strictEqual(status["Seccomp"], "0")
      assert.strictEqual(status["NoNewPrivs"], "0")
      assert.deepStrictEqual([status["CapEff"], status["CapBnd"]], [bounding, bounding])
      assert.deepStrictEqual(out.trim().split("\n").slice(-5), ["mounted", "opened", "writable", "plain", "made"])
    }))

  test("the host's network, also from a user namespace", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        (yield* run(runtime, "readlink /proc/self/ns/net", { network: "host" })).trim(),
        ownNamespace("net")
      )
      const mapping = [{ containerID: 0, hostID: 100_000, size: 65_536 }]
      const out = yield* run(runtime, "readlink /proc/self/ns/net; cat /proc/self/uid_map; ls /sys/class/net | wc -l", {
        network: "host",
        uidMappings: mapping,
        gidMappings: mapping
      })
      const [net, map, links] = out.trim().split("\n")
      assert.strictEqual(net, ownNamespace("net"))
      assert.deepStrictEqual(map.trim().split(/\s+/), ["0", "100000", "65536"])
      assert.isAtLeast(Number(links), 1)
    }))

  test("a user namespace with its own network", () =>
    Effect.gen(function* () {
      const mapping = [{ containerID: 0, hostID: 100_000, size: 65_536 }]
      const out = yield* run(runtime, "id -u; cat /proc/self/uid_map; ls /sys/class/net", {
        uidMappings: mapping,
        gidMappings: mapping
      })
      assert.match(out, /^0\n\s+0\s+100000\s+65536\nlo\n$/)
    }))

  test("an added process is no freer than the container unless it asks", () =>
    Effect.gen(function* () {
      const { cgroupsPath, dir, id } = yield* bundle(runtime)
      const spec = write(dir, {
        args: ["sleep", "60"],
        cgroupsPath,
        user: "1000",
        capDrop: ["NET_RAW"],
        env: ["A=1"],
        cwd: "/tmp"
      })
      const started = spawnSync(runtime, ["run", "--detach", "--bundle", dir, id], { stdio: "ignore", timeout: 30_000 })
      assert.strictEqual(started.status, 0)
      const exec = (options: Partial<Parameters<typeof makeProcess>[1]>) =>
        Effect.gen(function* () {
          const args = ["sh", "-c", "id -u; pwd; echo $A$B; cat /proc/self/status"]
          fs.writeFileSync(
            `${dir}/process.json`,
            stringify(Result.getOrThrow(makeProcess(spec, { args, ...options }, host)))
          )
          const outcome = yield* command(runtime, ["exec", "--process", `${dir}/process.json`, id])
          assert.strictEqual(outcome.code, 0, outcome.stderr)
          return { lines: outcome.stdout.split("\n"), status: statusOf(outcome.stdout) }
        })
      const kept = defaults.filter((name) => name !== "CAP_NET_RAW")
      const same = yield* exec({ env: ["B=2"] })
      assert.deepStrictEqual(same.lines.slice(0, 3), ["1000", "/tmp", "12"])
      assert.deepStrictEqual(
        [same.status["CapEff"], same.status["NoNewPrivs"], same.status["Seccomp"]],
        ["0".repeat(16), "1", "2"]
      )
      const root = yield* exec({ user: "0", cwd: "/" })
      assert.deepStrictEqual(root.lines.slice(0, 3), ["0", "/", "1"])
      assert.sameMembers([...fromMask(root.status["CapEff"])], kept)
      assert.sameMembers([...fromMask(root.status["CapBnd"])], kept)
      const privileged = yield* exec({ user: "0", privileged: true })
      assert.strictEqual(privileged.status["CapEff"], bounding)
    }))
})
