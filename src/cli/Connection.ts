/** How the command reaches a daemon: the one port between the command line and the services. */
import { Context } from "effect"
import type { Layer } from "effect"
import type { BerthError } from "../schema/Errors.ts"
import type { Containers } from "../services/Containers.ts"
import type { Events } from "../services/Events.ts"
import type { System } from "../services/System.ts"
import type { Tasks } from "../services/Tasks.ts"

/** Everything that a daemon serves. */
export type Services = Containers | Tasks | Events | System

export interface Target {
  readonly address: string
  readonly token?: string | undefined
}

export class Connection extends Context.Service<
  Connection,
  {
    /** The services at an address. A daemon that does not answer shows at the first call. */
    readonly to: (target: Target) => Layer.Layer<Services, BerthError>
  }
>()("berth/cli/Connection") {}
