/**
 * The documentation does what it says. Every `sh run` block of these files is run, in order, against a daemon of its own, and what it prints is compared with
 * the block behind it: `text` line by line, where `…` stands for anything, `json` value by value, where `"…"` does. Times, and what differs between
 * machines, need only be of the same kind. `sh setup` blocks hold what the blocks behind them use.
 */
import { assert, it } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { execFile } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { clear } from "../../examples/demo/Place.ts"
import { BerthRpc } from "../../src/rpc/BerthRpc.ts"
import { berth, daemon } from "../support/daemon.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const documents = ["README.md", "docs/http-api.md", "docs/operations.md"]

interface Block {
  readonly line: number
  readonly info: string
  readonly text: string
}

const blocksOf = (text: string): ReadonlyArray<Block> =>
  Array.from(text.matchAll(/^```(.*)\n([^]*?)^```$/gm), ({ 1: info = "", 2: body = "", index }) => ({
    info,
    text: body,
    line: text.slice(0, index).split("\n").length
  }))

/** Runs a script of the documentation as a user would type it: what it printed on both streams. */
const shell = (script: string, cwd: string, env: Readonly<Record<string, string>>) =>
  Effect.callback<string>((resume) => {
    const options = { cwd, env: { ...process.env, ...env }, timeout: 30_000 }
    const child = execFile("bash", ["-c", `exec 2>&1\n${script}`], options, (_, stdout) =>
      resume(Effect.succeed(stdout))
    )
    return Effect.sync(() => child.kill())
  })

const escaped = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&")

/** Line by line; how far a line is indented does not matter. */
const sameText = (found: string, expected: string): boolean => {
  const lines = (text: string) =>
    text
      .trimEnd()
      .split("\n")
      .map((line) => line.trim())
  const [has, wants] = [lines(found), lines(expected)]
  const same = (line: string, pattern: string) =>
    new RegExp(`^${pattern.split("…").map(escaped).join(".*")}$`).test(line)
  return has.length === wants.length && has.every((line, index) => same(line, wants[index] ?? ""))
}

/** Keys of which the value depends on machine and moment, so that only its kind is compared. */
const machine = [
  "pid",
  "version",
  "node",
  "kernel",
  "cgroup",
  "root",
  "state",
  "bundle",
  "binary",
  "default",
  "capabilities"
]
const loose = new Set([...machine, "name", "runtime", "defaultRuntime", "stdin", "stdout", "stderr"])

const isTime = (value: Schema.Json) => typeof value === "string" && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value)
const isList = (value: Schema.Json): value is Schema.JsonArray => Array.isArray(value)
const isObject = (value: Schema.Json): value is Schema.JsonObject =>
  typeof value === "object" && value !== null && !isList(value)

/** Where found and documented value differ; nothing where they do not. */
const differences = (
  found: Schema.Json,
  wanted: Schema.Json,
  path: string,
  kindOnly = false
): ReadonlyArray<string> => {
  if (wanted === "…") return []
  const here = [`${path}: found ${JSON.stringify(found)}, documented ${JSON.stringify(wanted)}`]
  if (isList(wanted)) {
    if (!isList(found)) return here
    if (kindOnly) return []
    if (found.length !== wanted.length) return here
    return wanted.flatMap((item, index) => differences(found[index] ?? null, item, `${path}[${index}]`))
  }
  if (isObject(wanted)) {
    if (!isObject(found)) return here
    const { "…": more, ...named } = wanted
    const unnamed = Object.keys(found).filter((key) => more === undefined && !Object.hasOwn(named, key))
    return [
      ...unnamed.map((key) => `${path}.${key}: not documented`),
      ...Object.entries(named).flatMap(([key, value]) => {
        const at = `${path}.${key}`
        const inner = Object.hasOwn(found, key) ? found[key] : undefined
        return inner === undefined ? [`${at}: missing`] : differences(inner, value, at, loose.has(key))
      })
    ]
  }
  const same = kindOnly ? typeof found === typeof wanted : found === wanted || (isTime(found) && isTime(wanted))
  return same ? [] : here
}

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Json))

/** One document, or one a line. Null where it is neither. */
const parse = (text: string): Schema.JsonArray | null => {
  const whole = decode(text)
  if (Option.isSome(whole)) return [whole.value]
  const lines = text
    .trim()
    .split("\n")
    .map((line) => decode(line))
  return lines.every((line) => Option.isSome(line)) ? joined(lines.map(({ value }) => value)) : null
}

