/** Options of the interface that this version cannot do. They are refused, never passed over. */
import { Option } from "effect"
import { Unsupported } from "../../schema/Errors.ts"
import type { CreateFlags } from "./Flags.ts"

/** The refusal of one option. */
export const unsupported = (capability: string): Unsupported => new Unsupported({ driver: "berth", capability })

/** The first option among these that cannot be done. */
export const refuse = (flags: CreateFlags): Unsupported | null => {
  if (Option.isSome(flags.snapshot)) return unsupported("--snapshot")
  if (Option.isSome(flags.restart) && flags.restart.value !== "no")
    return unsupported(`--restart ${flags.restart.value}`)
  return null
}
