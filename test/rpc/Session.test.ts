/** What every call carries and no answer does: over the real protocols, as text, so that what is looked at is what a client would see. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Layer, Logger, Schema, Stream } from "effect"
import { HttpRouter } from "effect/http"
import { Rpc, RpcGroup, RpcServer } from "effect/rpc"
import { scrubbed } from "../../src/rpc/Answers.ts"
import { Admission } from "../../src/rpc/Admission.ts"
import * as JsonRpc from "../../src/rpc/JsonRpc.ts"
import { defaultLimits } from "../../src/rpc/Limits.ts"
import * as Ndjson from "../../src/rpc/Ndjson.ts"
import { Session } from "../../src/rpc/Session.ts"
import { BerthError, NotFound } from "../../src/schema/Errors.ts"
import { CurrentNamespace } from "../../src/services/CurrentNamespace.ts"

const error = BerthError
class Probe extends RpcGroup.make(
  Rpc.make("Where", { success: Schema.String, error }),
  Rpc.make("WhereAll", { success: Schema.String, error, stream: true }),
  Rpc.make("Typed", { success: Schema.Null, error }),
  Rpc.make("Crash", { success: Schema.Null, error }),
  Rpc.make("CrashLate", { success: Schema.Null, error }),
  Rpc.make("CrashAfter", { success: Schema.Int, error, stream: true }),
  Rpc.make("TypedCrash", { success: Schema.Null, error })
).middleware(Session) {}

const crash = Effect.die(new Error("secret at /secret/path.ts:1"))
const where = Effect.map(CurrentNamespace, String)
const handlers = Probe.toLayer(
  Probe.of({
    Where: () => where,
    WhereAll: () => Stream.fromEffect(where),
    Typed: () => Effect.fail(new NotFound({ kind: "task", id: "web" })),
    Crash: () => crash,
    CrashLate: () => Effect.andThen(Effect.yieldNow, crash),
    CrashAfter: () => Stream.concat(Stream.make(1), Stream.fromEffect(crash)),
    TypedCrash: () => Effect.ensuring(Effect.fail(new NotFound({ kind: "task", id: "web" })), crash)
  })
)

const session = Session.layer.pipe(Layer.provide(Admission.layer(defaultLimits)))

/** A server, and what its log says. */
const makeServer = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ cause, message }) => void lines.push(`${String(message)} ${Cause.pretty(cause)}`))
  const server = RpcServer.layer(Probe, { disableFatalDefects: true })
  const routes = Layer.mergeAll(
    server.pipe(
      Layer.provide(scrubbed(RpcServer.layerProtocolHttp({ path: "/rpc" }))),
      Layer.provide(Ndjson.layerBody(4096))
    ),
    Layer.fresh(server).pipe(
      Layer.provide(scrubbed(RpcServer.layerProtocolHttp({ path: "/jsonrpc" }))),
      Layer.provide(JsonRpc.layer)
    )
  ).pipe(Layer.provide([handlers, session, Logger.layer([logger])]))
  const web = HttpRouter.toWebHandler(routes, { disableLogger: true })
  const post = (path: string, body: string, headers: Readonly<Record<string, string>>) =>
    Effect.promise(async () =>
      (await web.handler(new Request(`http://berth${path}`, { method: "POST", body, headers }))).text()
    )
  return { lines, post, close: Effect.promise(() => web.dispose()) }
}

const server = Effect.acquireRelease(Effect.sync(makeServer), ({ close }) => close)

type Headers = Readonly<Record<string, string>>
/** Each protocol: a call by its name, with headers of the request and of the message. */
const protocols = {
  "/rpc": (tag: string, inner: Headers) =>
    JSON.stringify({ _tag: "Request", id: "1", tag, payload: null, headers: Object.entries(inner) }),
  "/jsonrpc": (method: string, inner: Headers) =>
    JSON.stringify({ jsonrpc: "2.0", id: 1, method, headers: Object.entries(inner) })
}

for (const [path, body] of Object.entries(protocols)) {
  const calls = Effect.map(server, ({ lines, post }) => ({
    lines,
    call: (name: string, outer: Headers = {}, inner: Headers = {}) => post(path, body(name, inner), outer)
  }))
  const test = (name: string, run: (of: Effect.Success<typeof calls>) => Effect.Effect<void>) =>
    it.live(name, () => Effect.scoped(Effect.flatMap(calls, run)))

  describe(path, () => {
    test("the namespace is that of the header, default without one", ({ call }) =>
      Effect.gen(function* () {
        assert.include(yield* call("Where"), '"default"')
        for (const name of ["Where", "WhereAll"]) {
          assert.include(yield* call(name, { "berth-namespace": "blue" }), '"blue"')
          assert.include(yield* call(name, { "Berth-Namespace": "blue" }), '"blue"')
          assert.include(yield* call(name, {}, { "berth-namespace": "green" }), '"green"')
        }
      }))

    test("a namespace that is none is InvalidArgument", ({ call }) =>
      Effect.gen(function* () {
        for (const bad of ["a b", "..", "-x", "a--b", "x".repeat(77), ""]) {
          for (const name of ["Where", "WhereAll"]) {
            const answer = yield* call(name, { "berth-namespace": bad })
            assert.include(answer, '{"_tag":"InvalidArgument","field":"namespace","problem":', bad)
            assert.notInclude(answer, "default")
          }
        }
      }))

    test("a typed error passes as it is", ({ call, lines }) =>
      Effect.gen(function* () {
        assert.include(yield* call("Typed"), '{"_tag":"NotFound","kind":"task","id":"web"}')
        assert.deepStrictEqual(lines, [])
      }))

    for (const name of ["Crash", "CrashLate", "CrashAfter", "TypedCrash"]) {
      test(`${name}: of a defect nothing passes but its reference, under which it is in the log`, ({ call, lines }) =>
        Effect.gen(function* () {
          const answer = yield* call(name)
          assert.notInclude(answer, "secret")
          const [, reference] = /"_tag":"Internal","reference":"([0-9a-f]{8})"/.exec(answer) ?? []
          assert.isDefined(reference, answer)
          const line = lines.find((line) => line.includes(`defect ${reference}`)) ?? ""
          assert.include(line, `in ${name}`)
          assert.include(line, "secret at /secret/path.ts:1")
        }))
    }

    test("two defects have two references", ({ call }) =>
      Effect.gen(function* () {
        assert.notStrictEqual(yield* call("Crash"), yield* call("Crash"))
      }))

    test("a method that does not exist is NotFound", ({ call }) =>
      Effect.map(call("Nope"), (answer) => assert.include(answer, '{"_tag":"NotFound","kind":"method","id":"Nope"}')))
  })
}
