/** The door of a real daemon, as strangers knock at it: every protocol by hand, well, badly and in masses. It answers, and it stays. */
import { assert, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { readdirSync, readlinkSync, statSync } from "node:fs"
import { WebSocket } from "ws"
import { Berth, Containers, CurrentNamespace, Namespace, Tasks } from "../../src/index.ts"
import { running } from "../support/container.ts"
import type { Daemon } from "../support/daemon.ts"
import { ask, listen } from "../support/http.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"
import { eventually, json, rpc, Served, socketOf, well } from "../support/served.ts"

const rootfs = rootfsOfFile()

const decodeError = Schema.decodeUnknownSync(
  Schema.Struct({
    jsonrpc: Schema.Literal("2.0"),
    id: Schema.Unknown,
    error: Schema.Struct({ code: Schema.Int, message: Schema.NonEmptyString })
  })
)
/** The parts of an error that its standard fixes. */
const shape = (answer: unknown) => {
  const { error, id, jsonrpc } = decodeError(answer)
  return { jsonrpc, id, error: { code: error.code } }
}

/** Descriptors that the daemon has open. */
const descriptors = ({ pid }: Daemon): ReadonlyArray<string> =>
  readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
    } catch {
      return []
    }
  })

/** A WebSocket that is open, and how it ended if it did. */
const socket = (place: Daemon) =>
  Effect.callback<{ readonly ws: WebSocket; readonly closed: Promise<number>; readonly next: () => Promise<string> }>(
    (resume) => {
      const ws = new WebSocket(`ws+unix:${socketOf(place)}:/rpc`)
      const closed = new Promise<number>((done) => ws.once("close", done))
      const next = () => new Promise<string>((done) => ws.once("message", (data: Buffer) => done(data.toString())))
      ws.once("error", (error) => resume(Effect.die(error)))
      ws.once("open", () => {
        ws.on("error", () => {})
        resume(Effect.succeed({ ws, closed, next }))
      })
    }
  )
const info = (id = "1") => `${JSON.stringify({ _tag: "Request", id, tag: "System.Info", payload: {}, headers: [] })}\n`

