/**
 * The services over RPC. The protocol is a Layer from outside (`layers/Client.ts` has those of Node), so that this file runs wherever Effect does.
 * A broken connection is `Unavailable`; whatever else the transport throws at a call is too: a client never sees a defect of the server.
 */
import { Cause, Context, Effect, Layer, Result, Schema, SchemaIssue, Stream } from "effect"
import { RpcClient, RpcClientError } from "effect/rpc"
import { BerthError, InvalidArgument, Unavailable } from "../schema/Errors.ts"
import { Containers } from "../services/Containers.ts"
import { Events } from "../services/Events.ts"
import * as Run from "../services/Run.ts"
import { System } from "../services/System.ts"
import { Tasks } from "../services/Tasks.ts"
import { BerthRpc } from "./BerthRpc.ts"
import { Session } from "./Session.ts"

type Remote = BerthError | RpcClientError.RpcClientError

const isBerthError = Schema.is(BerthError)

const unavailable = (address: string, problem: string, mend = `start one with "berth daemon"`) =>
  new Unavailable({ what: `daemon at ${address}`, problem, mend })

const explain = (address: string, { reason }: RpcClientError.RpcClientError): Unavailable => {
  if (reason._tag === "SocketOpenError") return unavailable(address, "nobody answers")
  const problem = reason._tag === "SocketCloseError" ? "the connection was closed" : reason.message
  return unavailable(address, problem, `what was asked may have been done: look with "berth ps -a" and "berth events"`)
}

/** What a daemon said that would not have the connection. */
const turnedAway = ({ reason }: RpcClientError.RpcClientError): BerthError | null => {
  if (reason._tag !== "SocketOpenError") return null
  const { cause } = reason
  const said = typeof cause === "object" && cause !== null && "error" in cause ? cause.error : null
  return isBerthError(said) ? said : null
}

/** A request that its own schema refuses is not sent; what is thrown then says why. */
const refusal = (cause: Cause.Cause<Remote>): InvalidArgument | null => {
  const defect = cause.reasons.find((reason) => reason._tag === "Die")?.defect
  if (!(defect instanceof Error) || !SchemaIssue.isIssue(defect.cause)) return null
  const problem = new Schema.SchemaError(defect.cause).message.replaceAll(/\s+/g, " ")
  return new InvalidArgument({ field: "params", problem })
}

const make = Effect.fnUntraced(function* (address: string) {
  const client = yield* RpcClient.make(BerthRpc)

  const toError = (cause: Cause.Cause<Remote>): Cause.Cause<BerthError> => {
    const found = Cause.findError(cause)
    if (Result.isFailure(found)) {
      const refused = refusal(cause)
      if (refused !== null) return Cause.fail(refused)
      return Cause.hasDies(cause) ? Cause.fail(unavailable(address, "it answered what cannot be read")) : found.failure
    }
    const error = found.success
    if (error._tag !== "RpcClientError") return Cause.fail(error)
    return Cause.fail(turnedAway(error) ?? explain(address, error))
  }
  const call = <A>(effect: Effect.Effect<A, Remote>): Effect.Effect<A, BerthError> =>
    Effect.catchCause(effect, (cause) => Effect.failCause(toError(cause)))
  // Made when it runs: a request that is no request is refused where it is made.
  const stream = <A>(self: () => Stream.Stream<A, Remote>): Stream.Stream<A, BerthError> =>
    Stream.catchCause(Stream.suspend(self), (cause) => Stream.failCause(toError(cause)))

  const containers = Containers.of({
    create: (request) => call(client["Containers.Create"](request)),
    get: (id) => call(client["Containers.Get"]({ id })),
    list: (request) => call(client["Containers.List"](request)),
    update: (id, patch) => call(client["Containers.Update"]({ id, patch })),
    delete: (id) => Effect.asVoid(call(client["Containers.Delete"]({ id })))
  })
  const runSteps: Pick<Tasks["Service"], "runStream" | "writeStdin" | "closeStdin"> = {
    runStream: (request) => stream(() => client["Tasks.Run"](request)),
    writeStdin: (request) => Effect.asVoid(call(client["Tasks.WriteStdin"](request))),
    closeStdin: (request) => Effect.asVoid(call(client["Tasks.CloseStdin"](request)))
  }
  const tasks = Tasks.of({
    ...runSteps,
    run: Run.over(runSteps, Run.untilGone(containers.get)),
    create: (request) => call(client["Tasks.Create"](request)),
    start: (id) => call(client["Tasks.Start"]({ id })),
    get: (id) => call(client["Tasks.Get"]({ id })),
    list: (request) => call(client["Tasks.List"](request)),
    signal: (request) => Effect.asVoid(call(client["Tasks.Signal"](request))),
    stop: (request) => call(client["Tasks.Stop"](request)),
    pause: (id) => call(client["Tasks.Pause"]({ id })),
    resume: (id) => call(client["Tasks.Resume"]({ id })),
    update: (request) => call(client["Tasks.Update"](request)),
    wait: (request) => call(client["Tasks.Wait"](request)),
    delete: (request) => call(client["Tasks.Delete"](request)),
    clean: (id) => call(client["Tasks.Clean"]({ id })),
    pids: (id) => call(client["Tasks.Pids"]({ id })),
    processTable: (id) => call(client["Tasks.ProcessTable"]({ id })),
    stats: (id) => call(client["Tasks.Stats"]({ id })),
    listStats: (request) => call(client["Tasks.ListStats"](request)),
    exec: (request) => call(client["Tasks.Exec"](request)),
    startExec: (request) => call(client["Tasks.StartExec"](request)),
    deleteExec: (request) => call(client["Tasks.DeleteExec"](request)),
    processes: (id) => call(client["Tasks.Processes"]({ id })),
    output: (request) => stream(() => client["Tasks.Output"](request)),
    resize: (request) => Effect.asVoid(call(client["Tasks.Resize"](request)))
  })
  const events = Events.of({
    subscribe: (request) => stream(() => client["Events.Subscribe"](request)),
    acknowledge: (request) => Effect.asVoid(call(client["Events.Acknowledge"](request))),
    consumers: call(client["Events.Consumers"]({})),
    forget: (consumer) => Effect.asVoid(call(client["Events.Forget"]({ consumer })))
  })
  const system = System.of({
    info: call(client["System.Info"]({})),
    runtimes: call(client["System.Runtimes"]({})),
    orphans: (request) => call(client["System.Orphans"](request))
  })
  return Context.make(Containers, containers).pipe(
    Context.add(Tasks, tasks),
    Context.add(Events, events),
    Context.add(System, system)
  )
})

/** The four services of the daemon that the protocol leads to; `address` is for messages. */
export const layer = (address: string) => Layer.effectContext(make(address)).pipe(Layer.provide(Session.layerClient))
