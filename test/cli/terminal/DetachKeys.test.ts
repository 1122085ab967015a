import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { format, makeDetector, parse, usual } from "../../../src/cli/terminal/DetachKeys.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (passed: Uint8Array) => new TextDecoder().decode(passed)

/** What passes of these pieces until they detach, and whether they do. */
const through = (keys: string, ...pieces: ReadonlyArray<string>) => {
  const detect = makeDetector(parse(keys) ?? assert.fail(`not keys: ${keys}`))
  let passed = ""
  for (const piece of pieces) {
    const next = detect(bytes(piece))
    passed += text(next.bytes)
    if (next.detached) return [passed, true]
  }
  return [passed, false]
}

describe("parse", () => {
  it("reads keys", () => {
    assert.deepStrictEqual(parse(usual), [16, 17])
    assert.deepStrictEqual(parse("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_"), [0, 27, 28, 29, 30, 31])
    assert.deepStrictEqual(parse("CTRL-A,q,~"), [1, 113, 126])
    assert.deepStrictEqual(parse(""), [])
  })

  it("refuses what is no key", () => {
    for (const wrong of ["ctrl-", "ctrl-1", "ctrl-aa", "ab", "a,", ",", "é", "\n"]) assert.isNull(parse(wrong), wrong)
  })

  it("is undone by format", () => {
    for (const keys of [usual, "ctrl-],x", "ctrl-@,ctrl-_", ""]) assert.strictEqual(format(parse(keys) ?? []), keys)
  })
})

describe("a detector", () => {
  it("finds the keys in one piece or many, and passes on what was typed before them only", () => {
    assert.deepStrictEqual(through(usual, "ls\u0010\u0011more"), ["ls", true])
    assert.deepStrictEqual(through(usual, "ls", "\u0010", "\u0011"), ["ls", true])
  })

  it("holds the first key back until it is clear that it is meant for the process", () => {
    assert.deepStrictEqual(through(usual, "\u0010"), ["", false])
    assert.deepStrictEqual(through(usual, "\u0010", "a"), ["\u0010a", false])
    assert.deepStrictEqual(through(usual, "\u0010", "\u0010", "\u0011"), ["\u0010", true])
    assert.deepStrictEqual(through(usual, "\u0011"), ["\u0011", false])
  })

  it("finds keys that begin anew within themselves", () => {
    assert.deepStrictEqual(through("a,a,b", "aaab"), ["a", true])
    assert.deepStrictEqual(through("a,b,a,c", "ababac"), ["ab", true])
  })

  it("never detaches without keys", () => {
    assert.deepStrictEqual(through("", "anything\u0010\u0011"), ["anything\u0010\u0011", false])
  })

  const pieces = Schema.Array(Schema.Literals(["a", "b", "c", "ab", "ba"]))
  it.prop("loses nothing and invents nothing", { pieces }, ({ pieces }) => {
    const typed = pieces.join("")
    const [passed] = typed.split("abc")
    const detached = typed.includes("abc")
    const held = detached ? "" : (/ab?$/.exec(typed)?.[0] ?? "")
    assert.deepStrictEqual(through("a,b,c", ...pieces), [passed?.slice(0, passed.length - held.length), detached])
  })
})
