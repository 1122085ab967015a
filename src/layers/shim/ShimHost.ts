/**
 * `ProcessHost` in a shim: finds the shim of a state folder or starts one, speaks `ShimRpc` to it, and replaces it when it dies. The shim is detached: it does
 * not end with the daemon, and its containers do not notice when either goes.
 */
import { NodeSocket } from "@effect/platform-node"
import { Cause, Effect, Exit, Layer, Ref, Result, Schedule, Scope, Semaphore, Stream } from "effect"
import { RpcClient, RpcClientError, RpcSerialization } from "effect/rpc"
import { ShimRpc, shimProtocol } from "../../rpc/ShimRpc.ts"
import { ShimLost, Unavailable } from "../../schema/Errors.ts"
import type { HostEvent } from "../../schema/Host.ts"
import type { HostError } from "../../services/ProcessHost.ts"
import { ProcessHost } from "../../services/ProcessHost.ts"
import { Libc } from "../posix/Libc.ts"
import { probe } from "../server/Listen.ts"
import * as Keeper from "./Keeper.ts"
import { socketOf, startShim } from "./ShimProcess.ts"

type Client = RpcClient.FromGroup<typeof ShimRpc, RpcClientError.RpcClientError>

/** Largest line that the shim may send, in bytes: its snapshot holds every process. */
const maxFrame = 256 * 1024 * 1024

const isTransport = (error: unknown): error is RpcClientError.RpcClientError =>
  error instanceof RpcClientError.RpcClientError

interface Connection {
  readonly client: Client
  readonly scope: Scope.Closeable
  alive: boolean
}

const make = Effect.fnUntraced(function* (options: { readonly state: string }) {
  const outer = yield* Effect.scope
  const oneAtATime = yield* Semaphore.make(1)
  const socket = socketOf(options.state)
  const keeper = yield* Keeper.make(options)
  const current = yield* Ref.make<Connection | null>(null)

  const dial = Effect.fnUntraced(function* () {
    const scope = yield* Scope.fork(outer)
    const connection: { alive: boolean } = { alive: true }
    const protocol = RpcClient.layerProtocolSocket({ retryPolicy: Schedule.recurs(0), pingTimeout: "1 minute" }).pipe(
      Layer.provide([
        NodeSocket.layerNet({ path: socket }),
        RpcSerialization.layerNdjsonWith({ maxBufferSize: maxFrame })
      ])
    )
    const client = yield* Layer.build(protocol).pipe(
      Effect.flatMap((context) => Effect.provideContext(RpcClient.make(ShimRpc), context)),
      Scope.provide(scope),
      Effect.mapError((error) => new ShimLost({ problem: error.message }))
    )
    return Object.assign(connection, { client, scope })
  })

  const lost = (connection: Connection, problem: string) =>
    Effect.suspend(() => {
      connection.alive = false
      return Effect.fail(new ShimLost({ problem }))
    })

  /** A shim that stops answers what is under way with an interruption, which is none of ours: to the caller the shim is gone. */
  const asLost =
    (connection: Connection) =>
    <E>(cause: Cause.Cause<E | RpcClientError.RpcClientError>): Effect.Effect<never, E | ShimLost> => {
      const found = Cause.findError(cause)
      if (Result.isFailure(found)) {
        return lost(connection, Cause.hasDies(cause) ? "it answered what cannot be read" : "it stopped")
      }
      const error = found.success
      if (!isTransport(error)) return Effect.fail(error)
      return lost(
        connection,
        error.reason._tag === "SocketCloseError" ? "it closed the connection" : error.reason.message
      )
    }

  const greet = Effect.fnUntraced(function* (connection: Connection) {
    const hello = yield* connection.client
      .Hello()
      .pipe(
        Effect.catchCause(asLost(connection)),
        Effect.timeoutOrElse({ duration: "5 seconds", orElse: () => lost(connection, "it does not answer") })
      )
    if (hello.protocol !== shimProtocol) {
      return yield* new Unavailable({
        what: "shim",
        problem: `it speaks protocol ${hello.protocol}, this daemon ${shimProtocol}`,
        mend: "stop its containers with the berth that started them"
      })
    }
  })

  /** The living connection; where there is none, a new one, to a new shim if need be. */
  const connect = Effect.gen(function* () {
    const known = yield* Ref.get(current)
    if (known?.alive) return known
    if (known !== null) yield* Scope.close(known.scope, Exit.void)
    if ((yield* probe(socket)) !== "alive") yield* startShim(options.state)
    const connection = yield* dial()
    yield* Effect.onError(greet(connection), () => Scope.close(connection.scope, Exit.void))
    yield* Ref.set(current, connection)
    return connection
  }).pipe(oneAtATime.withPermit)

  const call = <A>(f: (client: Client) => Effect.Effect<A, HostError | RpcClientError.RpcClientError>) =>
    Effect.flatMap(connect, (connection) => Effect.catchCause(f(connection.client), asLost(connection)))

  /** What a shim tells, put right by what is kept here. */
  const review = Effect.fnUntraced(function* (event: HostEvent): Effect.fn.Return<HostEvent> {
    switch (event._tag) {
      case "Snapshot":
        return { ...event, records: yield* Effect.forEach(event.records, keeper.review) }
      case "Exited": {
        const exit = yield* keeper.better(event.ref, event.exit)
        yield* keeper.release(event.ref)
        return { ...event, exit }
      }
      default:
        return event
    }
  })

  const watch = Stream.unwrap(
    Effect.map(connect, (connection) =>
      connection.client.Watch().pipe(
        Stream.mapEffect(review),
        Stream.catchCause((cause) => Stream.fromEffect(asLost(connection)(cause))),
        Stream.concat(Stream.fromEffect(lost(connection, "it stopped")))
      )
    )
  )

  // Ready before the first container needs it; and an idle one is not left behind.
  yield* connect
  yield* Effect.addFinalizer(() =>
    call((client) => client.Shutdown()).pipe(Effect.timeoutOption("1 second"), Effect.ignoreCause)
  )

  return ProcessHost.of({
    create: (request) =>
      call((client) => client.Create(request)).pipe(
        Effect.tap(({ identity }) => keeper.keep({ ...request, execId: null }, identity, request.stdio))
      ),
    start: (ref) => Effect.asVoid(call((client) => client.Start(ref))),
    exec: (request) =>
      call((client) => client.Exec(request)).pipe(
        Effect.tap(({ identity }) => keeper.keep(request, identity, request.stdio))
      ),
    signal: (request) => Effect.asVoid(call((client) => client.Signal(request))),
    pause: (ref) => Effect.asVoid(call((client) => client.Pause(ref))),
    resume: (ref) => Effect.asVoid(call((client) => client.Resume(ref))),
    delete: (ref) =>
      call((client) => client.Delete(ref)).pipe(Effect.tap(() => keeper.release({ ...ref, execId: null }))),
    deleteExec: (ref) => call((client) => client.DeleteExec(ref)).pipe(Effect.tap(() => keeper.release(ref))),
    pids: (ref) => call((client) => client.Pids(ref)),
    writeStdin: (request) => Effect.asVoid(call((client) => client.WriteStdin(request))),
    closeStdin: (ref) => Effect.asVoid(call((client) => client.CloseStdin(ref))),
    resize: (request) => Effect.asVoid(call((client) => client.Resize(request))),
    watch
  })
})

export const layer = (options: { readonly state: string }) =>
  Layer.effect(ProcessHost, make(options)).pipe(Layer.provide(Libc.layer))
