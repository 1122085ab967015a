/** Why an option cannot become part of a specification. Plain data: the caller turns it into an `InvalidArgument`. */
import { Result } from "effect"

/** `field` names the option as the user wrote it, `problem` says what is wrong with it. */
export interface Problem {
  readonly field: string
  readonly problem: string
}

/** A failed result with one problem. */
export const fail = (field: string, problem: string): Result.Result<never, Problem> => Result.fail({ field, problem })
