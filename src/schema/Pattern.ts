/**
 * Regular expressions of strangers. JavaScript's own engine can be made to run for years by a short expression; this one follows all ways through the
 * expression at once, so that its time is bounded by the lengths of expression and text. The language is RE2's: no look-around, no back-references. It
 * answers whether there is a match, not where.
 */
import { Option } from "effect"
import { Refused, parse, refuse } from "./PatternSyntax.ts"
import type { Node } from "./PatternSyntax.ts"

/** Whether the text contains a match. */
export type Pattern = (text: string) => boolean

/** Longest expression, in characters. */
export const maxPatternLength = 256
/** Most steps of a compiled expression: `(x{100}){100}` is short, and means ten thousand characters. */
const maxSteps = 500

/** What an expression compiles to: `Char` and `Place` go on to the next step where they hold, `Fork` to all of `to` at no cost. */
type Step =
  | Extract<Node, { readonly _tag: "Char" | "Place" }>
  | { readonly _tag: "Fork"; to: ReadonlyArray<number> }
  | { readonly _tag: "End" }

const assemble = (node: Node): ReadonlyArray<Step> => {
  const steps: Array<Step> = []
  const push = (step: Step) => (steps.length < maxSteps ? steps.push(step) - 1 : refuse())
  const fork = () => {
    const step: { readonly _tag: "Fork"; to: ReadonlyArray<number> } = { _tag: "Fork", to: [] }
    push(step)
    return step
  }
  const emit = (part: Node): void => {
    switch (part._tag) {
      case "Char":
      case "Place":
        push(part)
        return
      case "All":
        part.nodes.forEach(emit)
        return
      case "Any": {
        const choice = fork()
        const ends = part.nodes.map((branch) => {
          const start = steps.length
          emit(branch)
          return { start, leave: fork() }
        })
        choice.to = ends.map(({ start }) => start)
        for (const { leave } of ends) leave.to = [steps.length]
        return
      }
      case "Repeat": {
        for (let count = 0; count < part.min; count++) emit(part.node)
        if (part.max === Infinity) {
          const start = steps.length
          const enter = fork()
          emit(part.node)
          fork().to = [start]
          enter.to = [start + 1, steps.length]
        } else {
          const skips = Array.from({ length: part.max - part.min }, () => {
            const skip = fork()
            const start = steps.length
            emit(part.node)
            return { skip, start }
          })
          for (const { skip, start } of skips) skip.to = [start, steps.length]
        }
      }
    }
  }
  emit(node)
  push({ _tag: "End" })
  return steps
}

const run =
  (steps: ReadonlyArray<Step>): Pattern =>
  (text) => {
    const chars = [...text]
    const seen = new Int32Array(steps.length).fill(-1)
    let active: Array<number> = []
    for (let at = 0; at <= chars.length; at++) {
      const previous = chars[at - 1] ?? ""
      const next = chars[at] ?? ""
      const pending = [...active, 0]
      active = []
      for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
        const step = steps[index]
        if (step === undefined || seen[index] === at) continue
        seen[index] = at
        if (step._tag === "End") return true
        if (step._tag === "Fork") pending.push(...step.to)
        else if (step._tag === "Place" && step.test(previous, next)) pending.push(index + 1)
        else if (step._tag === "Char" && next !== "" && step.test(next)) active.push(index + 1)
      }
    }
    return false
  }

/** None for what is not an expression, or is too long. */
export const compile = (source: string): Option.Option<Pattern> => {
  if (source.length > maxPatternLength) return Option.none()
  try {
    return Option.some(run(assemble(parse(source))))
  } catch (error) {
    if (error instanceof Refused) return Option.none()
    throw error
  }
}
