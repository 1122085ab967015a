/** The services that users see, out of the ports: the same graph in the daemon, embedded in an app, and on the mock. */
import { Layer } from "effect"
import * as EventBus from "../services/EventBusLayer.ts"
import { Actors } from "./Actors.ts"
import { ContainerEdits } from "./ContainerEdits.ts"
import * as ContainerRegistry from "./ContainerRegistry.ts"
import * as EventFeed from "./EventFeed.ts"
import * as Recovery from "./Recovery.ts"
import * as TaskRegistry from "./TaskRegistry.ts"

/** Revives every stored task, then serves Containers, Tasks and Events. */
export const layer = Layer.mergeAll(ContainerRegistry.layer, TaskRegistry.layer, EventFeed.layer, Recovery.layer).pipe(
  Layer.provide(Actors.layer),
  Layer.provide(ContainerEdits.layer),
  Layer.provide(EventBus.layer)
)
