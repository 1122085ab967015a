/** The one way in which a benchmark fails, and how what was thrown becomes it. */
import { Effect, Schema } from "effect"

export class Failure extends Schema.TaggedError<Failure>()("Failure", { what: Schema.String, problem: Schema.String }) {
  override get message() {
    return `${this.what}: ${this.problem}`
  }
}

/** Runs what may throw. */
export const attempt = <A>(what: string, run: () => A): Effect.Effect<A, Failure> =>
  Effect.try({
    try: run,
    catch: (error) => new Failure({ what, problem: error instanceof Error ? error.message : String(error) })
  })
