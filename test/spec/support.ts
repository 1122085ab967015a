/** Shorthands of the tests in this folder. */
import { assert } from "@effect/vitest"
import { Result } from "effect"
import type { Problem } from "../../src/spec/Problem.ts"

/** The value of a result that must have one. */
export const good = <A>(result: Result.Result<A, Problem>): A => {
  if (Result.isFailure(result)) assert.fail(`${result.failure.field}: ${result.failure.problem}`)
  return result.success
}

/** The problem of a result that must have one, as `field: problem`. */
export const bad = (result: Result.Result<unknown, Problem>): string => {
  if (Result.isSuccess(result)) assert.fail(`expected a problem, got ${JSON.stringify(result.success)}`)
  return `${result.failure.field}: ${result.failure.problem}`
}
