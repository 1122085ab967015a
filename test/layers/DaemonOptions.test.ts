import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { configure } from "../../src/layers/DaemonOptions.ts"
import * as RepeatedName from "../../src/layers/RepeatedName.ts"
import { temporaryFolder } from "../support/folder.ts"

const withConfig = Effect.fnUntraced(function* (config: string, runtime = "auto", hostDriver?: boolean) {
  const folder = yield* temporaryFolder
  const file = join(folder, "berth.json")
  writeFileSync(file, config)
  const place = { root: join(folder, "deep/er/root"), state: join(folder, "state") }
  const allowed = hostDriver === undefined ? {} : { hostDriver }
  return yield* configure({ ...place, listen: [], runtime, config: file, ...allowed }).pipe(
    Effect.provide(NodeServices.layer)
  )
})

describe("the daemon's options", () => {
  it.effect("make folders, private ones, with their parents", () =>
    Effect.gen(function* () {
      const { config } = yield* withConfig("{}")
      for (const folder of [config.root, config.state]) assert.strictEqual(statSync(folder).mode & 0o777, 0o700)
    })
  )

  it.effect("allow plain processes by flag or by file, and by default not", () =>
    Effect.gen(function* () {
      assert.isFalse((yield* withConfig("{}")).hostDriver)
      assert.isTrue((yield* withConfig(`{"hostDriver": true}`, "host")).hostDriver)
      assert.isTrue((yield* withConfig("{}", "host", true)).hostDriver)
      const refused = yield* Effect.flip(withConfig(`{"hostDriver": false}`, "host"))
      assert.deepInclude(refused, { _tag: "InvalidArgument", field: "runtime" })
    })
  )

  it.effect("have no name twice, and none that is taken", () =>
    Effect.gen(function* () {
      const twice = yield* Effect.flip(withConfig(`{"runtimes": {"a": {"binary": "x"}, "a": {"binary": "y"}}}`))
      assert.deepInclude(twice, { _tag: "InvalidArgument", field: "config", problem: `"a" is given twice` })
      const taken = yield* Effect.flip(withConfig(`{"runtimes": {"host": {"binary": "x"}}}`))
      assert.deepInclude(taken, { _tag: "AlreadyExists", kind: "runtime", id: "host" })
      const { runtimes } = yield* withConfig(
        `{"runtimes": {"a": {"binary": "a", "args": ["a"]}, "b": {"binary": "a"}}}`
      )
      assert.deepStrictEqual(Object.keys(runtimes), ["a", "b"])
    })
  )

  it.effect("refuse folders where none can be made", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "file")
      writeFileSync(file, "")
      for (const root of ["/proc/x/y", join(file, "root")]) {
        const state = join(`${file}-state`)
        const refused = yield* Effect.flip(
          configure({ root, state, listen: [], runtime: "auto", config: null }).pipe(Effect.provide(NodeServices.layer))
        )
        assert.deepInclude(refused, { _tag: "InvalidArgument", field: "root" })
        assert.isFalse(existsSync(state))
      }
    })
  )
})

describe("RepeatedName", () => {
  it("looks at names, each object by itself", () => {
    for (const text of [`{"a": {"a": 1}, "b": ["a", "a", {"a": "b"}, {"a": 1}]}`, `{"a\\":": 1, "a": ":"}`, `"x"`]) {
      assert.isNull(RepeatedName.find(text), text)
    }
    assert.strictEqual(RepeatedName.find(`{"b": {"x": 1, "y": {"z": 2}, "x": []}}`), "x")
    assert.strictEqual(RepeatedName.find(`[{"a": [1], "a": {}}]`), "a")
  })
})
