/** `ShimRpc` over a `ProcessHost` in this process. Translation only. */
import { Effect, Option, Stream } from "effect"
import { Unavailable } from "../../schema/Errors.ts"
import { ProcessHost } from "../../services/ProcessHost.ts"
import { ShimRpc, shimProtocol } from "../../rpc/ShimRpc.ts"

const done = Effect.as(null)

/** `stop` ends the process that hosts this. */
export const layer = (options: { readonly version: string; readonly stop: Effect.Effect<void> }) =>
  ShimRpc.toLayer(
    Effect.gen(function* () {
      const host = yield* ProcessHost
      return ShimRpc.of({
        Hello: () => Effect.succeed({ protocol: shimProtocol, version: options.version, pid: process.pid }),
        Create: host.create,
        Start: (ref) => done(host.start(ref)),
        Exec: host.exec,
        Signal: (request) => done(host.signal(request)),
        Pause: (ref) => done(host.pause(ref)),
        Resume: (ref) => done(host.resume(ref)),
        Delete: host.delete,
        DeleteExec: (ref) => done(host.deleteExec(ref)),
        Pids: host.pids,
        WriteStdin: (request) => done(host.writeStdin(request)),
        CloseStdin: (ref) => done(host.closeStdin(ref)),
        Watch: () => host.watch,
        Shutdown: () =>
          Effect.gen(function* () {
            const first = yield* Stream.runHead(host.watch)
            if (Option.isNone(first) || first.value._tag !== "Snapshot") {
              return yield* new Unavailable({ what: "shim", problem: "it is stopping", mend: null })
            }
            const busy = first.value.records.length > 0
            if (!busy) yield* options.stop
            return busy
          })
      })
    })
  )
