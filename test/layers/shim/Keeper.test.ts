import { assert, it } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as FileTaskDirectory from "../../../src/layers/FileTaskDirectory.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import * as Proc from "../../../src/layers/posix/Proc.ts"
import * as Keeper from "../../../src/layers/shim/Keeper.ts"
import type { HostedRecord } from "../../../src/schema/Host.ts"
import { ContainerId, ExecId, Namespace, RuntimeName } from "../../../src/schema/Ids.ts"
import type { Exit } from "../../../src/schema/Process.ts"
import { defaultStdio } from "../../../src/schema/Process.ts"
import { TaskDirectory } from "../../../src/services/TaskDirectory.ts"
import { withoutDescriptors } from "../../support/noDescriptors.ts"

const namespace = Namespace.make("default")
const containerId = ContainerId.make("web")

/** What this process has open of those names. */
const open = (text: string) =>
  readdirSync("/proc/self/fd")
    .flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/self/fd/${fd}`)]
      } catch {
        return []
      }
    })
    .filter((target) => target.includes(text))

const state = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "berth-keeper-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)
/** A process that ends with 7 when it is asked to. */
const child = Effect.acquireRelease(
  Effect.sync(() => spawn("/bin/sh", ["-c", "read line; exit 7"], { stdio: ["pipe", "ignore", "ignore"] })),
  (child) => Effect.sync(() => child.kill("SIGKILL"))
)

it.live("holds from the first moment what the records of a state folder name, and nothing of the rest", () =>
  Effect.gen(function* () {
    const folder = yield* state
    const tasks = join(folder, "tasks", "default")
    const process = yield* child
    const pid = process.pid ?? 0
    const startTime = (yield* Proc.stat(pid)).pipe((found) => (found._tag === "Some" ? found.value.startTime : ""))
    const identity = { pid, startTime, bootId: yield* Proc.bootId }
    for (const path of ["web/exec/job", "half-made", "damaged"]) mkdirSync(join(tasks, path), { recursive: true })
    execFileSync(
      "mkfifo",
      ["web/stdout", "web/stderr", "web/exec/job/stdout", "half-made/stdout"].map((path) => join(tasks, path))
    )
    writeFileSync(join(tasks, "damaged", "init.json"), "{")
    const init: HostedRecord = {
      ref: { namespace, containerId, execId: null },
      runtime: RuntimeName.make("auto"),
      identity,
      started: true,
      paused: false,
      stdio: defaultStdio,
      logFile: null,
      exit: null
    }
    const ended = { exitStatus: 0, exitedAt: yield* DateTime.now, source: "reaped" as const }
    const exit = { ...ended, id: "job", pid: 1, oomKilled: false, oomCount: null, memoryPeak: null }
    yield* Effect.gen(function* () {
      const directory = yield* TaskDirectory
      yield* directory.save(init)
      yield* directory.save({ ...init, ref: { ...init.ref, execId: ExecId.make("job") }, exit })
    }).pipe(Effect.provide(FileTaskDirectory.layer({ state: folder })))

    const late: Exit = { ...ended, id: "web", pid, oomKilled: false, oomCount: null, memoryPeak: null }
    const unknown = { ...late, exitStatus: 255, source: "unknown" as const }
    const cut = { ...late, truncated: true as const }
    const kernel = { ...late, exitStatus: 7, source: "kernel" as const }
    const toldOf = { ref: init.ref, unheld: true }
    yield* Effect.gen(function* () {
      const keeper = yield* Keeper.make({ state: folder })
      assert.deepStrictEqual(open(folder).sort(), [join(tasks, "web/stderr"), join(tasks, "web/stdout")])
      assert.deepStrictEqual(yield* keeper.settle({ ...toldOf, exit: cut, unheld: false }), cut)
      assert.deepStrictEqual(open(folder), [])
    }).pipe(Effect.scoped, Effect.provide(Libc.layer))
    yield* Effect.gen(function* () {
      const keeper = yield* Keeper.make({ state: folder })
      assert.deepStrictEqual(yield* keeper.settle({ ...toldOf, exit: cut }), late)
    }).pipe(Effect.scoped, Effect.provide(Libc.layer))
    yield* Effect.gen(function* () {
      const keeper = yield* Keeper.make({ state: folder })
      process.stdin?.end("\n")
      yield* Effect.callback<void>((resume) => void process.once("exit", () => resume(Effect.void)))
      // Waited for by somebody else, and still known.
      const told = { ...init, exit: unknown, unheld: true }
      assert.deepStrictEqual(yield* keeper.reviewAll([told]), [{ ...told, exit: kernel }])
      assert.deepStrictEqual([open(folder), open("pidfd")], [[], []])
      // A second host tells it again; and an answer that comes late does not bring it back.
      assert.deepStrictEqual(yield* keeper.reviewAll([told]), [{ ...told, exit: kernel }])
      yield* keeper.keep({ ...init, heldByShim: true })
      assert.deepStrictEqual(open(folder), [])
      yield* keeper.reviewAll([])
      assert.deepStrictEqual(yield* keeper.settle({ ...toldOf, exit: unknown }), unknown)
    }).pipe(Effect.scoped, Effect.provide(Libc.layer))
    // To whom it had ended already its last output may be gone.
    yield* Effect.gen(function* () {
      const keeper = yield* Keeper.make({ state: folder })
      assert.deepStrictEqual(yield* keeper.settle({ ...toldOf, exit: cut }), cut)
    }).pipe(Effect.scoped, Effect.provide(Libc.layer))
    assert.deepStrictEqual(open(folder), [])
  }).pipe(Effect.scoped)
)

it.live("lets go of a container with all its execs, and of no other one", () =>
  Effect.gen(function* () {
    const folder = yield* state
    const { pid = 0 } = yield* child
    const stat = yield* Effect.flatMap(Proc.stat(pid), Effect.fromOption)
    const identity = { pid, startTime: stat.startTime, bootId: yield* Proc.bootId }
    const refs = ["web", "web-2"].flatMap((name) =>
      [null, ExecId.make("one"), ExecId.make("two")].map((execId) => ({
        namespace,
        containerId: ContainerId.make(name),
        execId
      }))
    )
    const paths = refs.map((ref) => FileTaskDirectory.pathOf(folder, ref))
    for (const path of paths) mkdirSync(path, { recursive: true })
    const fifos = paths.map((path) => join(path, "stdout"))
    execFileSync("mkfifo", fifos)
    yield* Effect.gen(function* () {
      const keeper = yield* Keeper.make({ state: folder })
      for (const ref of refs) yield* keeper.keep({ ref, identity, stdio: defaultStdio, heldByShim: true })
      assert.deepStrictEqual([open(folder).sort(), open("pidfd").length], [fifos.toSorted(), refs.length])
      yield* keeper.releaseContainer({ namespace, containerId })
      assert.deepStrictEqual([open(folder).sort(), open("pidfd").length], [fifos.slice(3).sort(), 3])
    }).pipe(Effect.scoped, Effect.provide(Libc.layer))
  }).pipe(Effect.scoped)
)

it.live("holds nothing where descriptors are short, claims nothing of it, and holds it when it hears of it again", () =>
  Effect.gen(function* () {
    const folder = yield* state
    const { pid = 0 } = yield* child
    const stat = yield* Effect.flatMap(Proc.stat(pid), Effect.fromOption)
    const identity = { pid, startTime: stat.startTime, bootId: yield* Proc.bootId }
    const ref = { namespace, containerId, execId: null }
    const path = FileTaskDirectory.pathOf(folder, ref)
    mkdirSync(path, { recursive: true })
    execFileSync("mkfifo", [join(path, "stdout"), join(path, "stderr")])
    const living = { ref, identity, stdio: defaultStdio }
    const record: HostedRecord = {
      ...living,
      runtime: RuntimeName.make("auto"),
      started: true,
      paused: false,
      logFile: null,
      exit: null
    }
    yield* Effect.gen(function* () {
      const keeper = yield* Keeper.make({ state: folder })
      yield* withoutDescriptors(keeper.keep({ ...living, heldByShim: true }))
      assert.deepStrictEqual([open(folder), open("pidfd")], [[], []])
      const ended = {
        exitStatus: 0,
        exitedAt: yield* DateTime.now,
        source: "reaped" as const,
        truncated: true as const
      }
      const exit: Exit = { ...ended, id: "web", pid, oomKilled: false, oomCount: null, memoryPeak: null }
      assert.isTrue((yield* keeper.settle({ ref, exit, unheld: true })).truncated)
      yield* keeper.release(ref)
      yield* keeper.reviewAll([record])
      assert.deepStrictEqual([open(folder).length, open("pidfd").length], [2, 1])
    }).pipe(Effect.scoped, Effect.provide(Libc.layer))
  }).pipe(Effect.scoped)
)

it.live("closes nothing twice: what is released when it has ended may be a descriptor of somebody else", () =>
  Effect.gen(function* () {
    const folder = yield* state
    const { pid = 0 } = yield* child
    const stat = yield* Effect.flatMap(Proc.stat(pid), Effect.fromOption)
    const identity = { pid, startTime: stat.startTime, bootId: yield* Proc.bootId }
    const ref = { namespace, containerId, execId: null }
    const path = FileTaskDirectory.pathOf(folder, ref)
    mkdirSync(path, { recursive: true })
    execFileSync("mkfifo", [join(path, "stdout"), join(path, "stderr")])
    const keeper = yield* Effect.scoped(
      Effect.tap(Keeper.make({ state: folder }), ({ keep }) =>
        keep({ ref, identity, stdio: defaultStdio, heldByShim: true })
      )
    ).pipe(Effect.provide(Libc.layer))
    const others = [1, 2, 3].map(() => openSync(folder, "r"))
    yield* keeper.release(ref)
    assert.lengthOf(open(folder), others.length)
    others.forEach((fd) => closeSync(fd))
  }).pipe(Effect.scoped)
)
