/** Reading the blocks of a log gives what reading it line by line gives, wherever blocks are cut and whatever is in them. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Random } from "effect"
import { randomFillSync } from "node:crypto"
import * as ByteBatch from "../../../src/layers/io/ByteBatch.ts"
import * as LogBlocks from "../../../src/layers/io/LogBlocks.ts"
import * as LogFormat from "../../../src/layers/io/LogFormat.ts"
import type { OutputChunk } from "../../../src/schema/Process.ts"

const all = (): LogBlocks.Selection => ({ stream: null, since: null, skip: { stdout: 0, stderr: 0 } })
const time = (second: number) => `2026-01-02T03:04:${String(second).padStart(2, "0")}.000Z`

/** Everything that blocks of such a length give. A block is overwritten when it is used up, as that of a reader is. */
const read = (log: Buffer, selection = all(), length: () => number = () => 64 * 1024): ReadonlyArray<OutputChunk> => {
  const blocks = LogBlocks.make(selection)
  const found: Array<OutputChunk> = []
  const take = () => {
    for (let pieces = blocks.next(); pieces.length > 0; pieces = blocks.next()) found.push(...pieces)
  }
  for (let at = 0; at < log.length;) {
    const block = Buffer.from(log.subarray(at, at + length()))
    blocks.add(block)
    take()
    block.fill(0)
    at += block.length
  }
  blocks.end()
  take()
  return found
}

/** The same by what a single record is known to be, one after the other; neighbours of a stream and a time are one. */
const joined = (chunks: ReadonlyArray<OutputChunk>) => {
  const groups: Array<{ readonly key: string; readonly bytes: Array<Uint8Array> }> = []
  for (const { at, bytes, stream } of chunks) {
    const key = `${DateTime.formatIso(at)} ${stream}`
    const last = groups.at(-1)
    if (last?.key === key) last.bytes.push(bytes)
    else groups.push({ key, bytes: [bytes] })
  }
  return groups.map(({ bytes, key }) => `${key} ${Buffer.concat(bytes).toString("hex")}`)
}
const reference = (log: Buffer) =>
  log
    .toString()
    .split("\n")
    .flatMap((line) => LogFormat.decode(line) ?? [])

/** A log of any output, and of what else may stand between records. */
const randomLog = Effect.gen(function* () {
  const batch = ByteBatch.make()
  const encoders = { stdout: LogFormat.makeEncoder("stdout"), stderr: LogFormat.makeEncoder("stderr") }
  const strange = [
    "no record",
    '{"t":"2026-01-02T03:04:05.000Z","s":"stdout","d":"torn',
    '{"t":"2026-01-02T03:04:05.000Z","s":"stdout","d":"torn\\"}',
    '{"t":"2026-01-02T03:04:05.000Z","s":"stdout","d":"a raw " quote"}',
    '{"t":"2026-01-02T03:04:05.000Z","s":"stdout","d":"bad \\x escape"}',
    '{"t":"2026-01-02T03:04:05.000Z","s":"stdout","d":"one","d":"two"}',
    '{"t":"never","s":"stdout","d":"no time"}',
    '{ "s": "stderr", "d": "other \\u00e9\\/ hands", "t": "2026-01-02T03:04:05.000Z" }',
    '{"t":"2026-01-02T03:04:05.000Z","s":"stdout","d":"lone \\ud800"}',
    '{"t":"2026-01-02T03:04:05.000Z","s":"stderr","lost":5}',
    '{"file":3}',
    ""
  ]
  for (let i = 0; i < 100; i++) {
    const stream = (yield* Random.nextBoolean) ? "stdout" : "stderr"
    const second = time(Math.floor(i / 10))
    const kind = yield* Random.nextIntBetween(0, 6)
    const length = yield* Random.nextIntBetween(0, kind === 0 ? 70_000 : 3000)
    if (kind === 0 || kind === 1) encoders[stream].add(batch, second, randomFillSync(Buffer.alloc(length)))
    else if (kind === 2)
      encoders[stream].add(batch, second, Buffer.from('é\t\u0001"\\ 漢😀\r\n'.repeat(Math.ceil(length / 20))))
    else if (kind === 3) {
      const line = strange[yield* Random.nextIntBetween(0, strange.length - 1)] ?? ""
      ByteBatch.reserve(batch, line.length + 1)
      ByteBatch.addAscii(batch, `${line}\n`)
    } else encoders[stream].add(batch, second, Buffer.from("a line\n".repeat(Math.ceil(length / 100))))
  }
  return Buffer.from(batch.bytes.subarray(0, batch.length))
})

