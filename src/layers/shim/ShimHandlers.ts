/** `ShimRpc` over a `ProcessHost` in this process. Translation, and one decision: a shim that holds no container and that no daemon watches ends. */
import { Effect, Option, Ref, Schedule, Stream } from "effect"
import { ProcessHost } from "../../services/ProcessHost.ts"
import type { Hello } from "../../rpc/ShimRpc.ts"
import { oldestShimProtocol, ShimRpc, shimProtocol } from "../../rpc/ShimRpc.ts"

const done = Effect.as(null)

/** How often an idle shim asks itself what it is for. Idle twice in a row, it ends. */
const idleCheck = "5 seconds"

/** What this shim says of itself. */
export const current = (version: string) => (): Hello => ({
  protocol: shimProtocol,
  oldest: oldestShimProtocol,
  version,
  pid: process.pid
})

/** `stop` ends the process that hosts this. */
export const layer = ({ hello, ...options }: { readonly hello: () => Hello; readonly stop: Effect.Effect<void> }) =>
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
        Hello: () => Effect.sync(hello),
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
