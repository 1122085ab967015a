/** The server itself, for users. */
import { Context } from "effect"
import type { Effect } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import type { ServerInfo } from "../schema/Requests.ts"
import type { DriverInfo } from "../schema/Runtime.ts"

export class System extends Context.Service<
  System,
  {
    readonly info: Effect.Effect<ServerInfo, BerthError>
    readonly runtimes: Effect.Effect<ReadonlyArray<DriverInfo>, BerthError>
  }
>()("berth/services/System") {}
