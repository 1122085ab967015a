/**
 * `ProcessHost` in a shim: finds the shim of a state folder or starts one, speaks `ShimRpc` to it, and replaces it when it dies. The shim is detached: it does
 * not end with the daemon, and its containers do not notice when either goes.
 */
import { NodeSocket } from "@effect/platform-node"
import { Cause, Effect, Exit, Layer, Option, Random, Ref, Result, Schedule, Scope, Semaphore, Stream } from "effect"
import { RpcClient, RpcClientError, RpcSerialization } from "effect/rpc"
import type { Hello } from "../../rpc/ShimRpc.ts"
import { ShimRpc, shimProtocol, understands } from "../../rpc/ShimRpc.ts"
import { Internal, ShimLost, Unavailable } from "../../schema/Errors.ts"
import type { HostEvent } from "../../schema/Host.ts"
import type { ProcessRef } from "../../schema/Ids.ts"
import type { Stdio } from "../../schema/Process.ts"
import type { Identity } from "../../schema/TaskState.ts"
import type { HostError } from "../../services/ProcessHost.ts"
import { ProcessHost } from "../../services/ProcessHost.ts"
import { version } from "../../version.ts"
import { Libc } from "../posix/Libc.ts"
import { probe } from "../server/Listen.ts"
import * as Keeper from "./Keeper.ts"
import { whileItGetsOn } from "./Patience.ts"
import { socketOf } from "./ShimLock.ts"
import { startShim } from "./ShimProcess.ts"

type Client = RpcClient.FromGroup<typeof ShimRpc, RpcClientError.RpcClientError>

/** Largest line that the shim may send, in bytes: its snapshot holds every process. */
const maxFrame = 256 * 1024 * 1024

const isTransport = (error: unknown): error is RpcClientError.RpcClientError =>
  error instanceof RpcClientError.RpcClientError

interface Connection {
  readonly client: Client
  readonly scope: Scope.Closeable
  readonly hello: Hello
  alive: boolean
  /** Calls under way, watching not among them. */
  calls: number
}

const unknownCall = /^Unknown request tag: (\w+)$/

/** The call that a shim does not know, where that is what it answered. */
const unknownTo = (cause: Cause.Cause<unknown>): string | null => {
  const found = cause.reasons.flatMap((reason) =>
    reason._tag === "Die" && typeof reason.defect === "string" ? (unknownCall.exec(reason.defect)?.[1] ?? []) : []
  )
  return found[0] ?? null
}

const silent = "nothing came from it"
/** Whether a connection was given up because nothing came over it. */
const wentSilent = (cause: Cause.Cause<unknown>): boolean => {
  const found = Cause.findError(cause)
  return Result.isSuccess(found) && isTransport(found.success) && found.success.reason._tag === "SocketReadError"
}

/** A defect in one call, of the shim's or of ours, or an answer that cannot be read: that call's alone, for on the connection go all the others too. */
const defect = Effect.fnUntraced(function* (cause: Cause.Cause<unknown>): Effect.fn.Return<never, Internal> {
  const reference = (yield* Random.nextIntBetween(0x10000000, 0xffffffff)).toString(16)
  yield* Effect.logError(`defect ${reference} in a call of the shim`, cause)
  return yield* new Internal({ reference })
})

/** What an older shim cannot do. */
const lacks = ({ version }: Hello, call: string) =>
  new Unavailable({
    what: "shim",
    problem: `it is of berth ${version} and cannot do "${call}"`,
    mend: "delete its containers when you can: a new shim takes the place of an old one that holds none"
  })

