/** The namespace that an operation acts in. Ambient, as it is a property of the caller and not of any one call; `default` where nobody set it. */
import { Context } from "effect"
import { Namespace } from "../schema/Ids.ts"

export const CurrentNamespace = Context.Reference<Namespace>("berth/services/CurrentNamespace", {
  defaultValue: () => Namespace.make("default")
})
