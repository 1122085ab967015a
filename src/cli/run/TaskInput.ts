/** From options to what is created beside the specification: name, labels, runtime, and where input and output go. */
import { Effect, Option } from "effect"
import { Labels } from "../../schema/Container.ts"
import type { NewContainer } from "../../schema/Container.ts"
import type { Stdio } from "../../schema/Process.ts"
import * as StopWishes from "../../schema/StopWishes.ts"
import { keyValues } from "../KeyValues.ts"
import * as Params from "../Params.ts"
import type { CreateFlags } from "./Flags.ts"
import { parseLog } from "./LogInput.ts"

/** Standard input and output of a process. */
export const stdio = (command: string, flags: Pick<CreateFlags, "interactive" | "log" | "logOpt">) =>
  Effect.map(parseLog(command, flags), (log): Stdio => ({ stdin: flags.interactive, log }))

/** The container to create, but for its specification. */
export const record = Effect.fnUntraced(function* (command: string, flags: CreateFlags) {
  const labels = {
    ...(yield* keyValues(command, "--label", flags.label, Labels)),
    ...StopWishes.write({ signal: flags.stopSignal, timeout: flags.stopTimeout })
  }
  const id = Option.isSome(flags.id) ? flags.id.value : yield* Params.randomId
  const made: Omit<NewContainer, "spec"> = {
    id,
    labels,
    ...Option.match(flags.runtime, { onNone: () => ({}), onSome: (name) => ({ runtime: { name } }) })
  }
  return made
})
