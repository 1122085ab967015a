import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, FileSystem, Path, Stream } from "effect"
import { ChildProcess } from "effect/process"

const script = new URL("../../scripts/check-imports.mjs", import.meta.url).pathname

/** Runs the check on a source tree of these files; gives its exit code and what it says of each problem, the reason left out. */
const check = Effect.fnUntraced(function* (files: Readonly<Record<string, string>>) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const src = yield* fs.makeTempDirectoryScoped()
  for (const [file, text] of Object.entries(files)) {
    yield* fs.makeDirectory(path.dirname(path.join(src, file)), { recursive: true })
    yield* fs.writeFileString(path.join(src, file), text)
  }
  const child = yield* ChildProcess.make(process.execPath, [script, src])
  const [text, exitCode] = yield* Effect.all([Stream.mkString(Stream.decodeText(child.stderr)), child.exitCode], {
    concurrency: "unbounded"
  })
  const lines = text.trimEnd().split("\n")
  assert.match(lines.at(-1) ?? "", /^imports: \d+ files, \d+ problems$/)
  const problems = lines.slice(0, -1)
  for (const problem of problems) assert.match(problem, /^src\/[\w./]+:\d+: .+: .+$/)
  return {
    exitCode: Number(exitCode),
    problems: problems.map((problem) => problem.slice(0, problem.lastIndexOf(": ")))
  }
})

