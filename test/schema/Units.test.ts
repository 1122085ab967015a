import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import { constants } from "node:os"
import { cpuBandwidth, Cpus, DurationText, Signal, signalName, Size, SizeLimit } from "../../src/schema/Units.ts"

const refused = <A>(schema: Schema.Codec<A, string>, text: string) =>
  Effect.map(Effect.flip(Schema.decodeEffect(schema)(text)), (error) => error.message)

describe("Size", () => {
  it.effect("reads binary units in any case, with and without suffix", () =>
    Effect.gen(function* () {
      const decode = Schema.decodeEffect(Size)
      const cases: ReadonlyArray<readonly [string, number]> = [
        ["0", 0],
        ["1024", 1024],
        ["12b", 12],
        ["1k", 1024],
        ["64m", 67_108_864],
        ["64MB", 67_108_864],
        ["64MiB", 67_108_864],
        ["1g", 1_073_741_824],
        ["1.5G", 1_610_612_736],
        ["2t", 2_199_023_255_552],
        ["0.3333333333333333333333333k", 341]
      ]
      for (const [text, bytes] of cases) assert.strictEqual(yield* decode(text), bytes, text)
    })
  )

  it.effect("refuses what is not a size, and says what is", () =>
    Effect.gen(function* () {
      for (const text of ["", "m", "-1", "1x", "1 m", "1ib", "1,5g", "1e3", "0x10", "9007199254740993", "9000t"]) {
        assert.include(yield* refused(Size, text), `expected a size such as 64m`, text)
      }
      assert.include(yield* refused(Size, "12q"), `got "12q"`)
    })
  )

  it.effect.prop("encodes to a text that decodes to the same bytes", [Size], ([bytes]) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Schema.decodeEffect(Size)(yield* Schema.encodeEffect(Size)(bytes)), bytes)
    })
  )

  it.effect("a limit may be absent", () =>
    Effect.gen(function* () {
      const decode = Schema.decodeEffect(SizeLimit)
      assert.strictEqual(yield* decode("-1"), -1)
      assert.strictEqual(yield* decode("Unlimited"), -1)
      assert.strictEqual(yield* decode("1k"), 1024)
      assert.strictEqual(yield* Schema.encodeEffect(SizeLimit)(-1), "-1")
      assert.include(yield* refused(SizeLimit, "-2"), "or -1 for no limit")
    })
  )
})

describe("DurationText", () => {
  it.effect("reads units, fractions and sums", () =>
    Effect.gen(function* () {
      const decode = Schema.decodeEffect(DurationText)
      const cases: ReadonlyArray<readonly [string, Duration.Duration]> = [
        ["0", Duration.zero],
        ["500ms", Duration.millis(500)],
        ["10s", Duration.seconds(10)],
        ["2m", Duration.minutes(2)],
        ["1h", Duration.hours(1)],
        ["1H30M", Duration.minutes(90)],
        ["1.5s", Duration.millis(1500)],
        ["3us", Duration.nanos(3000n)],
        ["7ns", Duration.nanos(7n)]
      ]
      for (const [text, duration] of cases) assert.isTrue(Duration.equals(yield* decode(text), duration), text)
    })
  )

  it.effect("refuses a number without unit, a sign, and anything else", () =>
    Effect.gen(function* () {
      for (const text of ["", "10", "-1s", "s", "1 s", "1d", "1.s", "10 seconds", "99999999999999999999h"]) {
        assert.include(yield* refused(DurationText, text), "expected a duration such as 500ms", text)
      }
    })
  )

  it.effect.prop("encodes to a text that decodes to the same time", [Schema.Natural], ([ms]) =>
    Effect.gen(function* () {
      const text = yield* Schema.encodeEffect(DurationText)(Duration.millis(ms))
      assert.strictEqual(Duration.toMillis(yield* Schema.decodeEffect(DurationText)(text)), ms)
    })
  )

  it.effect("has no text for an endless time", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Schema.encodeEffect(DurationText)(Duration.infinity))
      assert.include(error.message, "expected a duration")
      assert.strictEqual(yield* Schema.encodeEffect(DurationText)(Duration.seconds(90)), "90s")
    })
  )
})

describe("Signal", () => {
  it.effect("agrees with this Linux on every name it has", () =>
    Effect.gen(function* () {
      const names = Object.entries(constants.signals).filter(([name]) => name.startsWith("SIG"))
      assert.isAbove(names.length, 30)
      for (const [name, number] of names) assert.strictEqual(yield* Schema.decodeEffect(Signal)(name), number, name)
    })
  )

  it.effect("reads names in any form, numbers and real-time signals", () =>
    Effect.gen(function* () {
      const decode = Schema.decodeEffect(Signal)
      const cases: ReadonlyArray<readonly [string, number]> = [
        ["TERM", 15],
        ["sigterm", 15],
        ["SigKill", 9],
        ["9", 9],
        ["64", 64],
        ["SIGCLD", 17],
        ["SIGRTMIN", 34],
        ["rtmin+3", 37],
        ["SIGRTMAX", 64],
        ["SIGRTMAX-14", 50]
      ]
      for (const [text, number] of cases) assert.strictEqual(yield* decode(text), number, text)
    })
  )

  it.effect("refuses the rest", () =>
    Effect.gen(function* () {
      for (const text of ["", "0", "65", "-9", "SIG", "SIGSIGTERM", "NOPE", "RTMIN+31", "RTMAX-31", "RTMIN-1", "9.0"]) {
        assert.include(yield* refused(Signal, text), "expected a signal by name", text)
      }
    })
  )

  it.effect("every number has a name that reads back", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual([1, 15, 34, 37, 64, 32].map(signalName), [
        "SIGHUP",
        "SIGTERM",
        "SIGRTMIN",
        "SIGRTMIN+3",
        "SIGRTMAX",
        "32"
      ])
      for (let signal = 1; signal <= 64; signal++) {
        assert.strictEqual(yield* Schema.decodeEffect(Signal)(yield* Schema.encodeEffect(Signal)(signal)), signal)
      }
    })
  )
})

describe("Cpus", () => {
  it.effect("reads processors and turns them into bandwidth", () =>
    Effect.gen(function* () {
      const decode = Schema.decodeEffect(Cpus)
      assert.deepStrictEqual(cpuBandwidth(yield* decode("1.5")), { quota: 150_000, period: 100_000 })
      assert.deepStrictEqual(cpuBandwidth(yield* decode(".01")), { quota: 1000, period: 100_000 })
      for (const text of ["", "0", "-1", "0.001", "1,5", "1e3", "two", "NaN", "."]) {
        assert.include(yield* refused(Cpus, text), "expected a number of processors", text)
      }
    })
  )

  it.effect.prop(
    "encodes to a text that decodes to the same number",
    [Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 }))],
    ([hundredths]) =>
      Effect.gen(function* () {
        const cpus = hundredths / 100
        assert.strictEqual(yield* Schema.decodeEffect(Cpus)(yield* Schema.encodeEffect(Cpus)(cpus)), cpus)
      })
  )
})
