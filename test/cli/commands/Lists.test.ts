import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Event } from "../../../src/schema/Events.ts"
import { ConsumerName, RuntimeName, Seq } from "../../../src/schema/Ids.ts"
import { FakeDaemon, nobody } from "../support/FakeDaemon.ts"
import { berth } from "../support/Harness.ts"
import { arrayIn, objectIn, objectsIn, valueIn } from "../support/Read.ts"

/** `web` runs, `old` has ended with 3, `idle` has no task. */
const three = Effect.gen(function* () {
  yield* TestClock.setTime(DateTime.toEpochMillis(DateTime.makeUnsafe("2026-01-01T00:02:30Z")))
  const daemon = new FakeDaemon()
  yield* berth(["run", "-d", "--id", "web", "--label", "app=shop", "--rootfs", "/", "sleep", "100"], { daemon })
  yield* berth(["run", "-d", "--id", "old", "--rootfs", "/", "exit", "3"], { daemon })
  yield* berth(["create", "--id", "idle", "--rootfs", "/", "sleep"], { daemon })
  daemon.entries.get("idle")!.task = null
  return daemon
})

describe("berth ps", () => {
  it.effect("is a table of what runs", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* berth(["ps"], { daemon: yield* three })
      assert.strictEqual(code, 0)
      assert.strictEqual(
        stdout,
        [
          "ID    STATUS    PID   RUNTIME   CREATED         COMMAND",
          "web   running   101   fake      2 minutes ago   sleep 100",
          ""
        ].join("\n")
      )
    })
  )

  it.effect("has with -a everything that exists", () =>
    Effect.gen(function* () {
      const { stdout } = yield* berth(["ps", "-a"], { daemon: yield* three })
      assert.deepStrictEqual(
        stdout
          .trim()
          .split("\n")
          .map((line) => line.split(/ {2,}/).slice(0, 3)),
        [
          ["ID", "STATUS", "PID"],
          ["idle", "-", "-"],
          ["old", "stopped (3)", "-"],
          ["web", "running", "101"]
        ]
      )
    })
  )

  it.effect("is one JSON array of tasks with their containers", () =>
    Effect.gen(function* () {
      const daemon = yield* three
      const { stderr, stdout } = yield* berth(["ps", "--json"], { daemon })
      assert.strictEqual(stderr, "")
      assert.strictEqual(stdout.split("\n").length, 2)
      const tasks = arrayIn(stdout)
      assert.strictEqual(tasks.length, 1)
      assert.deepInclude(tasks[0], {
        id: "web",
        containerId: "web",
        status: "running",
        pid: 101,
        exitStatus: null,
        exitedAt: null
      })
      assert.deepInclude(tasks[0]?.["container"], { id: "web", labels: { app: "shop" } })
      const all = arrayIn((yield* berth(["ps", "-a", "--json"], { daemon })).stdout)
      assert.deepInclude(all[0], { id: "idle", status: null, pid: null, exitStatus: null })
      assert.deepStrictEqual(
        all.map((row) => Object.keys(row).toSorted()),
        [...all].fill(tasks[0] ?? {}).map((row) => Object.keys(row).toSorted())
      )
    })
  )

  it.effect("passes filters on and colours only where it may", () =>
    Effect.gen(function* () {
      const daemon = yield* three
      const { stdout } = yield* berth(["ps", "--filter", "status==running", "--filter", "id==x"], {
        daemon,
        colors: true
      })
      assert.deepStrictEqual(daemon.requests("tasks.list"), [{ filters: ["status==running", "id==x"] }])
      assert.include(stdout, "\u001b[32mrunning\u001b[0m")
    })
  )
})

describe("berth inspect", () => {
  it.effect("shows container, task and processes", () =>
    Effect.gen(function* () {
      const daemon = yield* three
      yield* berth(["exec", "-d", "--id", "worker", "web", "sleep"], { daemon })
      const { stdout } = yield* berth(["inspect", "web", "--json"], { daemon })
      const found = objectIn(stdout)
      assert.deepInclude(found["container"], { id: "web", namespace: "default" })
      assert.deepInclude(found["task"], { id: "web", status: "running" })
      assert.deepInclude(Array.isArray(found["processes"]) && found["processes"][0], {
        id: "worker",
        status: "running"
      })
      const people = yield* berth(["inspect", "idle"], { daemon })
      assert.include(people.stdout, `\n  "task": null,\n`)
    })
  )
})

