import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { closeSync, openSync, readdirSync, readFileSync, statSync, writeSync } from "node:fs"
import { join } from "node:path"
import { bound } from "../../src/shim/BoundedLog.ts"
import { temporaryFolder } from "../support/folder.ts"

describe("the shim's log", () => {
  it.effect("is begun anew when it is large, with what it held beside it", () =>
    Effect.gen(function* () {
      const state = yield* temporaryFolder
      const path = join(state, "shim.log")
      const fd = openSync(path, "a")
      const large = "x".repeat(1024 * 1024)
      writeSync(fd, large)
      yield* bound(state, fd)
      assert.deepStrictEqual(readdirSync(state), ["shim.log"])
      writeSync(fd, "y")
      yield* bound(state, fd)
      writeSync(fd, "new")
      closeSync(fd)
      assert.strictEqual(readFileSync(path, "utf8"), "new")
      assert.strictEqual(statSync(`${path}.1`).size, large.length + 1)
    })
  )
})
