/** The daemon: the services of `actors/Berth.ts` over SQLite and a shim, behind the doors of `server/HttpServer.ts`. */
import { NodeServices } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { Admission } from "../rpc/Admission.ts"
import * as Handlers from "../rpc/Handlers.ts"
import { Session } from "../rpc/Session.ts"
import { configure } from "./DaemonOptions.ts"
import type { DaemonOptions } from "./DaemonOptions.ts"
import { diskFailure } from "./io/DiskFailure.ts"
import * as Local from "./Local.ts"
import * as Preflight from "./runtime/Preflight.ts"
import * as HostSwitch from "./runtime/HostSwitch.ts"
import * as RuntimeTable from "./RuntimeTable.ts"
import * as HttpServer from "./server/HttpServer.ts"
import { bound, parse } from "./server/Listen.ts"
import * as Services from "./Services.ts"
import * as ShimHost from "./shim/ShimHost.ts"
import * as StateLock from "./StateLock.ts"

export type { DaemonOptions } from "./DaemonOptions.ts"

/** Serves until it is interrupted; containers go on. Prints one line when it is ready. */
export const runDaemon = Effect.fn("runDaemon")(
  function* (options: DaemonOptions) {
    const settings = yield* configure(options)
    const addresses = yield* Effect.forEach(options.listen, (address) => Effect.fromResult(parse(address)))
    yield* Effect.sync(() => process.umask(0o077))
    // Before anything is touched that a daemon which is there already may be using.
    yield* Effect.forEach(addresses, bound, { discard: true })
    yield* Effect.provide(
      Preflight.check(settings.config.runtime),
      Local.runtimes({ ...settings, state: settings.config.state })
    )
    yield* Layer.build(StateLock.layer({ state: settings.config.state }))
    yield* Effect.mapError(RuntimeTable.save(settings.config.state, settings.runtimes), ({ reason }) =>
      StateLock.failure(settings.config.state, reason.cause)
    )
    yield* HostSwitch.set(settings.config.state, settings.hostDriver)
    const handlers = Handlers.layer.pipe(
      Layer.provide(Services.over(ShimHost.layer({ state: settings.config.state }), settings))
    )
    const [first, ...rest] = addresses.map((address) => HttpServer.layer(address, settings.limits))
    if (first === undefined) return yield* Effect.never
    yield* Layer.build(
      Layer.mergeAll(first, ...rest).pipe(
        Layer.provide([handlers, Session.layer.pipe(Layer.provide(Admission.layer(settings.limits)))])
      )
    )
    yield* Console.log(`berth ${settings.config.version} is ready on ${options.listen.join(", ")}`)
    return yield* Effect.never
  },
  Effect.scoped,
  Effect.catchTags({
    // The socket and its folder are all that is left to it.
    PlatformError: ({ reason }) => {
      const path = String(reason._tag === "BadArgument" ? reason.method : reason.pathOrDescriptor)
      return Effect.fail(diskFailure("daemon", `use ${path}`, path, reason.cause))
    }
  }),
  Effect.provide(NodeServices.layer),
  // Nobody collects spans yet, and they cost a millisecond of every lifecycle.
  Effect.withTracerEnabled(false)
)