describe("berth containers", () => {
  it.effect("lists, labels and removes", () =>
    Effect.gen(function* () {
      const daemon = yield* three
      const listed = yield* berth(["containers", "ls"], { daemon })
      assert.match(listed.stdout, /^ID {5}RUNTIME {3}CREATED {9}LABELS\nweb {4}fake {6}2 minutes ago {3}app=shop\n/)
      const labelled = yield* berth(["containers", "label", "web", "tier=front", "a=b=c", "--remove", "app"], {
        daemon
      })
      assert.strictEqual(labelled.stdout, "tier=front,a=b=c\n")
      assert.deepStrictEqual(daemon.requests("containers.update"), [
        { id: "web", patch: { labels: { app: null, tier: "front", a: "b=c" } } }
      ])
      const shown = yield* berth(["containers", "inspect", "web", "--json"], { daemon })
      assert.deepInclude(objectIn(shown.stdout), { id: "web", labels: { tier: "front", a: "b=c" } })
      assert.strictEqual((yield* berth(["containers", "rm", "idle"], { daemon })).stdout, "idle\n")
    })
  )

  it.effect("refuses malformed labels and nothing to do", () =>
    Effect.gen(function* () {
      const malformed = yield* berth(["containers", "label", "web", "=x"])
      assert.strictEqual(malformed.code, 2)
      assert.match(
        malformed.stderr,
        /^berth: containers label: <key=value>: expected KEY=VALUE, got "=x" \(see berth containers label --help\)\n$/
      )
      assert.strictEqual((yield* berth(["containers", "label", "web"])).code, 2)
      assert.strictEqual((yield* berth(["containers"])).code, 2)
    })
  )
})

describe("berth processes and pids", () => {
  it.effect("list what exec added, and every pid", () =>
    Effect.gen(function* () {
      const daemon = yield* three
      yield* berth(["exec", "-d", "--id", "worker", "web", "sleep", "9"], { daemon })
      const table = (yield* berth(["processes", "web"], { daemon })).stdout
      assert.deepStrictEqual(table.split("\n")[1]?.split(/ {2,}/), [
        "worker",
        "running",
        "500",
        "2 minutes ago",
        "sleep 9"
      ])
      assert.strictEqual((yield* berth(["pids", "-q", "web"], { daemon })).stdout, "101\n102\n")
      assert.deepStrictEqual(valueIn((yield* berth(["pids", "web", "--json"], { daemon })).stdout), [101, 102])
    })
  )
})

describe("berth events", () => {
  const decode = Schema.decodeUnknownSync(Schema.Struct({ since: Schema.DateTimeUtc }))
  const event = Schema.decodeUnknownSync(Event)
  const log = [
    event({
      seq: 7,
      time: "2026-01-01T00:00:00.000Z",
      namespace: "default",
      topic: "/tasks/start",
      event: { containerId: "web", pid: 9 }
    }),
    event({
      seq: 8,
      time: "2026-01-01T00:00:01.000Z",
      namespace: "default",
      topic: "/containers/delete",
      event: { id: "web" }
    })
  ]

  it.effect("prints one document a line", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      daemon.events = log
      const { stdout } = yield* berth(["events", "--no-follow", "--json", "--filter", "topic==/tasks/start"], {
        daemon
      })
      assert.deepStrictEqual(
        objectsIn(stdout),
        log.map((one) => Schema.encodeSync(Event)(one))
      )
      assert.deepStrictEqual(daemon.requests("events.subscribe"), [{ filters: ["topic==/tasks/start"], follow: false }])
    })
  )

  it.effect("prints a line for people", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      daemon.events = log
      const { stdout } = yield* berth(["events"], { daemon })
      assert.strictEqual(
        stdout,
        "7  2026-01-01T00:00:00.000Z  /tasks/start         web  pid=9\n8  2026-01-01T00:00:01.000Z  /containers/delete   web\n"
      )
    })
  )

  it.effect("begins after a sequence number, at a time or some time ago", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(DateTime.toEpochMillis(DateTime.makeUnsafe("2026-01-01T00:10:00Z")))
      const daemon = new FakeDaemon()
      for (const since of ["42", "2026-01-01T00:00:00Z", "10m"]) yield* berth(["events", "--since", since], { daemon })
      const [first, ...times] = daemon.requests("events.subscribe")
      assert.deepStrictEqual(first, { after: 42, filters: [], follow: true })
      assert.deepStrictEqual(
        times.map((request) => DateTime.formatIso(decode(request).since)),
        ["2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z"]
      )
      assert.strictEqual((yield* berth(["events", "--since", "yesterday"])).code, 2)
    })
  )

  it.effect("says what is printed, where the daemon keeps the place", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      daemon.events = log
      yield* berth(["events", "--no-follow", "--consumer", "billing"], { daemon })
      assert.deepStrictEqual(daemon.requests("events.subscribe"), [{ consumer: "billing", filters: [], follow: false }])
      assert.deepStrictEqual(daemon.requests("events.acknowledge"), [{ consumer: "billing", seq: 8 }])
      assert.strictEqual((yield* berth(["events", "--consumer", "../x"], { daemon })).code, 2)
    })
  )

  it.effect("ends quietly when nobody reads", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      daemon.events = log
      const { code, stderr, stdout } = yield* berth(["events"], { daemon, closeAfter: 1 })
      assert.deepStrictEqual([code, stderr, stdout.split("\n").length], [0, "", 2])
    })
  )
})

