/** A runtime that outlives daemon and shim, which called it: what it was about to do is not done behind the back of the next ones. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { randomUUID } from "node:crypto"
import { existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { ContainerId, Containers, Spec, Tasks } from "../../src/index.ts"
import { folders, life, shimsOf } from "../support/daemon.ts"
import { cgroupsOf, filesWith, processesWith } from "../support/host.ts"
import { canRunContainers, installed, rootfsOfFile } from "../support/rootfs.ts"
import { writeScript } from "../support/stubRuntime.ts"

const rootfs = rootfsOfFile()

/** The runtime, except that a pause takes its time: it says when it begins, and acts after so many seconds. */
const slow = (binary: string, began: string, seconds: number) => `
case " $* " in
  *" pause "*) echo > ${began}; sleep ${seconds} ;;
esac
exec ${binary} "$@"`

describe.skipIf(!canRunContainers)("a pause that outlives daemon and shim", () => {
  for (const runtime of ["runc", "crun"]) {
    // The next daemon takes some half a second. What is still at work a second after that is ended.
    for (const [seconds, what] of [
      [1.2, "is waited for"],
      [4, "is ended where it takes too long"]
    ] as const) {
      it.live(
        `${what}, and the container goes on (${runtime})`,
        () =>
          Effect.gen(function* () {
            const where = yield* folders
            const began = join(where.folder, "began")
            const bin = join(where.folder, "bin")
            mkdirSync(bin)
            writeScript(join(bin, runtime), slow(installed(runtime) ?? runtime, began, seconds))
            const options = { runtime, env: { PATH: `${bin}:${process.env["PATH"] ?? ""}` } }
            const id = ContainerId.make(`outlived-${randomUUID().slice(0, 8)}`)
            const spec = Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args: ["/bin/sleep", "1000"] }))
            yield* life(
              where,
              () =>
                Effect.gen(function* () {
                  const tasks = yield* Tasks
                  yield* (yield* Containers).create({ id, spec })
                  yield* tasks.create({ id })
                  yield* tasks.start(id)
                  yield* Effect.forkChild(Effect.ignore(tasks.pause(id)))
                  while (!existsSync(began)) yield* Effect.sleep("5 millis")
                  for (const shim of shimsOf(where.state)) process.kill(shim, "SIGKILL")
                }),
              options
            )
            yield* life(
              where,
              () =>
                Effect.gen(function* () {
                  const tasks = yield* Tasks
                  // Later than the pause would have come true.
                  yield* Effect.sleep(seconds * 1000)
                  assert.strictEqual((yield* tasks.get(id)).status, "running")
                  const { exit, stage } = yield* tasks.stop({ id, timeoutMillis: 0 })
                  assert.deepStrictEqual([stage, exit.exitStatus], ["kill", 137])
                  yield* tasks.delete({ id })
                  yield* (yield* Containers).delete(id)
                }),
              options
            )
            assert.deepStrictEqual([cgroupsOf(id), processesWith(id), filesWith(where.folder, id)], [[], [], []])
          }).pipe(Effect.scoped),
        60_000
      )
    }
  }
})