layer(NodeServices.layer)("check-imports", (it) => {
  it.effect("lets a tree pass whose imports all point down", () =>
    Effect.gen(function* () {
      const { exitCode, problems } = yield* check({
        "schema/Ids.ts": `import { Schema } from "effect"\nexport const Id = Schema.String\n`,
        "services/Store.ts": `import { Context } from "effect"\nimport type { Id } from "../schema/Ids.ts"\n`,
        "actors/TaskMachine.ts": `import { Data, Result, pipe } from "effect"\nimport { Id } from "../schema/Ids.ts"\n`,
        "actors/Task.ts": `import { Effect } from "effect"\nimport { a } from "./TaskMachine.ts"\nimport { b } from "../services/Store.ts"\n`,
        "rpc/TasksRpc.ts": `import { Rpc } from "effect/rpc"\nimport { Id } from "../schema/Ids.ts"\n`,
        "layers/Store.ts": `import { open } from "node:fs"\nimport koffi from "koffi"\nimport { a } from "../actors/Task.ts"\n`,
        "shim/main.ts": `import "../layers/Store.ts"\n`,
        "cli/Run.ts": `import { c } from "../rpc/TasksRpc.ts"\nimport { d } from "../layers/Store.ts"\n`,
        "main.ts": `await import("./cli/Run.ts")\nawait import("./shim/main.ts")\n`
      })
      assert.deepStrictEqual(problems, [])
      assert.strictEqual(exitCode, 0)
    })
  )

  it.effect("refuses every import that points up, types and dynamic ones too", () =>
    Effect.gen(function* () {
      const { exitCode, problems } = yield* check({
        "schema/A.ts": `import { B } from "../spec/B.ts"\n`,
        "spec/B.ts": `\nimport type { C } from "../services/C.ts"\n`,
        "services/C.ts": `import {\n  D\n} from "../actors/D.ts"\n`,
        "actors/D.ts": `export { E } from "../rpc/E.ts"\n`,
        "rpc/E.ts": `import { F } from "../actors/D.ts"\nexport * from "../layers/F.ts"\n`,
        "layers/F.ts": `export const g = () => import("../cli/G.ts")\n`,
        "cli/G.ts": `import "../main.ts"\n`,
        "shim/H.ts": `import { g } from "../cli/G.ts"\n`,
        "main.ts": ""
      })
      const wrong = problems.filter((problem) => problem.includes(": imports "))
      assert.deepStrictEqual(wrong, [
        "src/actors/D.ts:1: imports rpc/E.ts",
        "src/cli/G.ts:1: imports main.ts",
        "src/layers/F.ts:1: imports cli/G.ts",
        "src/rpc/E.ts:1: imports actors/D.ts",
        "src/rpc/E.ts:2: imports layers/F.ts",
        "src/schema/A.ts:1: imports spec/B.ts",
        "src/services/C.ts:1: imports actors/D.ts",
        "src/shim/H.ts:1: imports cli/G.ts",
        "src/spec/B.ts:2: imports services/C.ts"
      ])
      assert.strictEqual(exitCode, 1)
    })
  )

  it.effect("keeps Node and packages out of all but the layers and mains", () =>
    Effect.gen(function* () {
      const { exitCode, problems } = yield* check({
        "schema/A.ts": `import { randomUUID } from "node:crypto"\n`,
        "services/B.ts": `import type { Socket } from "node:net"\n`,
        "actors/C.ts": `import { NodeServices } from "@effect/platform-node"\n`,
        "rpc/D.ts": `import koffi from "koffi"\n`,
        "layers/E.ts": `import { NodeServices } from "@effect/platform-node"\n`
      })
      assert.deepStrictEqual(problems, [
        "src/actors/C.ts:1: imports @effect/platform-node",
        "src/rpc/D.ts:1: imports koffi",
        "src/schema/A.ts:1: imports node:crypto",
        "src/services/B.ts:1: imports node:net"
      ])
      assert.strictEqual(exitCode, 1)
    })
  )

  it.effect("keeps state machines pure", () =>
    Effect.gen(function* () {
      const { exitCode, problems } = yield* check({
        "actors/AMachine.ts": `import { Data, Effect, type Queue, Match as M } from "effect"\n`,
        "actors/BMachine.ts": `import * as Layer from "effect/Layer"\nimport * as Data from "effect/Data"\n`,
        "actors/CMachine.ts": `import { Rpc } from "effect/rpc"\nimport { d } from "./D.ts"\nimport { a } from "./AMachine.ts"\n`,
        "actors/D.ts": ""
      })
      assert.deepStrictEqual(problems, [
        "src/actors/AMachine.ts:1: imports Effect of effect, which is not pure",
        "src/actors/AMachine.ts:1: imports Queue of effect, which is not pure",
        "src/actors/BMachine.ts:1: imports effect/Layer of effect, which is not pure",
        "src/actors/CMachine.ts:1: imports effect/rpc of effect, which is not pure",
        "src/actors/CMachine.ts:2: imports actors/D.ts"
      ])
      assert.strictEqual(exitCode, 1)
    })
  )

  it.effect("finds a circle of imports, and none through types or dynamic imports", () =>
    Effect.gen(function* () {
      const { exitCode, problems } = yield* check({
        "schema/A.ts": `import { b } from "./B.ts"\n`,
        "schema/B.ts": `import { s } from "effect"\nimport { c } from "./C.ts"\n`,
        "schema/C.ts": `\nexport { a } from "./A.ts"\n`,
        "schema/D.ts": `import type { E } from "./E.ts"\n`,
        "schema/E.ts": `import { d } from "./D.ts"\n`,
        "schema/F.ts": `import { type G } from "./G.ts"\n`,
        "schema/G.ts": `import { f } from "./F.ts"\n`,
        "schema/H.ts": `export const i = () => import("./I.ts")\n`,
        "schema/I.ts": `import { i } from "./H.ts"\n`,
        "schema/J.ts": `import { j } from "./J.ts"\n`
      })
      assert.deepStrictEqual(problems, [
        "src/schema/C.ts:2: closes a circle of imports: schema/A.ts -> schema/B.ts -> schema/C.ts -> schema/A.ts",
        "src/schema/J.ts:1: closes a circle of imports: schema/J.ts -> schema/J.ts"
      ])
      assert.strictEqual(exitCode, 1)
    })
  )

  it.effect("refuses a file that is too long and a folder that it does not know", () =>
    Effect.gen(function* () {
      const { exitCode, problems } = yield* check({
        "schema/Long.ts": "export {}\n".repeat(401),
        "schema/Full.ts": "export {}\n".repeat(400),
        "utils/Misc.ts": "export {}\n"
      })
      assert.deepStrictEqual(problems, [
        "src/schema/Long.ts:401: has 401 lines, more than 400",
        "src/utils/Misc.ts:1: lies in no known place"
      ])
      assert.strictEqual(exitCode, 1)
    })
  )
})
