/** Limits on the command line, at creation and later, on real containers: what is asked for is what the kernel holds, and what a program inside feels. */
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { finish, run, start } from "../cli/support/Command.ts"
import { UpdateResult } from "../../src/schema/Requests.ts"
import { daemonOn, folders, shimsOf } from "../support/daemon.ts"
import type { Daemon } from "../support/daemon.ts"
import { processesWith } from "../support/host.ts"
import { canRunContainers, installed, rootfsOfFile } from "../support/rootfs.ts"
import { writeScript } from "../support/stubRuntime.ts"

const rootfs = canRunContainers ? ["--rootfs", rootfsOfFile()] : []
const runc = installed("runc")
/** Marks what the stub leaves running. */
const mark = `32${process.pid}`

/** runc, except that an `update` of what is called hang never ends. */
const stub = `
for last; do :; done
case " $* " in *" update "*) case "$last" in hang*) exec sleep ${mark} ;; esac ;; esac
exec ${runc} "$@"`

class Place extends Context.Service<
  Place,
  { readonly folders: Parameters<typeof daemonOn>[0]; readonly env: Record<string, string> }
>()("test/Place") {
  static readonly layer = Layer.effect(
    Place,
    Effect.gen(function* () {
      const place = yield* folders
      const bin = join(place.folder, "bin")
      mkdirSync(bin)
      writeScript(join(bin, "runc"), stub)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => shimsOf(place.state).forEach((pid) => process.kill(pid, "SIGKILL")))
      )
      return { folders: place, env: { PATH: `${bin}:${process.env["PATH"] ?? ""}` } }
    })
  )
}

const served = Effect.flatMap(Place, ({ env, folders }) => daemonOn(folders, { runtime: "runc", env }))

const words =
  ({ address }: Daemon) =>
  (...args: ReadonlyArray<string>) =>
    run(args, { address })

const shown = Schema.decodeSync(Schema.fromJsonString(UpdateResult))

/** A container that runs until it is killed. */
const running = (berth: ReturnType<typeof words>, id: string, ...options: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.map(berth("run", "-d", "--id", id, ...options, ...rootfs, "sleep", "1000"), ({ code, stderr }) =>
      assert.deepStrictEqual([code, stderr], [0, ""])
    ),
    () => Effect.ignore(berth("rm", "-f", id))
  )

const files = [
  "memory/memory.limit_in_bytes",
  "memory/memory.soft_limit_in_bytes",
  "memory/memory.memsw.limit_in_bytes",
  "cpu/cpu.cfs_quota_us",
  "cpu/cpu.cfs_period_us",
  "cpu/cpu.shares",
  "cpuset/cpuset.cpus",
  "cpuset/cpuset.mems",
  "pids/pids.max",
  "blkio/blkio.throttle.read_bps_device",
  "blkio/blkio.throttle.write_iops_device",
  "hugetlb/hugetlb.2MB.limit_in_bytes"
]

const every =
  "--memory 64m --memory-reservation 32m --memory-swap 80m --cpu-quota 20000 --cpu-period 50000 --cpu-shares 300 --cpuset-cpus 0 --cpuset-mems 0 --pids-limit 30 --device-read-bps 7:0:1m --device-write-iops 7:1:50 --hugetlb-limit 2MB:4m".split(
    " "
  )

const look = ["sh", "-c", `cd /sys/fs/cgroup; cat ${files.join(" ")}`]
const wanted = "67108864 33554432 83886080 20000 50000 300 0 0 30 7:0=1048576 7:1=50 4194304"
  .split(" ")
  .map((value) => `${value.replace("=", " ")}\n`)
  .join("")

if (canRunContainers && runc !== null) {
  layer(Place.layer, { excludeTestServices: true, timeout: "60 seconds" })("limits", (it) => {
    for (const runtime of ["runc", "crun"]) {
      it.effect(`at creation by ${runtime}, every one of them, as seen inside`, () =>
        Effect.gen(function* () {
          const berth = words(yield* served)
          const { code, stderr, stdout } = yield* berth("run", "--runtime", runtime, ...every, ...rootfs, ...look)
          assert.deepStrictEqual([code, stderr, stdout], [0, "", wanted])
          const free = ["--pids-limit", "-1", "--cpu-quota", "-1", "--memory-swap", "-1", "--memory", "64m"]
          const none = yield* berth(
            "run",
            "--runtime",
            runtime,
            ...free,
            ...rootfs,
            "cat",
            "/sys/fs/cgroup/pids/pids.max"
          )
          assert.deepStrictEqual([none.code, none.stderr, none.stdout], [0, "", "max\n"])
        }).pipe(Effect.scoped)
      )

      it.effect(`changed on ${runtime} by the same options`, () =>
        Effect.gen(function* () {
          const berth = words(yield* served)
          yield* running(berth, "same", "--runtime", runtime)
          const { code, stderr, stdout } = yield* berth("update", ...every, "same")
          assert.deepStrictEqual([code, stderr], [0, ""])
          assert.match(stdout, /^memory-swap +80m$/m)
          assert.match(stdout, /^cpus +0.4$/m)
          assert.strictEqual((yield* berth("exec", "same", ...look)).stdout, wanted)
        }).pipe(Effect.scoped)
      )
    }

    it.effect("changes limits as they are felt inside, and keeps them over a restart of the daemon", () =>
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const berth = words(yield* served)
            yield* berth("run", "-d", "--id", "kept", ...rootfs, "sleep", "1000")
            const fill = ["exec", "kept", "sh", "-c", "head -c 64m /dev/zero | tail > /dev/null; echo $?"]
            assert.strictEqual((yield* berth(...fill)).stdout, "0\n")
            yield* berth("update", "--memory", "24m", "--memory-swap", "24m", "--annotation", "team=blue", "kept")
            assert.notStrictEqual((yield* berth(...fill)).stdout, "0\n")
            const refused = yield* berth("update", "--memory", "32m", "kept")
            assert.deepStrictEqual(
              [refused.code, refused.stderr],
              [1, "berth: memory.limit: 33554432 is more than memory.swap (25165824); change both at once\n"]
            )
          })
        )
        const berth = words(yield* served)
        yield* Effect.addFinalizer(() => Effect.ignore(berth("rm", "-f", "kept")))
        const { annotations, resources } = shown((yield* berth("update", "--json", "kept")).stdout)
        assert.deepStrictEqual([resources.memory?.limit, annotations], [25_165_824, { team: "blue" }])
        const inspected = yield* berth("inspect", "--json", "kept")
        assert.include(inspected.stdout, `"limit":25165824`)
        assert.include(inspected.stdout, `"annotations":{"team":"blue"}`)
      }).pipe(Effect.scoped)
    )

    it.effect("a runtime that hangs: kill and delete --force answer, and the asker learns why", () =>
      Effect.gen(function* () {
        const daemon = yield* served
        const berth = words(daemon)
        yield* running(berth, "hang")
        const update = yield* start(["update", "--pids-limit", "9", "hang"], { address: daemon.address })
        while (processesWith(mark).length === 0) yield* Effect.sleep("20 millis")
        assert.strictEqual((yield* berth("ps", "--json")).code, 0)
        assert.strictEqual((yield* berth("kill", "-s", "CONT", "hang")).code, 0)
        assert.strictEqual((yield* berth("rm", "-f", "hang")).code, 0)
        assert.notStrictEqual((yield* finish(update)).code, 0)
        assert.deepStrictEqual(processesWith(mark), [])
      }).pipe(Effect.scoped)
    )
  })
}
