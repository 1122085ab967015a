/** From RPCs to services. Translation only: whatever decides anything is in the services. */
import { Effect } from "effect"
import { Containers } from "../services/Containers.ts"
import { Events } from "../services/Events.ts"
import { System } from "../services/System.ts"
import { Tasks } from "../services/Tasks.ts"
import { BerthRpc } from "./BerthRpc.ts"

export const layer = BerthRpc.toLayer(
  Effect.gen(function* () {
    const containers = yield* Containers
    const tasks = yield* Tasks
    const events = yield* Events
    const system = yield* System
    return BerthRpc.of({
      "Containers.Create": containers.create,
      "Containers.Get": ({ id }) => containers.get(id),
      "Containers.List": containers.list,
      "Containers.Update": ({ id, patch }) => containers.update(id, patch),
      "Containers.Delete": ({ id }) => Effect.as(containers.delete(id), null),
      "Tasks.Create": tasks.create,
      "Tasks.Run": tasks.runStream,
      "Tasks.Start": ({ id }) => tasks.start(id),
      "Tasks.Get": ({ id }) => tasks.get(id),
      "Tasks.List": tasks.list,
      "Tasks.Signal": (request) => Effect.as(tasks.signal(request), null),
      "Tasks.Stop": tasks.stop,
      "Tasks.Pause": ({ id }) => tasks.pause(id),
      "Tasks.Resume": ({ id }) => tasks.resume(id),
      "Tasks.Update": tasks.update,
      "Tasks.Wait": tasks.wait,
      "Tasks.Delete": tasks.delete,
      "Tasks.Clean": ({ id }) => tasks.clean(id),
      "Tasks.Pids": ({ id }) => tasks.pids(id),
      "Tasks.ProcessTable": ({ id }) => tasks.processTable(id),
      "Tasks.Stats": ({ id }) => tasks.stats(id),
      "Tasks.ListStats": tasks.listStats,
      "Tasks.Exec": tasks.exec,
      "Tasks.StartExec": tasks.startExec,
      "Tasks.DeleteExec": tasks.deleteExec,
      "Tasks.Processes": ({ id }) => tasks.processes(id),
      "Tasks.Output": tasks.output,
      "Tasks.WriteStdin": (request) => Effect.as(tasks.writeStdin(request), null),
      "Tasks.CloseStdin": (request) => Effect.as(tasks.closeStdin(request), null),
      "Tasks.Resize": (request) => Effect.as(tasks.resize(request), null),
      "Events.Subscribe": events.subscribe,
      "Events.Acknowledge": (request) => Effect.as(events.acknowledge(request), null),
      "Events.Consumers": () => events.consumers,
      "Events.Forget": ({ consumer }) => Effect.as(events.forget(consumer), null),
      "System.Info": () => system.info,
      "System.Runtimes": () => system.runtimes,
      "System.Orphans": system.orphans
    })
  })
)
