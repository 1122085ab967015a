/** Cgroups are removed whole or not at all: one with a process anywhere in it keeps even its empty parts. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Children } from "../../src/layers/posix/Children.ts"
import { Libc } from "../../src/layers/posix/Libc.ts"
import * as Leftovers from "../../src/layers/runtime/Leftovers.ts"
import * as Runtimes from "../../src/layers/runtime/Runtimes.ts"
import { RuntimeName } from "../../src/schema/Ids.ts"
import { OciRuntime } from "../../src/services/OciRuntime.ts"
import { temporaryFolder } from "../support/folder.ts"
import { canRunContainers } from "../support/rootfs.ts"
import { stubRuntime, stubTarget } from "../support/stubRuntime.ts"

const name = (suffix: string) => `/berth-test-left-${process.pid}-${suffix}`

/** A group of a hierarchy that runtimes use, removed with the scope. */
const group = (path: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const directory = join(
        existsSync("/sys/fs/cgroup/cgroup.controllers") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids",
        path
      )
      mkdirSync(directory)
      return directory
    }),
    (directory) => Effect.sync(() => existsSync(directory) && rmdirSync(directory))
  )

const sleeper = Effect.acquireRelease(
  Effect.sync(() => spawn("sleep", ["100"], { stdio: "ignore" })),
  (child) =>
    Effect.callback<void>((resume) => {
      if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
      child.once("exit", () => resume(Effect.void))
      child.kill("SIGKILL")
    })
)

describe.skipIf(!canRunContainers)("cgroups that a runtime leaves", () => {
  it.live("go with those below them, and a group beside them of a similar name stays", () =>
    Effect.gen(function* () {
      const parent = yield* group(name("a"))
      const child = yield* group(`${name("a")}/below`)
      const beside = yield* group(name("ab"))
      yield* Leftovers.removeCgroups(Leftovers.cgroupDirectories(name("a")), { patience: false })
      assert.deepStrictEqual([parent, child, beside].map(existsSync), [false, false, true])
    })
  )

  it.live("stay as they are while a process is in one of them", () =>
    Effect.gen(function* () {
      const parent = yield* group(name("b"))
      const empty = yield* group(`${name("b")}/empty`)
      const used = yield* group(`${name("b")}/used`)
      const child = yield* sleeper
      writeFileSync(join(used, "cgroup.procs"), `${child.pid}`)
      // On a clock that stands still nobody can wait.
      const removal = Leftovers.removeCgroups(Leftovers.cgroupDirectories(name("b")), { patience: false })
      yield* Effect.provide(removal, TestClock.layer())
      assert.deepStrictEqual([parent, empty, used].map(existsSync), [true, true, true])
    })
  )

  it.live("are waited for, where their processes are about to end", () =>
    Effect.gen(function* () {
      const parent = yield* group(name("c"))
      const child = yield* sleeper
      writeFileSync(join(parent, "cgroup.procs"), `${child.pid}`)
      yield* Effect.forkChild(
        Effect.andThen(
          Effect.sleep("60 millis"),
          Effect.sync(() => child.kill("SIGKILL"))
        )
      )
      yield* Leftovers.removeCgroups(Leftovers.cgroupDirectories(name("c")), { patience: true })
      assert.isFalse(existsSync(parent))
    })
  )

  it.live("go with a deletion that fails because the runtime knows nothing of the container, if berth named them", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const binary = stubRuntime(join(folder, "stub"), `echo "no such container" >&2; exit 1`)
      const runtimes = Runtimes.layer({ stateDir: join(folder, "state"), runtimes: { stub: { binary } } })
      const driver = yield* OciRuntime.use((all) => all.driver(RuntimeName.make("stub"))).pipe(Effect.provide(runtimes))
      const target = (id: string, cgroupsPath: string) =>
        stubTarget(folder, id, JSON.stringify({ linux: { cgroupsPath } }))
      const own = yield* group(name("d--ns--own"))
      const used = yield* group(name("d--ns--used"))
      const named = yield* group(name("d--ns--other"))
      const child = yield* sleeper
      writeFileSync(join(used, "cgroup.procs"), `${child.pid}`)
      for (const force of [true, false]) {
        yield* driver.delete(target(`user${force}`, name("d--ns--other")), { force })
      }
      yield* driver.delete(target("used", name("d--ns--used")), { force: true })
      yield* driver.delete(target("own", name("d--ns--own")), { force: true })
      assert.deepStrictEqual([own, used, named].map(existsSync), [false, true, true])
    }).pipe(Effect.provide(Layer.provideMerge(Children.layer, Libc.layer)))
  )
})
