/** `ShimRpc` over a `ProcessHost` in this process. Translation, and one decision: a shim that holds no container and that no daemon watches ends. */
import { Effect, Option, Ref, Schedule, Stream } from "effect"
import { ProcessHost } from "../../services/ProcessHost.ts"
import { ShimRpc, shimProtocol } from "../../rpc/ShimRpc.ts"

const done = Effect.as(null)

/** How often an idle shim asks itself what it is for. Idle twice in a row, it ends. */
const idleCheck = "5 seconds"

/** `stop` ends the process that hosts this. */
export const layer = (options: { readonly version: string; readonly stop: Effect.Effect<void> }) =>
  ShimRpc.toLayer(
    Effect.gen(function* () {
      const host = yield* ProcessHost
      const watchers = yield* Ref.make(0)
      const idleSince = yield* Ref.make(0)

      const busy = Effect.map(
        Stream.runHead(host.watch),
        Option.exists((event) => event._tag === "Snapshot" && event.records.length > 0)
      )
      const check = Effect.gen(function* () {
        const idle = (yield* Ref.get(watchers)) === 0 && !(yield* busy)
        const times = yield* Ref.updateAndGet(idleSince, (times) => (idle ? times + 1 : 0))
        if (times > 1) yield* options.stop
      })
      yield* check.pipe(Effect.ignore, Effect.schedule(Schedule.spaced(idleCheck)), Effect.forkScoped)

      const watch = Stream.unwrap(
        Effect.as(
          Effect.acquireRelease(
            Ref.update(watchers, (count) => count + 1),
            () => Ref.update(watchers, (count) => count - 1)
          ),
          host.watch
        )
      )

      return ShimRpc.of({
        Hello: () => Effect.succeed({ protocol: shimProtocol, version: options.version, pid: process.pid }),
        Create: host.create,
        Start: (ref) => done(host.start(ref)),
        Exec: host.exec,
        Signal: (request) => done(host.signal(request)),
        Pause: (ref) => done(host.pause(ref)),
        Resume: (ref) => done(host.resume(ref)),
        Update: host.update,
        Delete: host.delete,
        DeleteExec: host.deleteExec,
        Pids: host.pids,
        ProcessTable: host.processTable,
        Stats: host.stats,
        StatsOf: host.statsOf,
        WriteStdin: (request) => done(host.writeStdin(request)),
        CloseStdin: (ref) => done(host.closeStdin(ref)),
        Resize: (request) => done(host.resize(request)),
        Watch: () => watch,
        Shutdown: () => Effect.tap(busy, (busy) => (busy ? Effect.void : options.stop))
      })
    })
  )
