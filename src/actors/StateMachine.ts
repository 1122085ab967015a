/** What the machines of tasks and of execs have in common: the shape of an answer, and the short words that make one. Pure. */
import type { Payload } from "../schema/Events.ts"

/** `rejected`: the command is not for this state; everything else is as it was. `finished`: it is for a process that has ended. */
export interface Next<State, Operation> {
  readonly state: State
  readonly events: ReadonlyArray<Payload>
  readonly operations: ReadonlyArray<Operation>
  readonly rejected: { readonly allowed: ReadonlyArray<string> } | "finished" | null
}

/** The words for one machine. */
export const words = <State, Operation>() => {
  /** Nothing follows. */
  const stay = (state: State): Next<State, Operation> => ({ state, events: [], operations: [], rejected: null })
  return {
    stay,
    /** The command works in other states only. */
    reject: (state: State, ...allowed: ReadonlyArray<string>): Next<State, Operation> => ({
      ...stay(state),
      rejected: { allowed }
    }),
    /** The command is for a process that has ended. */
    finished: (state: State): Next<State, Operation> => ({ ...stay(state), rejected: "finished" }),
    /** On to a state, with what is told and what is to be done. */
    go: (
      state: State,
      events: ReadonlyArray<Payload> = [],
      ...operations: ReadonlyArray<Operation>
    ): Next<State, Operation> => ({ state, events, operations, rejected: null })
  }
}
