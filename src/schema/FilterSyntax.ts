/**
 * The grammar of filters. Containerd's, so that what people know works: `field.field==value`, `!=`, `~=` or the field alone, joined by `,`. And a friendlier
 * one for the command line, in places where containerd's has an error: `field=value`, and `label=key=value` or `label=key`, in which no character but `,`
 * and the space needs quotes.
 */
import { Result } from "effect"
import { InvalidArgument } from "./Errors.ts"

export type Operator = "present" | "==" | "!=" | "~="

export interface Selector {
  readonly path: ReadonlyArray<string>
  readonly operator: Operator
  /** Empty for `present`. */
  readonly value: string
}

interface Source {
  readonly text: string
  at: number
}

type Parsed<A> = Result.Result<A, InvalidArgument>

const wrong = (text: string, at: number, problem: string): Result.Result<never, InvalidArgument> => {
  const [char = ""] = text.slice(at)
  const where = char === "" ? `[${text}]` : `[${text.slice(0, at)} >|${char}|< ${text.slice(at + char.length)}]`
  return Result.fail(new InvalidArgument({ field: "filter", problem: `${where}: ${problem}` }))
}

/** Takes what stands here, if it does; the empty string where it does not. */
const take = (source: Source, expected: RegExp): string => {
  expected.lastIndex = source.at
  const found = expected.exec(source.text)?.[0] ?? ""
  source.at += found.length
  return found
}

const skipSpace = (source: Source) => take(source, /\s+/y)
const fieldRun = /[\w-]+/y
const valueRun = /[^\s,\p{Cc}]+/uy
const keyRun = /[^\s,=\p{Cc}]+/uy
const quotes = /["/|]/

const escapes: { readonly [char: string]: string } = {
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"'
}
const numericEscape = /^(?:([0-3][0-7]{2})|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U(00(?:0[0-9A-Fa-f]|10)[0-9A-Fa-f]{4}))$/

/** Go's escapes; `null` where one is wrong. */
const unescape = (body: string): string | null => {
  let fits = true
  const text = body.replace(/\\([0-7]{1,3}|x.{0,2}|u.{0,4}|U.{0,8}|.)/gsu, (_, escape: string) => {
    const known = escapes[escape]
    if (known !== undefined) return known
    const [, octal, ...hex] = numericEscape.exec(escape) ?? []
    const digits = hex.find((part) => part !== undefined)
    fits &&= octal !== undefined || digits !== undefined
    return fits
      ? String.fromCodePoint(octal === undefined ? Number.parseInt(digits ?? "", 16) : Number.parseInt(octal, 8))
      : ""
  })
  return fits ? text : null
}

/** A quoted text, at its opening quote. Slashes and bars are quotes for regular expressions alone, whose own escapes they leave to them. */
const quoted = (source: Source, forPattern: boolean): Parsed<string> => {
  const start = source.at
  const quote = source.text[start] ?? ""
  const whole = take(
    source,
    quote === '"'
      ? /"(?:[^"\\\n]|\\[^\n])*"/y
      : quote === "/"
        ? /\/(?:[^/\\\n]|\\[^\n])*\//y
        : /\|(?:[^|\\\n]|\\[^\n])*\|/y
  )
  if (whole === "") {
    const hint = quote === "/" ? ", or put a key that has a slash in double quotes" : ""
    return wrong(source.text, start, `close this quote${hint}`)
  }
  if (quote !== '"' && !forPattern) return wrong(source.text, start, "only double quotes work here")
  const body = whole.slice(1, -1)
  if (quote !== '"') {
    return Result.succeed(
      body.replace(/\\(.)/gs, (text, char: string) => (char === quote || char === "\\" ? char : text))
    )
  }
  const text = unescape(body)
  return text === null ? wrong(source.text, start, "this quoted text has a wrong escape") : Result.succeed(text)
}

const field = (source: Source): Parsed<string> => {
  skipSpace(source)
  if (quotes.test(source.text[source.at] ?? "")) return quoted(source, false)
  const name = take(source, fieldRun)
  return name === ""
    ? wrong(source.text, source.at, "expected a field, in double quotes if need be")
    : Result.succeed(name)
}

/** A value, or the key of a label: quoted, or a run of characters. */
const word = (source: Source, run: RegExp, quote: RegExp, forPattern: boolean): Parsed<string> => {
  if (quote.test(source.text[source.at] ?? "")) return quoted(source, forPattern)
  const text = take(source, run)
  return text === "" ? wrong(source.text, source.at, "expected a value, quoted if need be") : Result.succeed(text)
}

/** After the `=` of the friendlier grammar, where only double quotes are quotes. */
const friendly = (source: Source, path: ReadonlyArray<string>): Parsed<Selector> =>
  Result.gen(function* () {
    const plain = /"/
    if (path.length !== 1 || path[0] !== "label") {
      return { path, operator: "==", value: yield* word(source, valueRun, plain, false) }
    }
    const label = ["labels", yield* word(source, keyRun, plain, false)]
    if (take(source, /=/y) === "") return { path: label, operator: "present", value: "" }
    return { path: label, operator: "==", value: yield* word(source, valueRun, plain, false) }
  })

const operators: { readonly [text: string]: Operator } = { "==": "==", "!=": "!=", "~=": "~=" }

const selector = (source: Source): Parsed<Selector> =>
  Result.gen(function* () {
    const path = [yield* field(source)]
    while (take(source, /\./y) !== "") path.push(yield* field(source))
    skipSpace(source)
    const start = source.at
    const next = source.text[start] ?? ""
    if (next === "" || next === ",") return { path, operator: "present", value: "" }
    if (quotes.test(next)) yield* quoted(source, true)
    source.at = start
    const written = take(source, /[=!~]+/y)
    if (written === "=") return yield* friendly(source, path)
    const operator = operators[written]
    if (operator === undefined) return yield* wrong(source.text, start, `expected "==", "!=" or "~="`)
    skipSpace(source)
    return { path, operator, value: yield* word(source, valueRun, quotes, operator === "~=") }
  })

/** All selectors of one filter; none for the empty text, which matches everything. */
export const parseSelectors = (text: string): Parsed<ReadonlyArray<Selector>> =>
  Result.gen(function* () {
    const source: Source = { text, at: 0 }
    if (text === "") return []
    const selectors = [yield* selector(source)]
    skipSpace(source)
    while (take(source, /,/y) !== "") {
      selectors.push(yield* selector(source))
      skipSpace(source)
    }
    return source.at === text.length ? selectors : yield* wrong(text, source.at, `expected "," or the end`)
  })