describe("LogBlocks", () => {
  it.effect("gives what the records give one by one, wherever a block ends", () =>
    Effect.gen(function* () {
      for (let round = 0; round < 15; round++) {
        const log = yield* randomLog
        const most = [7, 200, 5000, 64 * 1024, 512 * 1024][round % 5] ?? 1
        const lengths = yield* Effect.forEach(Array.from({ length: 50 }), () => Random.nextIntBetween(1, most))
        let at = 0
        const found = read(log, all(), () => lengths[at++ % lengths.length] ?? 1)
        assert.deepStrictEqual(joined(found), joined(reference(log)))
      }
    }).pipe(Random.withSeed("blocks"))
  )

  it("hands on little at a time, one by one where there is little, and neighbours together where there is much", () => {
    const line = (n: number, second: number) => `{"t":"${time(second)}","s":"stdout","d":"${n}\\n"}\n`
    const texts = (log: string) => read(Buffer.from(log)).map(({ bytes }) => new TextDecoder().decode(bytes))
    const some = Array.from({ length: 16 }, (_, n) => line(n, 0))
    assert.deepStrictEqual(
      texts(some.join("")),
      Array.from({ length: 16 }, (_, n) => `${n}\n`)
    )
    const many = Array.from({ length: 40 }, (_, n) => line(n, n < 30 ? 0 : 1))
    const expected = Array.from({ length: 40 }, (_, n) => `${n}\n`)
    assert.deepStrictEqual(texts(many.join("")), [expected.slice(0, 30).join(""), expected.slice(30).join("")])
    const large = Buffer.from(`{"t":"${time(0)}","s":"stdout","d":"${"x".repeat(60_000)}"}\n`.repeat(20))
    assert.isAtMost(Math.max(...read(large, all(), () => 512 * 1024).map(({ bytes }) => bytes.length)), 120_000)
  })

  it("leaves out what is not wanted", () => {
    const log = Buffer.from(
      ["stdout", "stderr", "stdout", "stderr"]
        .map((stream, n) => `{"t":"${time(n)}","s":"${stream}","d":"${n}bcd\\n"}\n`)
        .join("")
    )
    const texts = (selection: Partial<LogBlocks.Selection>) =>
      read(log, { ...all(), ...selection }).map(({ bytes }) => new TextDecoder().decode(bytes))
    assert.deepStrictEqual(texts({ stream: "stderr" }), ["1bcd\n", "3bcd\n"])
    assert.deepStrictEqual(texts({ since: Date.parse(time(2)) }), ["2bcd\n", "3bcd\n"])
    assert.deepStrictEqual(texts({ skip: { stdout: 7, stderr: 0 } }), ["1bcd\n", "cd\n", "3bcd\n"])
    assert.deepStrictEqual(texts({ stream: "stdout", skip: { stdout: 5, stderr: 9 } }), ["2bcd\n"])
  })

  it("drops a line that cannot be a record, and only that, and takes one that ends with the log", () => {
    const record = `{"t":"${time(0)}","s":"stdout","d":"next"}`
    const log = Buffer.concat([Buffer.alloc(2 ** 21, "x"), Buffer.from(`\n${record}\n${record}`)])
    const texts = read(log).map(({ bytes }) => new TextDecoder().decode(bytes))
    assert.deepStrictEqual(texts, ["next", "next"])
  })
})
