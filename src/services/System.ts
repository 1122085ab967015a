/** The server itself, for users. */
import { Context } from "effect"
import type { Effect } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import type { Orphan } from "../schema/Orphan.ts"
import type { ServerInfo } from "../schema/Requests.ts"
import type { DriverInfo } from "../schema/Runtime.ts"

export class System extends Context.Service<
  System,
  {
    readonly info: Effect.Effect<ServerInfo, BerthError>
    readonly runtimes: Effect.Effect<ReadonlyArray<DriverInfo>, BerthError>
    /** What crashes have left behind; with `repair` it is removed where that harms nobody. */
    readonly orphans: (request: { readonly repair: boolean }) => Effect.Effect<ReadonlyArray<Orphan>, BerthError>
  }
>()("berth/services/System") {}
