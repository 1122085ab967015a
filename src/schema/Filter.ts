/**
 * Filters over containers, tasks and events: `parse` once, then ask `matches` of each. A filter knows no fields of its own: those come as a function
 * (`FilterFields.ts`), and a field that there is not is simply absent. The grammar is in `FilterSyntax.ts`.
 */
import { Option, Result } from "effect"
import type { InvalidArgument } from "./Errors.ts"
import { parseSelectors } from "./FilterSyntax.ts"
import type { Selector } from "./FilterSyntax.ts"
import type { Fields } from "./FilterFields.ts"
import { compile } from "./Pattern.ts"

export { containerFields, eventFields, taskFields } from "./FilterFields.ts"
export type { Fields } from "./FilterFields.ts"
export type { Selector } from "./FilterSyntax.ts"

/** All selectors of a filter must hold. */
export interface Filter {
  readonly selectors: ReadonlyArray<Selector>
  readonly holds: (fields: Fields) => boolean
}

/** An absent field counts as the empty text in `!=` and `~=`, and equals nothing in `==`. A pattern that is none, or too long, matches nothing. */
const compiled = ({ path, operator, value }: Selector): Filter["holds"] => {
  switch (operator) {
    case "present":
      return (fields) => fields(path) !== undefined
    case "==":
      return (fields) => fields(path) === value
    case "!=":
      return (fields) => (fields(path) ?? "") !== value
    case "~=":
      return Option.match(compile(value), {
        onNone: () => () => false,
        onSome: (pattern) => (fields) => pattern(fields(path) ?? "")
      })
  }
}

/** One filter. The error marks the place: `[name==foo >|;|< x]: …`. */
export const parse = (text: string): Result.Result<Filter, InvalidArgument> =>
  Result.map(parseSelectors(text), (selectors) => {
    const tests = selectors.map(compiled)
    return { selectors, holds: (fields) => tests.every((test) => test(fields)) }
  })

/** All filters of a request; the first error where there is one. */
export const parseAll = (texts: ReadonlyArray<string>): Result.Result<ReadonlyArray<Filter>, InvalidArgument> =>
  Result.all(texts.map(parse))

/** Whether one of the filters matches; where there is none, everything does. */
export const matches = (filters: ReadonlyArray<Filter>, fields: Fields): boolean =>
  filters.length === 0 || filters.some(({ holds }) => holds(fields))
