/** Throw-away copies of a root filesystem: nobody else sees what is written to one, and nothing of it is left, whatever dies meanwhile. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schedule } from "effect"
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as FileTaskDirectory from "../../src/layers/FileTaskDirectory.ts"
import { ContainerId, Namespace } from "../../src/schema/Ids.ts"
import type { OciSpec } from "../../src/schema/OciSpec.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import { run } from "../cli/support/Command.ts"
import type { Daemon } from "../support/daemon.ts"
import { daemon, shimsOf } from "../support/daemon.ts"
import { temporaryFolder } from "../support/folder.ts"
import { canRunContainers, installed, rootfsOfFile } from "../support/rootfs.ts"

class Place extends Context.Service<Place, Daemon>()("test/Place") {}

const rootfs = canRunContainers ? rootfsOfFile() : "/"
const flags = ["--rootfs", rootfs, "--overlay"]

const mounted = (folder: string) =>
  readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes(` ${folder}`))
const tasksIn = (state: string) => (existsSync(join(state, "tasks")) ? readdirSync(join(state, "tasks")) : [])

const nothingLeft = Effect.flatMap(Place, ({ state }) =>
  Effect.sync(() => [mounted(state), tasksIn(state)]).pipe(
    Effect.repeat({
      until: ([a = [], b = []]) => a.length + b.length === 0,
      schedule: Schedule.spaced("20 millis"),
      times: 100
    }),
    Effect.map((left) => assert.deepStrictEqual(left, [[], []]))
  )
)

if (canRunContainers) {
  for (const runtime of ["runc", "crun"].filter((name) => installed(name) !== null)) {
    layer(Layer.effect(Place, daemon({ runtime })), { excludeTestServices: true, timeout: "60 seconds" })(
      `--overlay on ${runtime}`,
      (it) => {
        const berth = (...words: ReadonlyArray<string>) =>
          Effect.flatMap(Place, ({ address }) => run(words, { address }))

        it.effect("keeps writes and deletions to itself", () =>
          Effect.gen(function* () {
            const script = "echo mine > /made; rm /etc/hosts; mkdir /dir; cat /made; ls /etc/hosts"
            const two = yield* Effect.all(
              [berth("run", ...flags, "sh", "-c", script), berth("run", ...flags, "sh", "-c", script)],
              {
                concurrency: 2
              }
            )
            for (const { code, stdout } of two) assert.deepStrictEqual([code, stdout], [1, "mine\n"])
            assert.deepStrictEqual(
              ["made", "dir", "etc/hosts"].map((name) => existsSync(join(rootfs, name))),
              [false, false, true]
            )
            yield* nothingLeft
          })
        )

        it.effect("has the rights of the folder beneath, for other users too", () =>
          Effect.gen(function* () {
            const mode = (statSync(rootfs).mode & 0o777).toString(8)
            assert.strictEqual((yield* berth("run", ...flags, "stat", "-c", "%a %u", "/")).stdout, `${mode} 0\n`)
          })
        )

        it.effect("lasts as long as the task, and goes with it", () =>
          Effect.gen(function* () {
            const { state } = yield* Place
            yield* berth("run", "-d", "--id", "lasts", ...flags, "sh", "-c", "echo one > /made; sleep 1000")
            const read = berth("exec", "lasts", "cat", "/made").pipe(
              Effect.repeat({ until: ({ code }) => code === 0, schedule: Schedule.spaced("20 millis"), times: 50 })
            )
            assert.strictEqual((yield* read).stdout, "one\n")
            yield* berth("kill", "-s", "9", "lasts")
            yield* berth("wait", "lasts")
            assert.isAbove(mounted(state).length, 0)
            assert.strictEqual((yield* berth("rm", "lasts")).code, 0)
            yield* nothingLeft
          })
        )

        it.effect("survives the shim, and leaves nothing after it", () =>
          Effect.gen(function* () {
            const { state } = yield* Place
            yield* berth("run", "-d", "--id", "orphan", ...flags, "sleep", "1000")
            for (const pid of shimsOf(state)) process.kill(pid, "SIGKILL")
            const removed = berth("rm", "-f", "orphan").pipe(
              Effect.repeat({ until: ({ code }) => code === 0, schedule: Schedule.spaced("100 millis"), times: 50 })
            )
            assert.strictEqual((yield* removed).code, 0)
            yield* nothingLeft
          })
        )

        it.effect("says what it cannot copy", () =>
          Effect.gen(function* () {
            const gone = join(rootfs, `gone-${runtime}`)
            mkdirSync(gone)
            const inspect = yield* berth("create", "--id", "late", "--rootfs", gone, "--overlay", "sh")
            assert.deepStrictEqual([inspect.code, /"sh".*not found|not found/.test(inspect.stderr)], [127, true])
            const remote = yield* berth("run", "--rootfs", "/dev/null", "--overlay", "sh")
            assert.deepStrictEqual([remote.code, /is not a folder/.test(remote.stderr)], [1, true])
            yield* nothingLeft
          })
        )
      }
    )
  }
}

describe.skipIf(!canRunContainers)("the folder of a task with a copy on write", () => {
  const namespace = Namespace.make("default")
  const id = ContainerId.make("web")
  const ref = { namespace, containerId: id, execId: null }
  const specOf = (lower: string): OciSpec => ({
    ociVersion: "1.0.2",
    root: { path: "rootfs" },
    annotations: { "berth.rootfs.overlay": lower }
  })
  const on = <A, E>(state: string, body: Effect.Effect<A, E, TaskDirectory>) =>
    Effect.provide(body, FileTaskDirectory.layer({ state }))

  it.live("is made and removed, also where a host died in between, with any name", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [lower, state] = [join(folder, "a, b:c\\d"), join(folder, "state, x:y")]
      for (const path of [lower, state]) mkdirSync(path)
      writeFileSync(join(lower, "file"), "beneath\n")
      const bundle = yield* on(
        state,
        Effect.flatMap(TaskDirectory, (folders) => folders.create(namespace, id, specOf(lower)))
      )
      writeFileSync(join(bundle, "rootfs", "file"), "above\n")
      assert.strictEqual(readFileSync(join(lower, "file"), "utf8"), "beneath\n")
      // The next host finds no record of it.
      yield* on(
        state,
        Effect.flatMap(TaskDirectory, (folders) => folders.list)
      )
      assert.deepStrictEqual(readdirSync(bundle), ["config.json"])
      yield* on(
        state,
        Effect.flatMap(TaskDirectory, (folders) => folders.remove(ref))
      )
      assert.isFalse(existsSync(bundle))
      assert.strictEqual(readFileSync(join(lower, "file"), "utf8"), "beneath\n")
    })
  )

  it.live("is refused for what is no folder, and then not there", () =>
    Effect.gen(function* () {
      const state = yield* temporaryFolder
      for (const lower of ["/nowhere/at/all", "/dev/null", "relative", `/${"x/".repeat(2500)}`]) {
        const error = yield* Effect.flip(
          on(
            state,
            Effect.flatMap(TaskDirectory, (folders) => folders.create(namespace, id, specOf(lower)))
          )
        )
        assert.oneOf(error._tag, ["InvalidArgument", "Unavailable"], lower)
        assert.deepStrictEqual(readdirSync(join(state, "tasks/default")), [])
      }
    })
  )

  it.live("writes to memory where the state folder cannot hold a copy", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const part = (name: string) => {
        mkdirSync(join(folder, name))
        return join(folder, name)
      }
      const [lower, upper, work, state] = ["lower", "upper", "work", "state"].map(part)
      writeFileSync(join(lower, "file"), "beneath\n")
      const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`
      yield* Effect.acquireRelease(
        Effect.sync(() => execFileSync("mount", ["-t", "overlay", "overlay", "-o", options, state])),
        () => Effect.sync(() => execFileSync("umount", [state]))
      )
      yield* on(
        state,
        Effect.gen(function* () {
          const folders = yield* TaskDirectory
          const bundle = yield* folders.create(namespace, id, specOf(lower))
          writeFileSync(join(bundle, "rootfs", "file"), "above\n")
          yield* folders.remove(ref)
          assert.isFalse(existsSync(bundle))
        })
      )
      assert.strictEqual(readFileSync(join(lower, "file"), "utf8"), "beneath\n")
      assert.strictEqual(mounted(state).length, 1)
    })
  )
})