if (canRunContainers) {
  layer(Served.layer, { excludeTestServices: true, timeout: "60 seconds" })("the daemon's door", (it) => {
    const test = (name: string, body: (place: Daemon, path: string) => Effect.Effect<void, unknown>) =>
      it.effect(
        name,
        () => Effect.flatMap(Served, (place) => Effect.andThen(body(place, socketOf(place)), well(place))),
        60_000
      )

    test("is open to its owner only", (place, path) =>
      Effect.sync(() => {
        const { mode } = statSync(path)
        assert.isTrue(statSync(path).isSocket())
        assert.deepStrictEqual(
          [
            (mode & 0o777).toString(8),
            [place.root, place.state].map((folder) => (statSync(folder).mode & 0o777).toString(8))
          ],
          ["600", ["700", "700"]]
        )
      }))

    test("tells its health and its numbers", (_, path) =>
      Effect.gen(function* () {
        assert.deepInclude(yield* ask(path, { path: "/healthz" }), { status: 200, body: "ok\n" })
        const create = rpc("Containers.Create", {
          id: "counted",
          spec: { ociVersion: "1.0.2", process: { args: ["true"], cwd: "/" } }
        })
        assert.include((yield* ask(path, { path: "/jsonrpc", body: create })).body, '"id":"counted"')
        const { body, status, type } = yield* ask(path, { path: "/metrics" })
        assert.strictEqual(status, 200)
        assert.match(type, /^text\/plain/)
        assert.match(body, /^berth_events_total\{topic="\/containers\/create"\} \d+$/m)
        yield* ask(path, { path: "/jsonrpc", body: rpc("Containers.Delete", { id: "counted" }) })
      }))

    test("JSON-RPC: calls, batches, streams and every kind of mistake", (_, path) =>
      Effect.gen(function* () {
        const call = (body: string, headers = {}) =>
          Effect.map(ask(path, { path: "/jsonrpc", body, headers }), (answer) => {
            assert.strictEqual(answer.status, 200)
            return answer.body === "" ? null : json(answer.body)
          })
        const error = (code: number, id: unknown = 1) => ({ jsonrpc: "2.0", id, error: { code } })
        assert.deepInclude(yield* call(rpc("Tasks.List")), { jsonrpc: "2.0", id: 1, result: [] })
        assert.deepStrictEqual(shape(yield* call(rpc("Tasks.Nope"))), error(-32601))
        assert.deepStrictEqual(shape(yield* call(rpc("__proto__"))), error(-32601))
        assert.deepStrictEqual(shape(yield* call(rpc("Tasks.Get", { id: "a b" }))), error(-32602))
        assert.deepStrictEqual(shape(yield* call(rpc("Tasks.Get", 5))), error(-32602))
        assert.deepStrictEqual(shape(yield* call(rpc("Tasks.Get", { id: "nobody" }))), error(-32000))
        assert.deepStrictEqual(shape(yield* call("not json")), error(-32700, null))
        assert.deepStrictEqual(shape(yield* call("")), error(-32700, null))
        assert.deepStrictEqual(shape(yield* call("[]")), error(-32600, null))
        assert.deepStrictEqual(shape(yield* call("null")), error(-32600, null))
        assert.isNull(yield* call(JSON.stringify({ jsonrpc: "2.0", method: "Tasks.List" })))
        const answer = yield* call(`[${rpc("Tasks.List", {}, "a")},${rpc("Tasks.Get", { id: "nobody" }, "b")}]`)
        const batch: ReadonlyArray<unknown> = Array.isArray(answer) ? answer : []
        assert.lengthOf(batch, 2)
        assert.deepStrictEqual(batch[0], { jsonrpc: "2.0", id: "a", result: [] })
        assert.deepStrictEqual(shape(batch[1]), error(-32000, "b"))
        assert.deepStrictEqual(yield* call(rpc("Events.Subscribe", { filters: ["id==nobody"] }, "s")), {
          jsonrpc: "2.0",
          id: "s",
          result: []
        })
      }))

    test("JSON-RPC: the namespace is a header", (_, path) =>
      Effect.gen(function* () {
        const call = (method: string, params: unknown, namespace?: string) =>
          Effect.map(
            ask(path, {
              path: "/jsonrpc",
              body: rpc(method, params),
              headers: namespace === undefined ? {} : { "berth-namespace": namespace }
            }),
            ({ body }) => body
          )
        const spec = { ociVersion: "1.0.2", process: { args: ["true"], cwd: "/" } }
        assert.include(yield* call("Containers.Create", { id: "mine", spec }, "blue"), '"namespace":"blue"')
        assert.include(yield* call("Containers.Get", { id: "mine" }), '"_tag":"NotFound"')
        assert.include(yield* call("Containers.Get", { id: "mine" }, "blue"), '"id":"mine"')
        assert.include(yield* call("Containers.List", {}, "a b"), '"code":-32602')
        yield* call("Containers.Delete", { id: "mine" }, "blue")
      }))

    test("a body over the limit is 413, told ahead or not", (place, path) =>
      Effect.gen(function* () {
        const big = Buffer.alloc(5 * 1024 * 1024, 0x20)
        for (const chunked of [false, true]) {
          for (const at of ["/jsonrpc", "/rpc"]) {
            const { status } = yield* ask(path, { path: at, body: big, chunked })
            assert.deepStrictEqual([at, chunked, status], [at, chunked, 413])
            yield* well(place)
          }
        }
        const fits = Buffer.concat([Buffer.alloc(4 * 1024 * 1024 - 1024, 0x20), Buffer.from(rpc("Tasks.List"))])
        assert.deepInclude(yield* ask(path, { path: "/jsonrpc", body: fits }), { status: 200 })
      }))

    test("another method or path is not found", (_, path) =>
      Effect.gen(function* () {
        const asks = [
          ["GET", "/jsonrpc"],
          ["PUT", "/jsonrpc"],
          ["DELETE", "/rpc"],
          ["POST", "/healthz"],
          ["GET", "/"],
          ["GET", "/../etc/passwd"],
          ["POST", "/metrics"]
        ]
        for (const [method = "", at = ""] of asks) {
          const { body, status } = yield* ask(path, { method, path: at, ...(method === "GET" ? {} : { body: "{}" }) })
          assert.include([404, 405], status, `${method} ${at}`)
          assert.strictEqual(body, "")
        }
      }))

    test("NDJSON: an answer a line; garbage is told so without a word of ours", (_, path) =>
      Effect.gen(function* () {
        const call = (body: string) =>
          Effect.map(ask(path, { path: "/rpc", body }), (answer) => {
            assert.strictEqual(answer.status, 200)
            assert.notMatch(answer.body, /Error|Cannot|undefined|stack|\.js|\.ts/, body)
            return answer.body
              .split("\n")
              .filter((line) => line !== "")
              .map(json)
          })
        assert.lengthOf(yield* call(info("1") + info("2")), 2)
        assert.lengthOf(yield* call(info().trimEnd()), 1)
        const garbage = [
          "garbage",
          "{",
          "null\n",
          "5\n",
          "[1]\n",
          '"x"\n',
          '{"a":1}\n',
          '{"_tag":"Nope"}\n',
          '{"_tag":"Request"}\n',
          "\u0000\u0001\n",
          '{"_tag":"Request","id":"1","tag":"System.Info","payload":{}}\n',
          '{"_tag":"Request","id":{},"tag":"System.Info","payload":{},"headers":[]}\n',
          '{"_tag":"Request","id":"1","tag":"System.Info","payload":{},"headers":[5]}\n'
        ]
        for (const body of garbage) {
          const [answer] = yield* call(body)
          assert.deepStrictEqual([body, answer], [body, { _tag: "Defect", defect: "the message cannot be read" }])
        }
        for (const body of [
          "",
          "\n\n",
          '{"_tag":"Eof"}\n',
          '{"_tag":"Ack","requestId":"7"}\n',
          '{"_tag":"Interrupt","requestId":"7"}\n'
        ]) {
          assert.deepStrictEqual([body, yield* call(body)], [body, []])
        }
      }))

    test("WebSocket: calls, garbage and a flood; other connections notice nothing", (place) =>
      Effect.gen(function* () {
        const other = yield* socket(place)
        const answer = (to: Effect.Success<ReturnType<typeof socket>>, message: string | Buffer) =>
          Effect.promise(() => {
            const coming = Promise.race([to.next(), to.closed])
            to.ws.send(message)
            return coming
          })
        assert.include(yield* answer(other, info("a")), '"requestId":"a"')
        const garbage = [
          "garbage\n",
          "null\n",
          '{"_tag":"Nope"}\n',
          '{"_tag":"Request"}\n',
          Buffer.from([0xff, 0xfe, 0x0a]),
          info().replace("[]", "5")
        ]
        for (const message of garbage) {
          const one = yield* socket(place)
          const said = yield* answer(one, message)
          // Told that it cannot be read, or hung up on.
          if (typeof said === "string")
            assert.strictEqual(said, '{"_tag":"Defect","defect":"the message cannot be read"}\n')
          else assert.strictEqual(said, 1011)
          one.ws.terminate()
        }
        const flood = yield* socket(place)
        flood.ws.send(Buffer.alloc(5 * 1024 * 1024, 0x20))
        assert.strictEqual(yield* Effect.promise(() => flood.closed), 1009)
        const pieces = yield* socket(place)
        pieces.ws.send(info("piece").slice(0, 20))
        assert.include(yield* answer(pieces, info("piece").slice(20)), '"requestId":"piece"')
        pieces.ws.terminate()
        assert.include(yield* answer(other, info("b")), '"requestId":"b"')
        other.ws.terminate()
      }))

    test("two hundred connections at once are all answered, and gone afterwards", (place, path) =>
      Effect.gen(function* () {
        const before = descriptors(place).length
        const all = Array.from({ length: 200 }, (_, n) => n)
        const open = yield* Effect.forEach(all, () => socket(place), { concurrency: 50 })
        const answers = yield* Effect.forEach(
          open,
          ({ next, ws }, n) =>
            Effect.promise(() => {
              const coming = next()
              ws.send(info(`c${n}`))
              return coming
            }),
          { concurrency: "unbounded" }
        )
        for (const [n, answer] of answers.entries()) assert.include(answer, `"requestId":"c${n}"`)
        const posts = yield* Effect.forEach(
          all,
          (n) => ask(path, { path: "/jsonrpc", body: rpc("Tasks.List", {}, n) }),
          { concurrency: "unbounded" }
        )
        for (const [n, { body }] of posts.entries())
          assert.deepStrictEqual(json(body), { jsonrpc: "2.0", id: n, result: [] })
        assert.isAtLeast(descriptors(place).filter((file) => file.startsWith("socket:")).length, 200)
        for (const { ws } of open) ws.terminate()
        yield* eventually("its connections are closed", () => descriptors(place).length <= before + 5)
      }))

    test("a client that leaves in the middle of a stream frees it, on either protocol", (place, path) =>
      Effect.gen(function* () {
        const id = yield* running(rootfs, ["/bin/sh", "-c", "while true; do echo tick; sleep 0.2; done"])
        const logs = () =>
          descriptors(place).filter((file) => file.startsWith(place.root) && file.includes(`/${id}`)).length
        assert.strictEqual(logs(), 0)
        const output = `${JSON.stringify({ _tag: "Request", id: "1", tag: "Tasks.Output", payload: { id, follow: true }, headers: [] })}\n`
        const streams = yield* Effect.forEach([1, 2, 3, 4], () => listen(path, { path: "/rpc", body: output }))
        for (const { first } of streams) assert.include(first, '"_tag":"Chunk"')
        const { next, ws } = yield* socket(place)
        const coming = next()
        ws.send(output)
        assert.include(yield* Effect.promise(() => coming), '"_tag":"Chunk"')
        assert.strictEqual(logs(), 5)
        ws.terminate()
        yield* Effect.forEach(streams, ({ leave }) => leave)
        yield* eventually("the log is let go", () => logs() === 0)
      }).pipe(Effect.scoped, Effect.provide(Berth.layerClient({ address: place.address }))))

    test("namespaces are worlds of their own", (place) =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const other = Effect.provideService(CurrentNamespace, Namespace.make("other"))
        const id = yield* running(rootfs, ["/bin/sleep", "100"])
        assert.deepStrictEqual(yield* tasks.list({}).pipe(other), [])
        assert.strictEqual((yield* Effect.flip(tasks.signal({ id, signal: 9 }).pipe(other)))._tag, "NotFound")
        const { spec } = yield* (yield* Containers).get(id)
        yield* Effect.gen(function* () {
          const containers = yield* Containers
          yield* containers.create({
            id,
            spec: { ...spec, linux: { ...spec.linux, cgroupsPath: `/berth-test-${id}-other` } }
          })
          const twin = yield* tasks.create({ id })
          yield* tasks.start(id)
          assert.deepStrictEqual([twin.namespace, (yield* tasks.list({})).map((task) => task.id)], ["other", [id]])
          yield* tasks.delete({ id, force: true })
          yield* containers.delete(id)
        }).pipe(other)
        assert.strictEqual((yield* tasks.get(id)).status, "running")
      }).pipe(Effect.scoped, Effect.provide(Berth.layerClient({ address: place.address }))))
  })
}
