/** Why an option cannot become part of a specification: `field` names it as the user wrote it. */
import { Result } from "effect"
import { InvalidArgument } from "../schema/Errors.ts"

export type Problem = InvalidArgument

/** A failed result with one problem. */
export const fail = (field: string, problem: string): Result.Result<never, Problem> =>
  Result.fail(new InvalidArgument({ field, problem }))
