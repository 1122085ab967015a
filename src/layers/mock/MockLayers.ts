/** The pretended machine with every port of one, for whoever runs a host, a daemon or a whole simulation on it. */
import { Effect, Layer } from "effect"
import type { Cgroups } from "../../services/Cgroups.ts"
import { MemoryOutput } from "../../services/MemoryOutput.ts"
import type { OciRuntime } from "../../services/OciRuntime.ts"
import type { OutputLog } from "../../services/OutputLog.ts"
import type { ProcessIo } from "../../services/ProcessIo.ts"
import type { ProcessReaper } from "../../services/ProcessReaper.ts"
import { TaskDirectory } from "../../services/TaskDirectory.ts"
import * as MockCgroups from "./MockCgroups.ts"
import type { IoOptions } from "./MockIo.ts"
import * as MockIo from "./MockIo.ts"
import type { MachineOptions } from "./MockMachine.ts"
import * as MockReaper from "./MockReaper.ts"
import type { RuntimeOptions } from "./MockRuntime.ts"
import * as MockRuntime from "./MockRuntime.ts"
import { MockWorld } from "./MockWorld.ts"

export interface Options extends MachineOptions, RuntimeOptions, IoOptions {}

/** The ports of a machine over a world and an output log that are there already. */
export const layerPorts = (
  options: RuntimeOptions & IoOptions = {}
): Layer.Layer<OciRuntime | ProcessReaper | ProcessIo | Cgroups, never, MockWorld | MemoryOutput> =>
  Layer.mergeAll(MockRuntime.layer(options), MockReaper.layer, MockIo.layer(options), MockCgroups.layer)

/** A machine of its own, its ports and the output log. */
export const layer = (
  options: Options = {}
): Layer.Layer<OciRuntime | ProcessReaper | ProcessIo | Cgroups | MockWorld | MemoryOutput | OutputLog> =>
  layerPorts(options).pipe(Layer.provideMerge(MockWorld.layer(options)), Layer.provideMerge(MemoryOutput.layer))

/** The task folders given, with their specifications known to the mock driver, which reads no files. */
export const layerBundles: Layer.Layer<TaskDirectory, never, TaskDirectory | MockWorld> = Layer.effect(
  TaskDirectory,
  Effect.gen(function* () {
    const directory = yield* TaskDirectory
    const world = yield* MockWorld
    return TaskDirectory.of({
      ...directory,
      create: (namespace, id, spec) =>
        Effect.tap(directory.create(namespace, id, spec), (bundle) => world.install(bundle, spec)),
      remove: (ref) =>
        Effect.tap(directory.remove(ref), () =>
          Effect.sync(() => {
            const { pins } = world.inner.machine
            const folder = `${directory.directory(ref)}/`
            for (const path of pins.keys()) if (path.startsWith(folder)) pins.delete(path)
          })
        )
    })
  })
)
