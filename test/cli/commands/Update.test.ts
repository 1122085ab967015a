import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { FakeDaemon } from "../support/FakeDaemon.ts"
import { berth } from "../support/Harness.ts"
import { objectIn } from "../support/Read.ts"

const running = Effect.gen(function* () {
  const daemon = new FakeDaemon()
  yield* berth(["run", "-d", "--id", "web", "--rootfs", "/", "sleep"], { daemon })
  return daemon
})

describe("berth update", () => {
  it.effect("asks for what its options say and prints what holds then", () =>
    Effect.gen(function* () {
      const daemon = yield* running
      const words = ["--memory", "64m", "--memory-reservation", "32m", "--memory-swap=-1", "--cpus", "1.5"]
      const more = ["--cpu-shares", "512", "--cpuset-cpus", "0-1", "--cpuset-mems", "0", "--pids-limit=-1"]
      const rates = ["--device-read-bps", "8:0:1m", "--device-read-bps", "8:16:0", "--device-write-iops", "8:0:50"]
      const rest = [
        "--blkio-weight",
        "300",
        "--hugetlb-limit",
        "2MB:4m",
        "--annotation",
        "a=b",
        "--remove-annotation",
        "c"
      ]
      const { code, stderr, stdout } = yield* berth(["update", ...words, ...more, ...rates, ...rest, "web"], { daemon })
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.deepStrictEqual(daemon.requests("tasks.update"), [
        {
          id: "web",
          resources: {
            memory: { limit: 67_108_864, reservation: 33_554_432, swap: -1 },
            cpu: { quota: 150_000, period: 100_000, shares: 512, cpus: "0-1", mems: "0" },
            pids: { limit: -1 },
            blockIO: {
              weight: 300,
              throttleReadBpsDevice: [
                { major: 8, minor: 0, rate: 1_048_576 },
                { major: 8, minor: 16, rate: 0 }
              ],
              throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 50 }]
            },
            hugepageLimits: [{ pageSize: "2MB", limit: 4_194_304 }]
          },
          annotations: { a: "b", c: null }
        }
      ])
      assert.deepStrictEqual(
        stdout.split("\n").map((line) => line.split(/ {3,}/)),
        [
          ["LIMIT", "VALUE"],
          ["memory", "64m"],
          ["memory-reservation", "32m"],
          ["memory-swap", "no limit"],
          ["cpus", "1.5"],
          ["cpu-shares", "512"],
          ["cpu-quota", "150000"],
          ["cpu-period", "100000"],
          ["cpuset-cpus", "0-1"],
          ["cpuset-mems", "0"],
          ["pids-limit", "no limit"],
          ["blkio-weight", "300"],
          ["device-read-bps 8:0", "1m"],
          ["device-read-bps 8:16", "0"],
          ["device-write-iops 8:0", "50"],
          ["hugetlb-limit 2MB", "4m"],
          ["annotation a", "b"],
          [""]
        ]
      )
    })
  )

  it.effect("only shows where nothing is asked for; a document with --json", () =>
    Effect.gen(function* () {
      const daemon = yield* running
      const { stdout } = yield* berth(["update", "--json", "web"], { daemon })
      assert.deepStrictEqual(objectIn(stdout), {
        id: "web",
        resources: { memory: { limit: 67_108_864, swap: -1 }, cpu: { quota: 150_000, period: 100_000 } },
        annotations: {}
      })
      assert.deepStrictEqual(daemon.requests("tasks.update"), [{ id: "web" }])
    })
  )

  for (const [words, problem] of [
    [["--memory", "lots"], "memory"],
    [["--memory", "64m", "--memory-swap", "32m"], "--memory: 67108864 is more than memorySwap (33554432)"],
    [["--cpus", "1", "--cpu-quota", "5000"], "--cpus: says the same as cpuQuota and cpuPeriod"],
    [["--cpu-quota", "999"], "--cpu-quota: must be from 1000"],
    [["--cpu-period", "999"], "--cpu-period: must be from 1000"],
    [["--blkio-weight", "9"], "--blkio-weight: must be from 10 to 1000"],
    [["--cpuset-cpus", "some"], "--cpuset-cpus: expected a list such as 0-2,4"],
    [["--device-read-bps", "8:0"], `--device-read-bps: "8" is not a block device`],
    [["--device-read-bps", "10m"], "--device-read-bps: expected DEVICE:RATE such as /dev/sda:10m"],
    [["--device-write-iops", "8:0:1m"], "--device-write-iops: expected DEVICE:RATE such as /dev/sda:100"],
    [["--device-write-bps", "/dev/null:1m"], `--device-write-bps: "/dev/null" is not a block device`],
    [["--hugetlb-limit", "2m:4m"], "--hugetlb-limit: expected PAGESIZE:SIZE such as 2MB:64m"],
    [["--annotation", "a"], "--annotation: expected KEY=VALUE"],
    [["--annotation", "a=b", "--remove-annotation", "a"], `--remove-annotation: "a" is set by --annotation`]
  ] as const) {
    it.effect(`is misused by ${words.join(" ")}`, () =>
      Effect.gen(function* () {
        const daemon = yield* running
        const { code, stderr } = yield* berth(["update", ...words, "web"], { daemon })
        assert.strictEqual(code, 2)
        assert.include(stderr, problem)
        assert.deepStrictEqual(daemon.requests("tasks.update"), [])
      })
    )
  }

  it.effect("says what is not there", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* berth(["update", "--memory", "64m", "nope"], { daemon: yield* running })
      assert.deepStrictEqual([code, stderr.split(":")[0]], [1, "berth"])
    })
  )
})
