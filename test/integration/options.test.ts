/**
 * Every option of `run` that shapes a container, proved from inside: a container for each row, on each runtime, by the command line. What a kernel lacks must
 * be refused as such.
 */
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schedule } from "effect"
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { afterAll } from "vitest"
import type { Outcome } from "../cli/support/Command.ts"
import { run } from "../cli/support/Command.ts"
import { daemon } from "../support/daemon.ts"
import type { Daemon } from "../support/daemon.ts"
import { canRunContainers, installed, rootfsOfFile } from "../support/rootfs.ts"

interface Row {
  /** The options, as a user types them. */
  readonly words: string
  /** What runs, in a shell. */
  readonly script: string
  /** All that it prints, or a part of it. */
  readonly prints?: string | RegExp
  readonly code?: number
  readonly fails?: RegExp
  readonly env?: Readonly<Record<string, string>>
  /** Where this is not so the option must be refused. */
  readonly where?: boolean
}

const rootfs = canRunContainers ? rootfsOfFile() : "/"
const files = join(rootfs, "..", `${rootfs.split("/").at(-1)}-files`)
const cgroups = "/sys/fs/cgroup"
const v1 = !existsSync(join(cgroups, "cgroup.controllers"))
const limit = (v1Path: string, v2Path: string) => `cat /sys/fs/cgroup/${v1 ? v1Path : v2Path}`
const bounding = /CapBnd:\s*([0-9a-f]+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? ""
const all = BigInt(`0x${bounding || "0"}`)
const caps = (set: string) => `grep ^Cap${set}: /proc/self/status | cut -f2`
const network = existsSync("/proc/self/ns/net")
  ? execFileSync("readlink", ["/proc/self/ns/net"], { encoding: "utf8" })
  : ""
const readable = (path: string, pattern: RegExp) => existsSync(path) && pattern.test(readFileSync(path, "utf8"))
const hasApparmor = existsSync("/sys/kernel/security/apparmor/profiles")
const hasSelinux = existsSync("/sys/fs/selinux/enforce")
const weights = v1 && existsSync(`${cgroups}/blkio`) ? readdirSync(`${cgroups}/blkio`) : []
const profile = JSON.stringify({
  defaultAction: "SCMP_ACT_ALLOW",
  syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }]
})

