/** A runtime that lies, does half, fails or hangs: what berth makes of it, on files that stand for the kernel's. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import type { Scope } from "effect"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Children } from "../../../src/layers/posix/Children.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import * as Runtimes from "../../../src/layers/runtime/Runtimes.ts"
import { RuntimeName } from "../../../src/schema/Ids.ts"
import { OciRuntime } from "../../../src/services/OciRuntime.ts"
import { cgroupTree } from "../../support/cgroupTree.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { stubRuntime, stubTarget } from "../../support/stubRuntime.ts"

const group = "sys/fs/cgroup/pods/berth--default--web"

/** In the body: `$group` is the container's folder. */
const withStub = Effect.fnUntraced(function* (body: string) {
  const folder = yield* temporaryFolder
  const { root, write } = yield* cgroupTree("v2")
  for (const [name, text] of [
    ["memory.max", "1000"],
    ["memory.low", "0"],
    ["memory.swap.max", "max"],
    ["pids.max", "7"],
    ["cpu.max", "max 100000"]
  ] as const) {
    write(`${group}/${name}`, `${text}\n`)
  }
  const binary = stubRuntime(join(folder, "stub"), `group=${join(root, group)}\n${body}`)
  const target = stubTarget(folder, "box")
  writeFileSync(join(target.bundle, "init.pid"), "4242")
  const options = { stateDir: join(folder, "state"), runtimes: { stub: { binary } }, systemRoot: root }
  const driver = yield* OciRuntime.use((runtimes) => runtimes.driver(RuntimeName.make("stub"))).pipe(
    Effect.provide(Runtimes.layer({ ...options, deadlines: { update: "1 second" } }))
  )
  const held = () =>
    ["memory.max", "pids.max", "cpu.max"].map((name) => readFileSync(join(root, group, name), "utf8").trim())
  return { driver, held, target, seen: () => readFileSync(join(folder, "seen"), "utf8") }
})

const live = (name: string, body: () => Effect.Effect<void, unknown, Children | Libc | Scope.Scope>) =>
  it.live(name, () => Effect.provide(body(), Layer.provideMerge(Children.layer, Libc.layer)))

const before = ["1000", "7", "max 100000"]
const changes = { memory: { limit: 500 }, pids: { limit: 3 }, cpu: { quota: 5000 } }

describe("an update by a runtime", () => {
  live("that does nothing and says nothing is done all the same", () =>
    Effect.gen(function* () {
      const { driver, held, target } = yield* withStub("exit 0")
      const { after, before } = yield* driver.update(target, changes)
      assert.deepStrictEqual(held(), ["500", "3", "5000 100000"])
      assert.deepStrictEqual([before.memory?.limit, after.memory?.limit, after.pids?.limit], [1000, 500, 3])
    })
  )

  live("that changes what nobody asked for is set right", () =>
    Effect.gen(function* () {
      const { driver, held, target } = yield* withStub(`echo 99 > $group/pids.max`)
      yield* driver.update(target, { memory: { limit: 500 } })
      assert.deepStrictEqual(held(), ["500", "7", "max 100000"])
    })
  )

  live("that does half and fails changes nothing", () =>
    Effect.gen(function* () {
      const { driver, held, target } = yield* withStub(`echo 500 > $group/memory.max; echo broken >&2; exit 1`)
      const error = yield* Effect.flip(driver.update(target, changes))
      assert.deepStrictEqual([error._tag, error.message], ["RuntimeFailed", "stub update failed: broken"])
      assert.deepStrictEqual(held(), before)
    })
  )

  live("that does half and hangs is ended at its deadline, or with its caller, and changes nothing", () =>
    Effect.gen(function* () {
      const { driver, held, target } = yield* withStub(`echo 500 > $group/memory.max; exec sleep 600`)
      const error = yield* Effect.flip(driver.update(target, changes))
      assert.strictEqual("reason" in error ? error.reason : null, "deadline")
      assert.deepStrictEqual(held(), before)
      const fiber = yield* Effect.forkChild(driver.update(target, changes), { startImmediately: true })
      while (held()[0] !== "500") yield* Effect.sleep("5 millis")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(held(), before)
    })
  )

  live("is told only what every runtime can do", () =>
    Effect.gen(function* () {
      const { driver, held, seen, target } = yield* withStub(
        `cat $(dirname $0)/bundle-box/update.json > $(dirname $0)/seen`
      )
      yield* driver.update(target, { memory: { limit: 500 }, pids: { limit: -1 }, cpu: { quota: -1 } })
      assert.deepStrictEqual(
        [seen(), existsSync(join(target.bundle, "update.json"))],
        [`{"memory":{"limit":500}}`, false]
      )
      assert.deepStrictEqual(held(), ["500", "max", "max 100000"])
    })
  )

  live("does not begin where this host has no such limit", () =>
    Effect.gen(function* () {
      const { driver, held, target } = yield* withStub(`echo 1 > $group/memory.max`)
      const error = yield* Effect.flip(driver.update(target, { memory: { limit: 500 }, cpu: { burst: 10 } }))
      assert.strictEqual(error.message, `runtime "stub" does not support cpu.burst on this host`)
      assert.deepStrictEqual(held(), before)
    })
  )
})
