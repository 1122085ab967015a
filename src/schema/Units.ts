/**
 * The values that people write as text: sizes, durations, signals and processor counts. Each is a codec from string
 * with one message that says what is accepted, and encodes to a text that decodes to the same value. Linux on x86-64
 * and arm64 share the signal numbers used here; nothing is asked of the machine.
 */
import { Duration, Effect, Option, Schema, type SchemaAST, SchemaGetter, SchemaIssue } from "effect"

const codec = <T>(
  to: Schema.Codec<T>,
  expected: string,
  parse: (text: string) => Option.Option<T>,
  format: (value: T) => Option.Option<string>
) => {
  const orFail = <A>(result: Option.Option<A>, input: unknown, found: string, options: SchemaAST.ParseOptions) =>
    Effect.mapError(
      Effect.fromOption(result),
      () => new SchemaIssue.InvalidValue({ message: `expected ${expected}${found}` }, input, options)
    )
  return Schema.String.pipe(
    Schema.decodeTo(to, {
      decode: SchemaGetter.transformEffect((text: string, o) => orFail(parse(text), text, `, got "${text}"`, o)),
      encode: SchemaGetter.transformEffect((value: T, o) => orFail(format(value), value, "", o))
    })
  )
}

/** Digits with an optional fraction, times `unit`, rounded down; exact whatever the number of digits. */
const scale = (digits: string, unit: bigint): bigint => {
  const [whole = "0", fraction = ""] = digits.split(".")
  return BigInt(whole) * unit + (BigInt(fraction || "0") * unit) / 10n ** BigInt(fraction.length)
}

const safe = (n: bigint): Option.Option<number> =>
  n <= BigInt(Number.MAX_SAFE_INTEGER) ? Option.some(Number(n)) : Option.none()

const sizeUnits = [
  ["t", 1n << 40n],
  ["g", 1n << 30n],
  ["m", 1n << 20n],
  ["k", 1n << 10n]
] as const

const parseSize = (text: string): Option.Option<number> => {
  const match = /^(\d+(?:\.\d+)?)(?:([kmgt])(?:i?b)?|b)?$/i.exec(text)
  if (match === null) return Option.none()
  const name = match[2]?.toLowerCase()
  return safe(scale(match[1], sizeUnits.find(([unit]) => unit === name)?.[1] ?? 1n))
}

const formatSize = (bytes: number): Option.Option<string> => {
  const unit = sizeUnits.find(([, size]) => bytes > 0 && BigInt(bytes) % size === 0n)
  return Option.some(unit === undefined ? `${bytes}` : `${BigInt(bytes) / unit[1]}${unit[0]}`)
}

const sizeExamples = "a size such as 64m, 1g or 4096 (units b, k, m, g, t, powers of 1024)"

/** A number of bytes: `64m`, `1.5GiB`, `4096`. */
export const Size = codec(Schema.Natural, sizeExamples, parseSize, formatSize)

/** A number of bytes, or -1 for no limit (`-1`, `unlimited`). */
export const SizeLimit = codec(
  Schema.Int.check(Schema.isGreaterThanOrEqualTo(-1)),
  `${sizeExamples}, or -1 for no limit`,
  (text) => (text === "-1" || text.toLowerCase() === "unlimited" ? Option.some(-1) : parseSize(text)),
  (bytes) => (bytes === -1 ? Option.some("-1") : formatSize(bytes))
)

const nanos = new Map([
  ["h", 3_600_000_000_000n],
  ["m", 60_000_000_000n],
  ["s", 1_000_000_000n],
  ["ms", 1_000_000n],
  ["us", 1_000n],
  ["ns", 1n]
])

const parseDuration = (text: string): Option.Option<Duration.Duration> => {
  if (text === "0") return Option.some(Duration.zero)
  if (!/^(?:\d+(?:\.\d+)?(?:ms|us|ns|h|m|s))+$/i.test(text)) return Option.none()
  let total = 0n
  for (const [, digits, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|us|ns|h|m|s)/gi)) {
    total += scale(digits, nanos.get(unit.toLowerCase()) ?? 1n)
  }
  if (total % 1_000_000n !== 0n) return Option.some(Duration.nanos(total))
  return Option.map(safe(total / 1_000_000n), Duration.millis)
}

const formatDuration = (duration: Duration.Duration): Option.Option<string> =>
  Duration.toNanos(duration).pipe(
    Option.filter((total) => total >= 0n),
    Option.map((total) => {
      if (total === 0n) return "0s"
      const [name, unit] = [...nanos].find(([, size]) => total % size === 0n) ?? ["ns", 1n]
      return `${total / unit}${name}`
    })
  )

/** A span of time: `500ms`, `10s`, `2m`, `1h30m`. */
export const DurationText = codec(
  Schema.Duration,
  "a duration such as 500ms, 10s, 2m or 1h30m (units h, m, s, ms, us, ns)",
  parseDuration,
  formatDuration
)

const signalNames =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS".split(
    " "
  )
const signalAliases = new Map([
  ["IOT", 6],
  ["CLD", 17],
  ["POLL", 29],
  ["UNUSED", 31]
])
const [rtMin, rtMax] = [34, 64]

const parseSignal = (text: string): Option.Option<number> => {
  const within = (n: number, low: number) => (n >= low && n <= rtMax ? Option.some(n) : Option.none())
  if (/^\d{1,2}$/.test(text)) return within(Number(text), 1)
  const name = text.toUpperCase().replace(/^SIG/, "")
  const realTime = /^RT(?:MIN(?:\+(\d{1,2}))?|MAX(?:-(\d{1,2}))?)$/.exec(name)
  if (realTime !== null) {
    return within(name.startsWith("RTMIN") ? rtMin + Number(realTime[1] ?? 0) : rtMax - Number(realTime[2] ?? 0), rtMin)
  }
  const index = signalNames.indexOf(name)
  return index >= 0 ? Option.some(index + 1) : Option.fromNullishOr(signalAliases.get(name))
}

/** The name of a signal number: `SIGTERM`, `SIGRTMIN+3`; the number itself where the C library keeps it (32, 33). */
export const signalName = (signal: number): string => {
  if (signal >= 1 && signal <= signalNames.length) return `SIG${signalNames[signal - 1]}`
  if (signal < rtMin || signal > rtMax) return `${signal}`
  return signal === rtMin ? "SIGRTMIN" : signal === rtMax ? "SIGRTMAX" : `SIGRTMIN+${signal - rtMin}`
}

/** A signal number from its name, with or without `SIG`, in any case, or from its number. */
export const Signal = codec(
  Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: rtMax })),
  "a signal by name (TERM, SIGKILL, RTMIN+3) or number (1 to 64)",
  parseSignal,
  (signal) => Option.some(signalName(signal))
)

/** The CPU bandwidth of a whole processor, in microseconds. */
const cpuPeriod = 100_000

/** A number of processors, whole or not: `2`, `1.5`, at least `0.01`. */
export const Cpus = codec(
  Schema.Finite.check(Schema.isBetween({ minimum: 0.01, maximum: 1_000_000 })),
  "a number of processors such as 2 or 1.5, at least 0.01",
  (text) =>
    Option.filter(
      /^\d*\.?\d+$/.test(text) ? Option.some(Number(text)) : Option.none(),
      (n) => n >= 0.01 && n <= 1_000_000
    ),
  (cpus) => Option.some(`${cpus}`)
)

/** The bandwidth that stands for a number of processors. */
export const cpuBandwidth = (cpus: number): { readonly quota: number; readonly period: number } => ({
  quota: Math.round(cpus * cpuPeriod),
  period: cpuPeriod
})
