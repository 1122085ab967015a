/**
 * The syntax of the expressions that `Pattern.ts` runs: text to a tree, whose leaves test one character or one place between two. Refuses what RE2 refuses.
 */

type Place = (previous: string, next: string) => boolean
export type Node =
  | { readonly _tag: "Char"; readonly test: (char: string) => boolean }
  | { readonly _tag: "Place"; readonly test: Place }
  | { readonly _tag: "All"; readonly nodes: ReadonlyArray<Node> }
  | { readonly _tag: "Any"; readonly nodes: ReadonlyArray<Node> }
  | { readonly _tag: "Repeat"; readonly node: Node; readonly min: number; readonly max: number }

/** Thrown where an expression is none, or is too much; `compile` catches it. */
export class Refused extends Error {}
export const refuse = (): never => {
  throw new Refused()
}

const isWord = (char: string) => /^\w$/.test(char)

/** POSIX's classes, as JavaScript writes them between brackets. */
const classes: { readonly [name: string]: string } = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  ascii: "\\x00-\\x7F",
  blank: "\\t ",
  cntrl: "\\x00-\\x1F\\x7F",
  digit: "0-9",
  graph: "!-~",
  lower: "a-z",
  print: " -~",
  punct: "!-\\/:-@\\[-`{-~",
  space: "\\t\\n\\v\\f\\r ",
  upper: "A-Z",
  word: "0-9A-Za-z_",
  xdigit: "0-9A-Fa-f"
}

interface Flags {
  readonly i: boolean
  readonly m: boolean
  readonly s: boolean
}

/** One character is tested by JavaScript's engine, which is safe, and knows Unicode's properties and letter cases. */
const charTest = (source: string, flags: Flags): Node => {
  try {
    const regex = new RegExp(`^(?:${source})$`, flags.i ? "ui" : "u")
    return { _tag: "Char", test: (char) => regex.test(char) }
  } catch {
    return refuse()
  }
}

/** What JavaScript writes otherwise: `\pL`, `\p{^L}`, `\p{Greek}`, `\x{1F600}`, and an escape where none is needed. */
const translated = (source: string): string =>
  source.replace(
    /\\(?:([pP])(?:(\w)|\{(\^?)(\w+)\})|x(\{\w+\})|([^\w\s]))/gu,
    (text, property, short, not, name, code, other) => {
      if (property !== undefined) {
        const letter = not === "^" ? (property === "p" ? "P" : "p") : property
        const value = short ?? name
        return `\\${letter}{${/^(?:[A-Z][a-z]?|Any)$/.test(value) ? value : `Script=${value}`}}`
      }
      if (code !== undefined) return `\\u${code}`
      return /[\^$\\.*+?()[\]{}|/-]/.test(other) ? text : other
    }
  )

const literal = (char: string, flags: Flags): Node =>
  flags.i
    ? charTest(char.replace(/[\\^$.*+?()[\]{}|/]/, "\\$&"), flags)
    : { _tag: "Char", test: (other) => other === char }

/** Throws `Refused`. */
export const parse = (source: string): Node => {
  let at = 0
  let flags: Flags = { i: false, m: false, s: false }
  /** Takes what stands here, if it does. */
  const take = (expected: RegExp): RegExpExecArray | null => {
    expected.lastIndex = at
    const found = expected.exec(source)
    if (found !== null) at += found[0].length
    return found
  }
  const either = (): Node => {
    const nodes = [sequence()]
    while (take(/\|/y) !== null) nodes.push(sequence())
    return { _tag: "Any", nodes }
  }
  const sequence = (): Node => {
    const nodes: Array<Node> = []
    while (at < source.length && source[at] !== "|" && source[at] !== ")") nodes.push(repeated())
    return { _tag: "All", nodes }
  }
  const repeated = (): Node => {
    const node = atom()
    const counted = take(/([*+?])\??|\{(\d{1,4})(,(\d{1,4})?)?\}\??/y)
    if (counted === null) return node
    const [, mark, low, comma, high] = counted
    const min = mark === "+" ? 1 : Number(low ?? 0)
    const max =
      mark === "?"
        ? 1
        : mark !== undefined || (comma !== undefined && high === undefined)
          ? Infinity
          : Number(high ?? low)
    return max < min || take(/[*+?]/y) !== null ? refuse() : { _tag: "Repeat", node, min, max }
  }
  const group = (): Node => {
    const outer = flags
    const option = take(/\?(?:P?<\w+>|([ims]*)(?:-([ims]+))?([:)]))/y)
    if (option === null && source[at] === "?") return refuse()
    const [, on = "", off = "", end] = option ?? []
    const set = (flag: keyof Flags) => (flags[flag] || on.includes(flag)) && !off.includes(flag)
    flags = { i: set("i"), m: set("m"), s: set("s") }
    // `(?i)` holds to the end of the group that it stands in.
    if (end === ")") return { _tag: "All", nodes: [] }
    const inner = either()
    flags = outer
    return take(/\)/y) === null ? refuse() : inner
  }
  const place = (test: Place): Node => ({ _tag: "Place", test })
  const atStart: Place = (previous) => previous === ""
  const atEnd: Place = (_, next) => next === ""
  const escape = (): Node => {
    const edge: Place = (previous, next) => isWord(previous) !== isWord(next)
    if (take(/A/y) !== null) return place(atStart)
    if (take(/z/y) !== null) return place(atEnd)
    if (take(/b/y) !== null) return place(edge)
    if (take(/B/y) !== null) return place((previous, next) => !edge(previous, next))
    const known = take(/[dDsSwW]|[pP](?:\w|\{\^?\w+\})|[fnrtv]|x(?:[0-9A-Fa-f]{2}|\{[0-9A-Fa-f]{1,6}\})/y)
    if (known !== null) return charTest(translated(`\\${known[0]}`), flags)
    const other = take(/[^A-Za-z0-9\s]/uy)
    return other === null ? refuse() : literal(other[0], flags)
  }
  const bracket = (): Node => {
    const found = take(/\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]/suy)
    if (found === null) return refuse()
    const [, not = "", first = "", rest = ""] = /^(\^?)(\]?)(.*)\]$/s.exec(found[0]) ?? []
    const body = translated(rest).replace(/\[:(\^?\w+):\]|\\.|\[/gsu, (text, name: string | undefined) =>
      name !== undefined
        ? Object.hasOwn(classes, name)
          ? (classes[name] ?? "")
          : refuse()
        : text === "["
          ? "\\["
          : text
    )
    return charTest(`[${not}${first === "" ? "" : "\\]"}${body}]`, flags)
  }
  const atom = (): Node => {
    const { m, s } = flags
    const [char] = take(/./suy) ?? refuse()
    switch (char) {
      case "(":
        return group()
      case "[":
        return bracket()
      case "\\":
        return escape()
      case ".":
        return { _tag: "Char", test: (other) => s || other !== "\n" }
      case "^":
        return place(m ? (previous) => previous === "" || previous === "\n" : atStart)
      case "$":
        return place(m ? (_, next) => next === "" || next === "\n" : atEnd)
      case "*":
      case "+":
      case "?":
        return refuse()
      default:
        return literal(char, flags)
    }
  }
  const whole = either()
  return at === source.length ? whole : refuse()
}