const isChunk = (value: Schema.Json): value is { readonly requestId: string; readonly values: Schema.JsonArray } =>
  typeof value === "object" && value !== null && "_tag" in value && value._tag === "Chunk"

/** How much of a stream comes in one message is a matter of time: what belongs to one request counts as one. */
const joined = (messages: Schema.JsonArray): Schema.JsonArray => {
  const all: Array<Schema.Json> = []
  for (const message of messages) {
    const last = all.at(-1)
    if (isChunk(message) && last !== undefined && isChunk(last) && last.requestId === message.requestId) {
      all[all.length - 1] = { ...last, values: [...last.values, ...message.values] }
    } else {
      all.push(message)
    }
  }
  return all
}

/** What is wrong with what a block printed. */
const wrong = (found: string, expected: Block | undefined): ReadonlyArray<string> => {
  if (expected?.info === "text") return sameText(found, expected.text) ? [] : [found]
  if (expected?.info !== "json") return found === "" ? [] : [`not documented: ${found}`]
  const [has, wants] = [parse(found), parse(expected.text)]
  return has === null || wants === null ? [`not JSON: ${found}${expected.text}`] : differences(has, wants, "$")
}

for (const document of documents) {
  it.live(
    document,
    () =>
      Effect.gen(function* () {
        const { address, folder } = yield* daemon()
        const cwd = join(folder, "here")
        mkdirSync(cwd)
        // A block that fails half-way may leave the daemon that it started.
        yield* Effect.addFinalizer(() => clear({ folder: cwd, state: join(cwd, "second") }))
        const PATH = [dirname(berth), process.env["PATH"]].join(delimiter)
        const env = { BERTH_ADDRESS: address, PATH }
        const blocks = blocksOf(readFileSync(join(root, document), "utf8"))
        let setup = ""
        let count = 0
        const problems: Array<string> = []
        for (const [index, block] of blocks.entries()) {
          if (block.info === "sh setup") setup += block.text
          if (block.info !== "sh run") continue
          const found = yield* shell(`${setup}${block.text}`, cwd, env)
          problems.push(...wrong(found, blocks[index + 1]).map((problem) => `${document}:${block.line}: ${problem}`))
          count += 1
        }
        assert.deepStrictEqual(problems, [])
        assert.isAbove(count, 0)
        assert.strictEqual(yield* shell("berth ps -a --json", cwd, env), "[]\n", `${document} leaves containers`)
      }),
    120_000
  )
}

it("docs/http-api.md calls every method", () => {
  const text = blocksOf(readFileSync(join(root, "docs/http-api.md"), "utf8"))
    .filter(({ info }) => info === "sh run")
    .map((block) => block.text)
    .join("")
  const missing = Array.from(BerthRpc.requests.keys()).filter((method) => !text.includes(`call ${method} `))
  assert.deepStrictEqual(missing, [])
})

const markdown = [
  "README.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).map((name) => `docs/${name}`)
]
  .filter((name) => name.endsWith(".md"))
  .map((name) => ({ name, text: readFileSync(join(root, name), "utf8") }))

it("links of the documentation lead somewhere", () => {
  const dead = markdown.flatMap(({ name, text }) =>
    Array.from(text.matchAll(/\]\((?!https?:)([^)#\s]+)/g), ([, to = ""]) => to)
      .filter((to) => !existsSync(join(root, dirname(name), to)))
      .map((to) => `${name}: ${to}`)
  )
  assert.deepStrictEqual(dead, [])
})

it("docs/features.md names tests that exist", () => {
  const text = readFileSync(join(root, "docs/features.md"), "utf8")
  const proofs = Array.from(
    text.matchAll(/\]\(\.\.\/(test\/[^)]+)\)((?:,? "[^"]+")+)/g),
    ([, file = "", names = ""]) => ({
      file,
      names: Array.from(names.matchAll(/"([^"]+)"/g), ([, name = ""]) => name)
    })
  )
  assert.isAbove(proofs.length, 30)
  const missing = proofs.flatMap(({ file, names }) => {
    const source = readFileSync(join(root, file), "utf8")
    return names.filter((name) => !source.includes(name)).map((name) => `${file}: ${name}`)
  })
  assert.deepStrictEqual(missing, [])
})
