/** A container whose files are on a mount that does not answer: it fails by itself, and the shim goes on with all the others. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { ContainerId, Containers, Spec, Tasks } from "../../src/index.ts"
import { Libc } from "../../src/layers/posix/Libc.ts"
import { folders, life } from "../support/daemon.ts"
import { canHang, hungMount } from "../support/hungMount.ts"
import { leftOut } from "../support/leftOut.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"

const rootfs = rootfsOfFile()
const spec = (...args: ReadonlyArray<string>) => Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args }))

if (!canHang) leftOut("a mount that does not answer", "it needs root and /dev/fuse")

describe.skipIf(!canRunContainers || !canHang)("a mount that does not answer", () => {
  it.live(
    "stops the container that logs there, and no other",
    () =>
      Effect.gen(function* () {
        const place = yield* folders
        const hung = yield* hungMount
        yield* life(
          place,
          () =>
            Effect.gen(function* () {
              const tasks = yield* Tasks
              const id = ContainerId.make(`hung-${randomUUID().slice(0, 8)}`)
              yield* (yield* Containers).create({ id, spec: spec("/bin/true") })
              const stdio = { stdin: false, log: { _tag: "file", path: join(hung, "log") } } as const
              const hanging = yield* Effect.forkChild(Effect.flip(tasks.create({ id, stdio })), {
                startImmediately: true
              })
              yield* Effect.sleep("300 millis")
              const { exitStatus } = yield* Effect.timeout(tasks.run(spec("/bin/sh", "-c", "exit 3")), "8 seconds")
              assert.strictEqual(exitStatus, 3)
              assert.isUndefined(hanging.pollUnsafe())
              assert.include((yield* Fiber.join(hanging)).message, "log file: cannot open it: ETIMEDOUT")
              yield* (yield* Containers).delete(id)
            }),
          { runtime: "crun" }
        )
      }).pipe(Effect.scoped, Effect.provide(Libc.layer)),
    60_000
  )
})
