/**
 * The syntax of the small part of the shell that pretended containers speak: lists (`;`, `&&`, `||`, `&`), quotes, variables, redirections to the other
 * stream or to nowhere, `while true` and `for` loops. Whatever else it meets it reports, so that no test runs something other than what it says.
 */
import { Result } from "effect"
import type { OutputStream } from "./MockScript.ts"

/** Text in which variables are still to be replaced, unless it is `literal`. */
export type Word = ReadonlyArray<{ readonly text: string; readonly literal: boolean }>

export interface Redirect {
  readonly from: OutputStream
  readonly to: OutputStream | null
}

export interface Simple {
  readonly _tag: "Simple"
  readonly words: ReadonlyArray<Word>
  readonly redirects: ReadonlyArray<Redirect>
}

export type Node =
  | Simple
  | { readonly _tag: "Forever"; readonly body: List }
  | { readonly _tag: "For"; readonly name: string; readonly words: ReadonlyArray<Word>; readonly body: List }

export interface Item {
  readonly node: Node
  /** Of the status before, when this runs. */
  readonly when: "always" | "success" | "failure"
  readonly background: boolean
}
export type List = ReadonlyArray<Item>

type Token =
  | { readonly _tag: "Word"; readonly word: Word }
  | { readonly _tag: "Operator"; readonly text: string }
  | ({ readonly _tag: "Redirect" } & Redirect)

const blank = /(?:[ \t]|\\\n|#[^\n]*)+/y
const operator = /&&|\|\||[;&\n]/y
const redirect = /([12]?)>>?[ \t]*(?:&([12])|\/dev\/std(out|err)|(\/dev\/null))|<[ \t]*\/dev\/null/y
const piece = /'([^']*)'|"((?:[^"\\]|\\[^])*)"|\\([^])|([^\s;&|<>()'"\\`]+)/y

const stream = (number: string): OutputStream => (number === "2" ? "stderr" : "stdout")

const tokenize = (text: string): Result.Result<ReadonlyArray<Token>, string> => {
  const tokens: Array<Token> = []
  let at = 0
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    at += found?.[0].length ?? 0
    return found
  }
  const word = (): Word => {
    const pieces: Array<Word[number]> = []
    for (let found = match(piece); found !== null; found = match(piece)) {
      const [, single, double, escaped, bare] = found
      const literal = single ?? escaped
      if (literal !== undefined) pieces.push({ text: literal, literal: true })
      else if (bare !== undefined) pieces.push({ text: bare, literal: false })
      else {
        const parts = (double ?? "").split(/\\([$"\\`])/)
        pieces.push(...parts.map((part, index) => ({ text: part, literal: index % 2 === 1 })))
      }
    }
    return pieces
  }
  while (at < text.length) {
    if (match(blank) !== null) continue
    const found = match(operator)
    if (found !== null) {
      tokens.push({ _tag: "Operator", text: found[0] === "\n" ? ";" : found[0] })
      continue
    }
    const redirected = match(redirect)
    if (redirected !== null) {
      const [all, from, number, named, nowhere] = redirected
      const to = nowhere === undefined ? stream(number ?? (named === "err" ? "2" : "1")) : null
      if (!all.startsWith("<")) tokens.push({ _tag: "Redirect", from: stream(from ?? "1"), to })
      continue
    }
    const pieces = word()
    if (pieces.length === 0) return Result.fail(`what is "${text.slice(at, at + 12)}"?`)
    tokens.push({ _tag: "Word", word: pieces })
  }
  return Result.succeed(tokens)
}

/** The text of a word that is written without quotes, as reserved words are. */
const plain = (token: Token | undefined): string | null => {
  const [only, ...others] = token?._tag === "Word" ? token.word : []
  return only === undefined || only.literal || others.length > 0 ? null : only.text
}

/** The list of commands that a text stands for, or what in it is not understood. */
export const parse = (text: string): Result.Result<List, string> => Result.flatMap(tokenize(text), parseTokens)

const parseTokens = (tokens: ReadonlyArray<Token>): Result.Result<List, string> => {
  let at = 0
  let problem: string | null = null
  const refuse = (what: string) => {
    problem ??= what
    at = tokens.length
  }
  const isOperator = (text: string): boolean => {
    const token = tokens[at]
    return token?._tag === "Operator" && token.text === text
  }
  const skipBreaks = () => {
    while (isOperator(";")) at++
  }
  const expect = (reserved: string) => {
    skipBreaks()
    if (plain(tokens[at]) === reserved) at++
    else refuse(`expected "${reserved}"`)
  }
  const block = (): List => {
    expect("do")
    const body = list("done")
    expect("done")
    return body
  }
  const simple = (): Simple => {
    const words: Array<Word> = []
    const redirects: Array<Redirect> = []
    for (let token = tokens[at]; token !== undefined && token._tag !== "Operator"; token = tokens[++at]) {
      if (token._tag === "Word") words.push(token.word)
      else redirects.push(token)
    }
    return { _tag: "Simple", words, redirects }
  }
  const node = (): Node => {
    const first = plain(tokens[at])
    if (first === "while" && /^(?:true|:)$/.test(plain(tokens[at + 1]) ?? "")) {
      at += 2
      return { _tag: "Forever", body: block() }
    }
    const name = plain(tokens[at + 1])
    if (first === "for" && name !== null && plain(tokens[at + 2]) === "in") {
      at += 3
      const { words } = simple()
      return { _tag: "For", name, words, body: block() }
    }
    if (/^(?:while|until|for|if|case|then|do|done|[{}!]|\[\[?|function)$/.test(first ?? ""))
      refuse(`"${first}" is not known here`)
    return simple()
  }
  const list = (end: string | null): List => {
    const items: Array<Item> = []
    let when: Item["when"] = "always"
    for (skipBreaks(); at < tokens.length && (end === null || plain(tokens[at]) !== end); skipBreaks()) {
      if (tokens[at]?._tag === "Operator") refuse("a command is missing")
      const parsed = node()
      const background = isOperator("&")
      items.push({ node: parsed, when, background })
      when = isOperator("&&") ? "success" : isOperator("||") ? "failure" : "always"
      if (background || when !== "always") at++
    }
    return items
  }
  const parsed = list(null)
  return problem === null ? Result.succeed(parsed) : Result.fail(problem)
}
