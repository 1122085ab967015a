import { assert, describe, it } from "@effect/vitest"
import { pairs, render, shorten } from "../../../src/cli/output/Table.ts"

describe("Table", () => {
  it("aligns columns and leaves no space at the end of a line", () => {
    const table = render(
      ["ID", "STATUS", "PID"],
      [
        ["web", "running", "7"],
        ["a-longer-id", "", "12"],
        ["x", "stopped", ""]
      ],
      false
    )
    assert.strictEqual(
      table,
      [
        "ID            STATUS    PID",
        "web           running   7",
        "a-longer-id             12",
        "x             stopped",
        ""
      ].join("\n")
    )
  })

  it("is its headings alone where there are no rows", () => {
    assert.strictEqual(render(["ID", "PID"], [], false), "ID   PID\n")
  })

  it("colours text, not the space after it, and only where colours are wanted", () => {
    const rows = [[{ text: "ok", color: "green" as const }, "x"]]
    assert.strictEqual(render(["STATE", "Y"], rows, true), "STATE   Y\n\u001b[32mok\u001b[0m      x\n")
    assert.strictEqual(render(["STATE", "Y"], rows, false), "STATE   Y\nok      x\n")
  })

  it("makes what a cell holds harmless", () => {
    assert.strictEqual(render(["C"], [["a\nb\u001b[2J"]], true), "C\na b\\x1b[2J\n")
  })

  it("puts values of pairs below each other", () => {
    assert.strictEqual(
      pairs([
        ["A", "1"],
        ["Longer", "2"]
      ]),
      "A:      1\nLonger: 2\n"
    )
  })

  it("shortens with an ellipsis", () => {
    assert.strictEqual(shorten("abcdef", 6), "abcdef")
    assert.strictEqual(shorten("abcdefg", 6), "abcde…")
  })
})
