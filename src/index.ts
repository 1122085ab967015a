/** The library: the services, what they speak of, and the layers that provide them. */
import { layerClient } from "./layers/Client.ts"
import { layerEmbedded } from "./layers/Embedded.ts"

/** Where the services come from. */
export const Berth = { layerClient, layerEmbedded } as const

export type { ClientOptions } from "./layers/Client.ts"
export type { EmbeddedOptions } from "./layers/Embedded.ts"
export { Container, ContainerPatch, Labels, NewContainer } from "./schema/Container.ts"
export * from "./schema/Errors.ts"
export { Event, Payload } from "./schema/Events.ts"
export { ConsumerName, ContainerId, ExecId, Namespace, RuntimeName, Seq } from "./schema/Ids.ts"
export { OciProcess, OciSpec } from "./schema/OciSpec.ts"
export { defaultStdio, Exit, OutputChunk, Process, Stdio, TerminalSize } from "./schema/Process.ts"
export * from "./schema/Requests.ts"
export { Resources } from "./schema/Resources.ts"
export { RunEvent, RunRequest } from "./schema/Run.ts"
export { DriverInfo } from "./schema/Runtime.ts"
export { ProcessInfo, Stats } from "./schema/Stats.ts"
export { Task } from "./schema/Task.ts"
export { Containers } from "./services/Containers.ts"
export { CurrentNamespace } from "./services/CurrentNamespace.ts"
export { Events } from "./services/Events.ts"
export type { RunOptions } from "./services/Run.ts"
export { System } from "./services/System.ts"
export { Tasks } from "./services/Tasks.ts"
export * as ProcessSpec from "./spec/ProcessSpec.ts"
export * as Spec from "./spec/Spec.ts"
