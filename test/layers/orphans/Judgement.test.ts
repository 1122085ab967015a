/** What is whose, case by case: in doubt a thing is somebody's. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime } from "effect"
import { judge } from "../../../src/layers/orphans/Judgement.ts"
import type { Recorded, Remain } from "../../../src/layers/orphans/Remains.ts"
import type { HostedRecord } from "../../../src/schema/Host.ts"
import { ContainerId, Namespace, RuntimeName } from "../../../src/schema/Ids.ts"
import type { OrphanKind } from "../../../src/schema/Orphan.ts"
import { defaultStdio } from "../../../src/schema/Process.ts"

const owner = { namespace: Namespace.make("default"), containerId: ContainerId.make("web") }
const key = "default/web"

const alive: HostedRecord = {
  ref: { ...owner, execId: null },
  runtime: RuntimeName.make("runc"),
  identity: { pid: 7, startTime: "1", bootId: "b" },
  started: true,
  paused: false,
  stdio: defaultStdio,
  logFile: null,
  exit: null
}
const ended: HostedRecord = {
  ...alive,
  exit: {
    id: "web",
    pid: 7,
    exitStatus: 0,
    exitedAt: DateTime.makeUnsafe(0),
    source: "reaped",
    oomKilled: false,
    oomCount: null,
    memoryPeak: null
  }
}

const rest = ["runtime", "mount", "cgroup", "log"] as const
/** All that a container can leave; without a record there is no task folder at all. */
const remains = (folder: OrphanKind | null, record: Recorded): ReadonlyArray<Remain> => [
  ...rest.map((kind) => ({ kind, owner, path: `/${kind}` })),
  ...(folder === null ? [] : [{ kind: folder, owner, path: "/tasks", record }])
]

type Where = "containers" | "tasks" | "held"
const of = (folder: OrphanKind | null, record: Recorded, ...known: ReadonlyArray<Where>) => {
  const set = (where: Where) => new Set(known.includes(where) ? [key] : [])
  const all = { containers: set("containers"), tasks: set("tasks"), held: set("held") }
  return judge(remains(folder, record), all).map(({ remain, removal }) => `${remain.kind} ${removal}`)
}

describe("what is left of a container", () => {
  const start = ["runtime start", "mount start", "cgroup start"]
  const repair = ["runtime repair", "mount repair", "cgroup repair", "log repair"]

  it("is nobody's where no task, host or record has it; its log waits for who asks", () => {
    assert.deepStrictEqual(of(null, "none"), [...start, "log repair"])
    assert.deepStrictEqual(of("folder", "none"), [...start, "log repair", "folder start"])
  })

  it("leaves the log to a container that is there without a task", () => {
    assert.deepStrictEqual(of(null, "none", "containers"), start)
  })

  it("is the task's where there is one, whatever else there is", () => {
    for (const record of ["none", alive, ended] as const) {
      assert.deepStrictEqual(of(record === "none" ? "folder" : "container", record, "containers", "tasks"), [])
    }
    assert.deepStrictEqual(of("record", "damaged", "containers", "tasks"), ["record never"])
  })

  it("is a host's while that makes it, or holds what it has no readable record of", () => {
    assert.deepStrictEqual(of("folder", "none", "held"), [])
    assert.deepStrictEqual(of("record", "damaged", "held"), [])
  })

  it("is not touched while it runs, though no task has it", () => {
    assert.deepStrictEqual(of("container", alive), ["container never"])
    assert.deepStrictEqual(of("container", alive, "held"), ["container never"])
  })

  it("goes where it has ended or cannot be read, but only when a repair is asked for", () => {
    assert.deepStrictEqual(of("container", ended, "held"), [...repair, "container repair"])
    assert.deepStrictEqual(of("record", "damaged"), [...repair, "record repair"])
  })

  it("of nobody at all is a matter of repair", () => {
    const socket: Remain = { kind: "socket", owner: null, path: "/s" }
    const known = { containers: new Set<string>(), tasks: new Set<string>(), held: new Set<string>() }
    assert.deepStrictEqual(
      judge([socket], known).map(({ removal }) => removal),
      ["repair"]
    )
  })
})