const make = Effect.fnUntraced(function* (options: { readonly state: string }) {
  const outer = yield* Effect.scope
  const oneAtATime = yield* Semaphore.make(1)
  const socket = socketOf(options.state)
  const keeper = yield* Keeper.make(options)
  const current = yield* Ref.make<Connection | null>(null)

  const greet = Effect.fnUntraced(function* (client: Client) {
    const hello = yield* client
      .Hello()
      .pipe(
        Effect.catchCause((cause) =>
          Effect.fail(new ShimLost({ problem: wentSilent(cause) ? silent : "it does not say who it is" }))
        )
      )
    if (understands(hello)) return hello
    return yield* new Unavailable({
      what: "shim",
      problem: `it speaks protocol ${hello.protocol}, this daemon ${shimProtocol}`,
      mend: `stop its containers with berth ${hello.version}, which started it`
    })
  })

  const dial = Effect.fnUntraced(function* () {
    const scope = yield* Scope.fork(outer)
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
    const hello = yield* Effect.onError(greet(client), () => Scope.close(scope, Exit.void))
    const connection: Connection = { client, scope, hello, alive: true, calls: 0 }
    return connection
  })

  const lost = (connection: Connection, problem: string) =>
    Effect.suspend(() => {
      connection.alive = false
      return Effect.fail(new ShimLost({ problem }))
    })

  /** A shim that stops answers what is under way with an interruption, which is none of ours: to the caller the shim is gone. */
  const asLost =
    (connection: Connection) =>
    <E>(
      cause: Cause.Cause<E | RpcClientError.RpcClientError>
    ): Effect.Effect<never, E | Internal | ShimLost | Unavailable> => {
      const unknown = unknownTo(cause)
      if (unknown !== null) return Effect.fail(lacks(connection.hello, unknown))
      const found = Cause.findError(cause)
      if (Result.isFailure(found)) return Cause.hasDies(cause) ? defect(cause) : lost(connection, "it stopped")
      const error = found.success
      if (!isTransport(error)) return Effect.fail(error)
      return lost(
        connection,
        error.reason._tag === "SocketCloseError" ? "it closed the connection" : error.reason.message
      )
    }

  /** Asks a shim of another version to end, which it does where it holds no container. True where it has gone. */
  const replaced = Effect.fnUntraced(function* (connection: Connection) {
    if (connection.hello.version === version && connection.hello.protocol === shimProtocol) return false
    // Whoever calls from now on waits for its successor.
    connection.alive = false
    // One that ends may do so before its answer has left.
    const busy = yield* Effect.catchCause(connection.client.Shutdown(), () => Effect.succeed(false))
    const gone = busy
      ? Option.none()
      : yield* probe(socket).pipe(
          Effect.repeat({ until: (found) => found !== "alive", schedule: Schedule.spaced("5 millis") }),
          Effect.timeoutOption("5 seconds")
        )
    connection.alive = Option.isNone(gone)
    if (connection.alive) return false
    yield* Scope.close(connection.scope, Exit.void)
    return true
  })

  /** A shim answers nothing, not even that it is there, until it has taken over what is there: that may take longer than a connection is let be silent. */
  const dialled = Effect.retry(dial(), {
    while: (error) =>
      error._tag === "ShimLost" && error.problem === silent
        ? Effect.map(probe(socket), (found) => found === "alive")
        : Effect.succeed(false)
  })
  const begin = Effect.gen(function* () {
    if ((yield* probe(socket)) !== "alive") yield* startShim(options.state)
    return yield* whileItGetsOn(options.state, dialled)
  })

  /** The living connection; where there is none, a new one, to a new shim if need be. */
  const living = Effect.gen(function* () {
    const known = yield* Ref.get(current)
    if (known?.alive) return known
    if (known !== null) yield* Scope.close(known.scope, Exit.void)
    const found = yield* begin
    const connection = (yield* replaced(found)) ? yield* begin : found
    yield* Ref.set(current, connection)
    return connection
  })
  const connect = oneAtATime.withPermit(living)

  /** Replaces a shim of another version that has nothing to do. */
  const renew = oneAtATime.withPermit(
    Effect.gen(function* () {
      const known = yield* Ref.get(current)
      if (known?.alive && known.calls === 0) yield* replaced(known)
    })
  )

  /** Counted before anybody may replace the shim. */
  const begun = oneAtATime.withPermit(Effect.tap(living, (connection) => Effect.sync(() => void connection.calls++)))

  const call = <A>(f: (client: Client, hello: Hello) => Effect.Effect<A, HostError | RpcClientError.RpcClientError>) =>
    Effect.acquireUseRelease(
      Effect.interruptible(begun),
      (connection) => Effect.catchCause(f(connection.client, connection.hello), asLost(connection)),
      (connection) => Effect.sync(() => void connection.calls--)
    )

  /** What a shim tells, put right by what is kept here. */
  const review = Effect.fnUntraced(function* (event: HostEvent): Effect.fn.Return<HostEvent> {
    switch (event._tag) {
      case "Snapshot":
        return { ...event, records: yield* keeper.reviewAll(event.records) }
      case "Exited": {
        const { exit, ref, unheld = false } = event
        return { ...event, exit: yield* keeper.settle({ ref, exit, unheld }) }
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

  const kept = (ref: ProcessRef, stdio: Stdio, identity: Identity) =>
    keeper.keep({ ref, stdio, identity, heldByShim: true })
  /** After a deletion, and where there was nothing to delete any more: the answer of the shim that did it may have been lost with it. */
  const forgetting =
    (forget: Effect.Effect<void>) =>
    <A, E extends HostError>(deletion: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.tapError(
        Effect.tap(deletion, () => forget),
        (error) => (error._tag === "NotFound" ? forget : Effect.void)
      )

  // Ready before the first container needs it; and an idle one is not left behind.
  yield* connect
  yield* Effect.addFinalizer(() =>
    call((client) => client.Shutdown()).pipe(Effect.timeoutOption("1 second"), Effect.ignoreCause)
  )

  return ProcessHost.of({
    create: (request) =>
      call((client) => client.Create(request)).pipe(
        Effect.tap(({ identity }) => kept({ ...request, execId: null }, request.stdio, identity))
      ),
    start: (ref) => Effect.asVoid(call((client) => client.Start(ref))),
    exec: (request) =>
      call((client) => client.Exec(request)).pipe(Effect.tap(({ identity }) => kept(request, request.stdio, identity))),
    signal: (request) =>
      Effect.asVoid(
        call((client, hello) =>
          request.pid !== undefined && hello.protocol < 2
            ? Effect.fail(lacks(hello, "signal to a pid"))
            : client.Signal(request)
        )
      ),
    pause: (ref) => Effect.asVoid(call((client) => client.Pause(ref))),
    resume: (ref) => Effect.asVoid(call((client) => client.Resume(ref))),
    update: (request) => call((client) => client.Update(request)),
    delete: (ref) =>
      call((client) => client.Delete(ref)).pipe(
        forgetting(keeper.releaseContainer(ref)),
        Effect.tap(() => Effect.forkIn(Effect.ignore(renew), outer))
      ),
    deleteExec: (ref) => call((client) => client.DeleteExec(ref)).pipe(forgetting(keeper.release(ref))),
    pids: (ref) => call((client) => client.Pids(ref)),
    processTable: (ref) => call((client) => client.ProcessTable(ref)),
    stats: (ref) => call((client) => client.Stats(ref)),
    statsOf: (request) => call((client) => client.StatsOf(request)),
    writeStdin: (request) => Effect.asVoid(call((client) => client.WriteStdin(request))),
    closeStdin: (ref) => Effect.asVoid(call((client) => client.CloseStdin(ref))),
    resize: (request) => Effect.asVoid(call((client) => client.Resize(request))),
    about: Effect.map(connect, ({ hello: { pid, protocol, version } }) => ({ version, protocol, pid })),
    watch
  })
})

export const layer = (options: { readonly state: string }) =>
  Layer.effect(ProcessHost, make(options)).pipe(Layer.provide(Libc.layer))
