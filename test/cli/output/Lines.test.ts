import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Stream } from "effect"
import { fromChunks, type Line, maxLineBytes, render, toJson } from "../../../src/cli/output/Lines.ts"
import type { OutputChunk } from "../../../src/schema/Process.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

const chunk = (stream: "stdout" | "stderr", text: string | Uint8Array, second = 0): OutputChunk => ({
  stream,
  at: DateTime.makeUnsafe(`2026-01-01T00:00:0${second}Z`),
  bytes: typeof text === "string" ? encoder.encode(text) : text
})

const linesOf = (...chunks: ReadonlyArray<OutputChunk>) =>
  Effect.map(Stream.runCollect(fromChunks(Stream.fromIterable(chunks))), (groups) => groups.flat())

const show = ({ at, bytes, continued, partial, stream }: Line) =>
  `${stream} ${DateTime.formatIso(at).slice(17, 19)} ${decoder.decode(bytes)}${partial ? "…" : ""}${continued ? " (continued)" : ""}`

describe("Lines", () => {
  it.effect("joins what chunks cut, each stream by itself, with the time of the beginning", () =>
    Effect.gen(function* () {
      const lines = yield* linesOf(
        chunk("stdout", "one\ntw", 1),
        chunk("stderr", "err", 2),
        chunk("stdout", "o\n\nthree", 3),
        chunk("stderr", "or\n", 4),
        chunk("stdout", "\n", 5)
      )
      assert.deepStrictEqual(lines.map(show), [
        "stdout 01 one",
        "stdout 01 two",
        "stdout 03 ",
        "stderr 02 error",
        "stdout 03 three"
      ])
    })
  )

  it.effect("passes on what has no newline at the end", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* linesOf(chunk("stdout", "a\nb"))).map(show), ["stdout 00 a", "stdout 00 b…"])
    })
  )

  it.effect("does not cut characters", () =>
    Effect.gen(function* () {
      const snowman = encoder.encode("☃\n")
      const lines = yield* linesOf(chunk("stdout", snowman.subarray(0, 2)), chunk("stdout", snowman.subarray(2)))
      assert.deepStrictEqual(lines.map(show), ["stdout 00 ☃"])
    })
  )

  it.effect("passes on an endless line in parts", () =>
    Effect.gen(function* () {
      const half = "x".repeat(maxLineBytes / 2)
      const lines = yield* linesOf(
        chunk("stdout", half),
        chunk("stdout", half),
        chunk("stdout", "e"),
        chunk("stdout", "nd\nnext\n")
      )
      assert.deepStrictEqual(
        lines.map(({ bytes, continued, partial }) => [bytes.length, partial, continued]),
        [
          [maxLineBytes, true, false],
          [3, false, true],
          [4, false, false]
        ]
      )
      const printed = decoder.decode(render(lines, true))
      assert.strictEqual(printed.match(/2026-/g)?.length, 2)
      assert.include(printed, "xend\n2026-01-01T00:00:00.000Z next\n")
    })
  )

  it.effect("renders the bytes that came", () =>
    Effect.gen(function* () {
      const lines = yield* linesOf(chunk("stdout", "a\r\n\u001b[31mb"))
      assert.strictEqual(decoder.decode(render(lines, false)), "a\r\n\u001b[31mb")
    })
  )

  it.effect("writes text as text and other bytes as base64", () =>
    Effect.gen(function* () {
      const lines = yield* linesOf(chunk("stdout", "hi\n"), chunk("stderr", Uint8Array.of(0xff, 0x0a)))
      assert.deepStrictEqual(lines.map(toJson), [
        { time: "2026-01-01T00:00:00.000Z", stream: "stdout", partial: false, text: "hi" },
        { time: "2026-01-01T00:00:00.000Z", stream: "stderr", partial: false, base64: "/w==" }
      ])
    })
  )
})