describe("berth runtimes, info and version", () => {
  const driver = { binary: null, version: null, capabilities: [], problem: null, mend: null, default: false } as const
  const drivers = [
    {
      ...driver,
      name: RuntimeName.make("crun"),
      available: false,
      problem: "not installed",
      mend: "apt-get install crun"
    },
    {
      ...driver,
      name: RuntimeName.make("runc"),
      available: true,
      default: true,
      version: "1.1.5",
      capabilities: ["isolation", "exec", "pause"] as const
    },
    { ...driver, name: RuntimeName.make("fake"), available: true, capabilities: ["exec"] as const }
  ]

  it.effect("show the drivers, and what is wrong with them", () =>
    Effect.gen(function* () {
      const daemon = new FakeDaemon()
      daemon.drivers = drivers
      const { stdout } = yield* berth(["runtimes"], { daemon })
      assert.deepStrictEqual(
        stdout
          .trim()
          .split("\n")
          .map((line) => line.split(/ {2,}/)),
        [
          ["NAME", "USED FOR", "WORKS", "VERSION", "BINARY", "CAPABILITIES"],
          ["crun", "no", "-", "-", "not installed; apt-get install crun"],
          ["runc", "auto", "yes", "1.1.5", "-", "isolation,exec,pause"],
          ["fake", "default", "yes", "-", "-", "NOT ISOLATED,exec"]
        ]
      )
      const documents = arrayIn((yield* berth(["runtimes", "--json"], { daemon })).stdout)
      assert.deepInclude(documents[1], { name: "runc", default: true, daemonDefault: false })
      assert.deepInclude(documents[2], { name: "fake", default: false, daemonDefault: true })
    })
  )

  it.effect("show the daemon", () =>
    Effect.gen(function* () {
      assert.match((yield* berth(["info"])).stdout, /^Version: {9}9\.9\.9\nProcess: {9}42\n/)
      assert.deepInclude(objectIn((yield* berth(["info", "--json"])).stdout), { pid: 42, cgroup: "v2" })
      assert.match((yield* berth(["version"])).stdout, /^berth \d+\.\d+\.\d+\ndaemon 9\.9\.9\n$/)
      const daemon = new FakeDaemon()
      daemon.failure = nobody
      const { code, stdout } = yield* berth(["version", "--json"], { daemon })
      assert.strictEqual(code, 0)
      assert.deepInclude(objectIn(stdout), { server: null })
    })
  )
})

describe("berth consumers", () => {
  it.effect("lists readers with their places, and forgets them", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(DateTime.toEpochMillis(DateTime.makeUnsafe("2026-01-01T00:10:00Z")))
      const daemon = new FakeDaemon()
      const updatedAt = DateTime.makeUnsafe("2026-01-01T00:00:00Z")
      daemon.consumers = [{ name: ConsumerName.make("billing"), seq: Seq.make(42), updatedAt }]
      const table = yield* berth(["consumers", "ls"], { daemon })
      assert.match(table.stdout, /^NAME +DONE UP TO +SINCE\nbilling +42 +10 minutes ago\n$/)
      assert.deepStrictEqual(JSON.parse((yield* berth(["consumers", "ls", "--json"], { daemon })).stdout), [
        { name: "billing", seq: 42, updatedAt: "2026-01-01T00:00:00.000Z" }
      ])
      assert.strictEqual((yield* berth(["consumers", "rm", "billing", "audit"], { daemon })).stdout, "billing\naudit\n")
      assert.deepStrictEqual(daemon.requests("events.forget"), ["billing", "audit"])
    })
  )
})