const prepare = () => {
  // Other users than root look into it.
  chmodSync(rootfs, 0o755)
  afterAll(() => rmSync(files, { recursive: true, force: true }))
  mkdirSync(join(files, "shared"), { recursive: true })
  writeFileSync(join(files, "shared", "note"), "from the host\n")
  writeFileSync(join(files, "env"), "# a comment\nFROM_FILE=1\nTAKEN\nBOTH=file\n")
  writeFileSync(join(files, "seccomp.json"), profile)
  writeFileSync(
    join(rootfs, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1001::/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
  )
  writeFileSync(join(rootfs, "etc/group"), "root:x:0:\nalice:x:1001:\nwheel:x:10:alice\nnobody:x:65534:\n")
}

const rows: ReadonlyArray<Row> = [
  { words: "--hostname box", script: "hostname; echo $HOSTNAME", prints: "box\nbox\n" },
  { words: "-e A=1 -e A=2 -e B=x=y -e EMPTY=", script: "echo $A $B [$EMPTY]", prints: "2 x=y []\n" },
  {
    words: "-e TAKEN -e UNSET",
    script: "echo $TAKEN; env | grep -c UNSET",
    env: { TAKEN: "yes" },
    prints: "yes\n0\n",
    code: 1
  },
  {
    words: `--env-file ${files}/env -e BOTH=word`,
    script: "echo $FROM_FILE $TAKEN $BOTH",
    env: { TAKEN: "yes" },
    prints: "1 yes word\n"
  },
  { words: "-w /tmp", script: "pwd", prints: "/tmp\n" },
  { words: "-u 7:8", script: "id", prints: /^uid=7 gid=8(?: groups=8)?\n$/ },
  { words: "-u 7", script: "id -u; id -g", prints: "7\n0\n" },
  { words: "-u alice", script: "id -u; id -g; id -G", prints: "1000\n1001\n1001 10\n" },
  { words: "-u alice:wheel", script: "id -u; id -g", prints: "1000\n10\n" },
  { words: "-u mallory", script: "id", code: 2, fails: /--user: no user "mallory"/ },
  { words: "--read-only", script: "touch /file", code: 1, fails: /Read-only file system/ },
  { words: "--overlay", script: "echo new > /made && cat /made", prints: "new\n" },
  { words: "--overlay --read-only", script: "touch /made", code: 1, fails: /Read-only file system/ },
  {
    words: `--mount type=bind,src=${files}/shared,dst=/mnt`,
    script: "cat /mnt/note; touch /mnt/back",
    prints: "from the host\n"
  },
  {
    words: `--mount type=bind,src=${files}/shared,dst=/mnt,ro`,
    script: "cat /mnt/note; touch /mnt/x",
    prints: "from the host\n",
    code: 1,
    fails: /Read-only/
  },
  {
    words: "--mount type=tmpfs,dst=/scratch,size=64k,mode=1770",
    script: "stat -c %a /scratch; df -k /scratch | tail -1 | tr -s ' ' | cut -d' ' -f2",
    prints: "1770\n64\n"
  },
  {
    words: "--mount type=bind,src=/nowhere/at/all,dst=/mnt",
    script: "true",
    code: 125,
    fails: /no such file or directory/i
  },
  {
    words: "",
    script: caps("Bnd"),
    prints: /^00000000a80425fb\n$/,
    where: (all & 0xa80425fbn) === 0xa80425fbn
  },
  {
    words: "--cap-drop ALL --cap-add CHOWN",
    script: `${caps("Eff")}; ${caps("Bnd")}`,
    prints: "0000000000000001\n0000000000000001\n"
  },
  {
    words: "--cap-add SYS_TIME",
    script: caps("Eff"),
    prints: /^00000000aa0425fb\n$/,
    where: (all & (1n << 25n)) !== 0n
  },
  {
    words: "--privileged",
    script: `${caps("Eff")}; grep ^Seccomp: /proc/self/status | cut -f2; grep ^NoNewPrivs: /proc/self/status | cut -f2`,
    prints: `${bounding}\n0\n0\n`
  },
  { words: "", script: "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | cut -f2", prints: "1\n2\n" },
  { words: "--no-new-privileges=false", script: "grep ^NoNewPrivs: /proc/self/status | cut -f2", prints: "0\n" },
  { words: "--no-new-privileges --privileged", script: "grep ^NoNewPrivs: /proc/self/status | cut -f2", prints: "1\n" },
  { words: "--seccomp unconfined", script: "grep ^Seccomp: /proc/self/status | cut -f2", prints: "0\n" },
  { words: `--seccomp ${files}/seccomp.json`, script: "mkdir /tmp/no", code: 1, fails: /Operation not permitted/ },
  { words: "--network none", script: "ls /sys/class/net; readlink /proc/self/ns/net", prints: /^lo\nnet:\[\d+\]\n$/ },
  { words: "--network host", script: "readlink /proc/self/ns/net", prints: network },
  { words: "--network ns:/proc/self/ns/nothing", script: "true", code: 125, fails: /nothing|no such file/i },
  {
    words: "--device /dev/fuse",
    script: "ls -l /dev/fuse | tr -s ' ' | cut -d' ' -f5-6",
    prints: "10, 229\n",
    where: existsSync("/dev/fuse")
  },
  {
    words: "--device /dev/fuse:/dev/other:r",
    script: "head -c 0 /dev/other && echo reads; : > /dev/other",
    prints: "reads\n",
    code: 1,
    fails: /Operation not permitted/,
    where: existsSync("/dev/fuse")
  },
  {
    words: "--ulimit nofile=123:456 --ulimit core=0",
    script: "ulimit -Sn; ulimit -Hn; ulimit -c",
    prints: "123\n456\n0\n"
  },
  { words: "--sysctl net.ipv4.ip_forward=1", script: "cat /proc/sys/net/ipv4/ip_forward", prints: "1\n" },
  { words: "--memory 64m", script: limit("memory/memory.limit_in_bytes", "memory.max"), prints: "67108864\n" },
  {
    words: "--memory 64m --memory-swap 128m",
    script: limit("memory/memory.memsw.limit_in_bytes", "memory.swap.max"),
    prints: v1 ? "134217728\n" : "67108864\n",
    where: !v1 || existsSync(`${cgroups}/memory/memory.memsw.limit_in_bytes`)
  },
  {
    words: "--memory-reservation 32m",
    script: limit("memory/memory.soft_limit_in_bytes", "memory.low"),
    prints: "33554432\n"
  },
  { words: "--cpus 0.5", script: limit("cpu/cpu.cfs_quota_us", "cpu.max"), prints: v1 ? "50000\n" : "50000 100000\n" },
  { words: "--cpu-shares 512", script: limit("cpu/cpu.shares", "cpu.weight"), prints: v1 ? "512\n" : "20\n" },
  { words: "--cpuset-cpus 0", script: limit("cpuset/cpuset.cpus", "cpuset.cpus"), prints: "0\n" },
  { words: "--pids-limit 33", script: limit("pids/pids.max", "pids.max"), prints: "33\n" },
  {
    words: "--blkio-weight 500",
    script: v1 ? "cat /sys/fs/cgroup/blkio/blkio.*weight" : "cat /sys/fs/cgroup/io.*weight",
    prints: /500/,
    where: !v1 || weights.includes("blkio.weight")
  },
  {
    words: "--uidmap 0:100000:1000 --gidmap 0:200000:1000",
    script: "id -u; tr -s ' ' < /proc/self/uid_map; tr -s ' ' < /proc/self/gid_map",
    prints: "0\n 0 100000 1000\n 0 200000 1000\n"
  },
  { words: "--uidmap 0:1000:1", script: "true", code: 2, fails: /--gidmap/ },
  { words: "--overlay --uidmap 0:1:9 --gidmap 0:1:9", script: "true", code: 2, fails: /copy on write/ },
  {
    words: "--security-opt label=type:container_t",
    script: "cat /proc/self/attr/current",
    prints: /container_t/,
    where: hasSelinux
  },
  {
    words: "--security-opt apparmor=nonesuch",
    script: "true",
    ...(hasApparmor ? { code: 125, fails: /nonesuch|apparmor/i } : { where: false, prints: "never\n" })
  },
  { words: "--security-opt label=disable", script: "echo fine", prints: "fine\n" },
  { words: "--annotation a.b=c", script: "echo fine", prints: "fine\n" }
]

class Place extends Context.Service<Place, Daemon>()("test/Place") {}

const refusal = /^berth: .*(?:not supported|does not support|no such file|not held)/im

/** What is wrong with a row; nothing where it did as it should. */
const problems = (row: Row, { code, stderr, stdout }: Outcome): ReadonlyArray<string> => {
  const prints = matches(row.prints, stdout)
  const ends = code === (row.code ?? 0) && (row.fails === undefined ? stderr === "" : row.fails.test(stderr))
  // A runtime may find another way to the same end.
  const refused = row.where === false && code !== 0 && refusal.test(stderr)
  return (prints && ends) || refused ? [] : [`${row.words}: ${JSON.stringify({ code, stdout, stderr })}`]
}

const matches = (wanted: string | RegExp | undefined, found: string) =>
  wanted === undefined || (typeof wanted === "string" ? found === wanted : wanted.test(found))

if (canRunContainers) {
  prepare()
  for (const runtime of ["runc", "crun"].filter((name) => installed(name) !== null)) {
    layer(Layer.effect(Place, daemon({ runtime })), { excludeTestServices: true, timeout: "60 seconds" })(
      `the options of run on ${runtime}`,
      (it) => {
        const berth = (words: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
          Effect.flatMap(Place, ({ address }) => run(words, { address, env }))

        it.effect(
          "every one has its effect inside",
          () =>
            Effect.gen(function* () {
              const outcomes = yield* Effect.forEach(
                rows,
                (row) =>
                  berth(
                    [
                      "run",
                      "--rootfs",
                      rootfs,
                      ...row.words.split(" ").filter((word) => word !== ""),
                      "sh",
                      "-c",
                      row.script
                    ],
                    row.env
                  ),
                { concurrency: 3 }
              )
              const wrong = outcomes.flatMap((outcome, index) => problems(rows[index], outcome))
              assert.deepStrictEqual(wrong, [])
              assert.isFalse(existsSync(join(rootfs, "made")))
              assert.isTrue(existsSync(join(files, "shared", "back")))
              const { state } = yield* Place
              // The removal of the last ones goes on behind the command.
              const left = Effect.sync(() =>
                existsSync(join(state, "tasks")) ? readdirSync(join(state, "tasks")) : []
              )
              const gone = { until: (names: ReadonlyArray<string>) => names.length === 0, times: 100 }
              assert.deepStrictEqual(
                yield* Effect.repeat(left, { ...gone, schedule: Schedule.spaced("20 millis") }),
                []
              )
              assert.isFalse(readable("/proc/mounts", new RegExp(`${state}/tasks`)))
            }),
          60_000
        )

        it.effect("joins the network namespace at a path", () =>
          Effect.gen(function* () {
            yield* berth(["run", "-d", "--id", "net", "--rootfs", rootfs, "sleep", "1000"])
            const inspected: { readonly task: { readonly pid: number } } = JSON.parse(
              (yield* berth(["inspect", "net"])).stdout
            )
            const path = `/proc/${inspected.task.pid}/ns/net`
            const same = execFileSync("readlink", [path], { encoding: "utf8" })
            const joined = yield* berth([
              "run",
              "--rootfs",
              rootfs,
              "--network",
              `ns:${path}`,
              "readlink",
              "/proc/self/ns/net"
            ])
            assert.deepStrictEqual(joined, { code: 0, stdout: same, stderr: "" })
            assert.strictEqual((yield* berth(["rm", "-f", "net"])).code, 0)
          })
        )

        it.effect("ends with 126 where the program cannot be executed, which runtimes find out after the start", () =>
          Effect.gen(function* () {
            writeFileSync(join(rootfs, "bin/no-interpreter"), "#!/nowhere/sh\n", { mode: 0o755 })
            for (const program of ["/bin/garbage", "/bin/no-interpreter"]) {
              assert.strictEqual((yield* berth(["run", "--rootfs", rootfs, program])).code, 126, program)
            }
            // A program's own 1, and its own 126, are its own.
            assert.strictEqual((yield* berth(["run", "--rootfs", rootfs, "/bin/false"])).code, 1)
            yield* berth(["run", "-d", "--id", "exec", "--rootfs", rootfs, "sleep", "1000"])
            assert.strictEqual((yield* berth(["exec", "exec", "/bin/garbage"])).code, 126)
            assert.strictEqual((yield* berth(["exec", "exec", "/bin/false"])).code, 1)
            assert.strictEqual((yield* berth(["rm", "-f", "exec"])).code, 0)
          })
        )

        it.effect("follows no link of the root filesystem out of it", () =>
          Effect.gen(function* () {
            const evil = join(files, `evil-${runtime}`)
            mkdirSync(join(evil, "etc"), { recursive: true })
            writeFileSync(join(files, "secrets"), "mallory:x:5:5::/:/bin/sh\n")
            symlinkSync(join(files, "secrets"), join(evil, "etc/passwd"))
            const out = yield* berth(["run", "--rootfs", evil, "-u", "mallory", "id"])
            assert.deepStrictEqual([out.code, /no user "mallory"/.test(out.stderr)], [2, true])
            execFileSync("mkfifo", [join(evil, "etc/group")])
            const fifo = yield* berth(["run", "--rootfs", evil, "-u", "0:wheel", "id"])
            assert.deepStrictEqual([fifo.code, /no group "wheel"/.test(fifo.stderr)], [2, true])
          })
        )

        it.effect("keeps name, labels, annotations, runtime and how to stop with the container", () =>
          Effect.gen(function* () {
            const words = "--id kept --label a=b --annotation c.d=e --stop-signal INT --stop-timeout 20s"
            const script = "trap 'exit 42' INT; echo ready; while :; do sleep 0.05; done"
            const pidFile = join(files, `pid-${runtime}`)
            const started = yield* berth([
              "run",
              "-d",
              ...words.split(" "),
              "--pid-file",
              pidFile,
              "--runtime",
              runtime,
              "--rootfs",
              rootfs,
              "sh",
              "-c",
              script
            ])
            assert.deepStrictEqual(started, { code: 0, stdout: "kept\n", stderr: "" })
            const { container, task } = JSON.parse((yield* berth(["inspect", "kept"])).stdout)
            assert.deepInclude(container.labels, { a: "b" })
            assert.deepStrictEqual(container.spec.annotations, { "c.d": "e" })
            assert.strictEqual(container.runtime.name, runtime)
            assert.strictEqual(readFileSync(pidFile, "utf8"), `${task.pid}\n`)
            while (!(yield* berth(["logs", "kept"])).stdout.includes("ready")) yield* Effect.sleep("20 millis")
            const stopped = yield* berth(["stop", "--json", "kept"])
            assert.deepInclude(JSON.parse(stopped.stdout), { id: "kept", stage: "signal" })
            assert.strictEqual((yield* berth(["wait", "kept"])).stdout, "42\n")
            assert.strictEqual((yield* berth(["rm", "kept"])).code, 0)
          })
        )
      }
    )
  }
}
