/**
 * How a pretended machine misbehaves, as data: rules for the operations of its ports, set while it runs. The newest rule that fits an operation is the one that
 * acts.
 */
import { Effect, Latch } from "effect"
import type { Duration } from "effect"
import type { DriverError } from "../../services/OciRuntime.ts"
import type { ResourceExhausted, Unavailable } from "../../schema/Errors.ts"
import type { ProcessRef } from "../../schema/Ids.ts"
import type { Match } from "./MockScript.ts"
import { matches } from "./MockScript.ts"

/** What each operation may fail with. */
export interface Failures {
  readonly create: DriverError
  readonly start: DriverError
  readonly exec: DriverError
  readonly pause: DriverError
  readonly resume: DriverError
  readonly update: DriverError
  readonly delete: DriverError
  readonly pids: DriverError
  readonly open: ResourceExhausted | Unavailable
  readonly claim: never
  readonly signal: never
}
export type Operation = keyof Failures

/** Waits, then hangs, then fails, as far as given. */
export interface Behaviour<E> {
  /** Whether before or after the operation takes effect; before, where it is not given. */
  readonly at?: "before" | "after"
  readonly delay?: Duration.Input
  /** Until `release`. */
  readonly hang?: boolean
  readonly fail?: E
  /** How often it acts; without it, always. */
  readonly times?: number
}

interface Rule<E> {
  readonly match: Match
  readonly behaviour: Behaviour<E>
  readonly released: Latch.Latch
  left: number
}

export const makeFaults = () => {
  const rules: { readonly [Op in Operation]: Array<Rule<Failures[Op]>> } = {
    create: [],
    start: [],
    exec: [],
    pause: [],
    resume: [],
    update: [],
    delete: [],
    pids: [],
    open: [],
    claim: [],
    signal: []
  }

  /** From now on operations of that kind behave so. */
  const onOperation = <Op extends Operation>(operation: Op, match: Match, behaviour: Behaviour<Failures[Op]>) =>
    Effect.sync(() => {
      rules[operation].push({ match, behaviour, released: Latch.makeUnsafe(false), left: behaviour.times ?? Infinity })
    })

  /** Lets go of what hangs in that operation, and forgets the rules that made it hang. */
  const release = (operation: Operation) =>
    Effect.sync(() => {
      const known: Array<Rule<unknown>> = rules[operation]
      for (const { released } of known) released.openUnsafe()
      known.splice(0, Infinity, ...known.filter(({ behaviour }) => behaviour.hang !== true))
    })

  /** An operation as the rules will have it. */
  const guard = <Op extends Operation, A, E, R>(
    operation: Op,
    ref: ProcessRef,
    args: ReadonlyArray<string>,
    work: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | Failures[Op], R> =>
    Effect.suspend((): Effect.Effect<A, E | Failures[Op], R> => {
      const known: ReadonlyArray<Rule<Failures[Op]>> = rules[operation]
      const rule = known.findLast(({ left, match }) => left > 0 && matches(match, ref, args))
      if (rule === undefined) return work
      rule.left--
      const { at, delay, fail, hang } = rule.behaviour
      const act = (delay === undefined ? Effect.void : Effect.sleep(delay)).pipe(
        Effect.andThen(hang === true ? rule.released.await : Effect.void),
        Effect.andThen(fail === undefined ? Effect.void : Effect.fail(fail))
      )
      return at === "after" ? Effect.tap(work, act) : Effect.andThen(act, work)
    })

  return { onOperation, release, guard } as const
}
export type Faults = ReturnType<typeof makeFaults>
