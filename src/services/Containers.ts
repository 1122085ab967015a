/** Containers for users: metadata to create, read, label and delete, in the caller's namespace. */
import { Context } from "effect"
import type { Effect } from "effect"
import type { Container, ContainerPatch, NewContainer } from "../schema/Container.ts"
import type { BerthError } from "../schema/Errors.ts"
import type { ContainerId } from "../schema/Ids.ts"
import type { ListRequest } from "../schema/Requests.ts"

export class Containers extends Context.Service<
  Containers,
  {
    readonly create: (request: NewContainer) => Effect.Effect<Container, BerthError>
    readonly get: (id: ContainerId) => Effect.Effect<Container, BerthError>
    /** By id. */
    readonly list: (request: ListRequest) => Effect.Effect<ReadonlyArray<Container>, BerthError>
    readonly update: (id: ContainerId, patch: ContainerPatch) => Effect.Effect<Container, BerthError>
    /** FailedPrecondition while it has a task. */
    readonly delete: (id: ContainerId) => Effect.Effect<void, BerthError>
  }
>()("berth/services/Containers") {}
