/** More than there is room for, at the door of a real daemon: what is beyond a limit is told so and counted, who does not read costs little, and nobody else notices. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Result, Schedule, Schema, Stream } from "effect"
import { readFileSync, writeFileSync } from "node:fs"
import type { IncomingMessage } from "node:http"
import { request as httpRequest } from "node:http"
import { connect } from "node:net"
import type { Socket } from "node:net"
import { join } from "node:path"
import { WebSocket } from "ws"
import { Berth, Containers, ContainerId, Events, Spec, System, Tasks } from "../../src/index.ts"
import { ResourceExhausted } from "../../src/schema/Errors.ts"
import type { Daemon } from "../support/daemon.ts"
import { daemon } from "../support/daemon.ts"
import { temporaryFolder } from "../support/folder.ts"
import { ask } from "../support/http.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"
import { eventually, rpc, socketOf, well } from "../support/served.ts"

const rootfs = rootfsOfFile()
const message = (tag: string, payload: unknown, id: string) =>
  `${JSON.stringify({ _tag: "Request", id, tag, payload, headers: [] })}\n`
const follow = (id: string) => message("Events.Subscribe", { follow: true }, id)

/** Resident megabytes. */
const memory = ({ pid }: Daemon): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024

/** A WebSocket of a client of its own making, closed with the scope. */
const webSocket = (place: Daemon) =>
  Effect.acquireRelease(
    Effect.callback<WebSocket>((resume) => {
      const ws = new WebSocket(`ws+unix:${socketOf(place)}:/rpc`)
      ws.on("error", () => {})
      ws.once("open", () => resume(Effect.succeed(ws)))
    }),
    (ws) => Effect.sync(() => ws.terminate())
  )

/** A subscription over HTTP of which nothing is read but the head. */
const deafRequest = (place: Daemon) =>
  Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const request = httpRequest({ socketPath: socketOf(place), path: "/rpc", method: "POST", agent: false })
      request.on("error", () => {})
      request.on("response", (response: IncomingMessage) => {
        response.pause()
        resume(Effect.succeed(response.socket))
      })
      request.end(follow("1"))
    }),
    (socket) => Effect.sync(() => void socket.destroy())
  )

/** A connection that says nothing. */
const silent = (place: Daemon) =>
  Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const socket = connect({ path: socketOf(place) })
      socket.on("error", () => {}).resume()
      socket.once("connect", () => resume(Effect.succeed(socket)))
    }),
    (socket) => Effect.sync(() => void socket.destroy())
  )

const answers = (ws: WebSocket) => {
  const texts: Array<string> = []
  ws.on("message", (data: Buffer) => texts.push(...data.toString().trim().split("\n")))
  return texts
}

const metric = (place: Daemon, line: string) =>
  Effect.map(ask(socketOf(place), { path: "/metrics" }), ({ body }) =>
    Number(
      body
        .split("\n")
        .find((each) => each.startsWith(`${line} `))
        ?.slice(line.length) ?? "0"
    )
  )

const limited = Effect.fnUntraced(function* (limits: Record<string, number>) {
  const config = join(yield* temporaryFolder, "berth.json")
  writeFileSync(config, JSON.stringify({ limits }))
  return yield* daemon({ runtime: "runc", args: ["--config", config] })
})

const decodeFull = Schema.decodeUnknownSync(Schema.fromJsonString(ResourceExhausted))

describe.skipIf(!canRunContainers)("a daemon with more to do than there is room for", () => {
  it.live(
    "a connection too many is told so in words, and taken when there is room again",
    () =>
      Effect.gen(function* () {
        const place = yield* limited({ connections: 4 })
        const path = socketOf(place)
        const held = yield* Effect.forEach([1, 2, 3, 4], () => silent(place))
        const full = yield* ask(path, { path: "/healthz" })
        assert.strictEqual(full.status, 503)
        assert.deepInclude(decodeFull(full.body), { _tag: "ResourceExhausted", resource: "connections", limit: 4 })
        const refused = yield* Effect.flatMap(System, ({ info }) => Effect.flip(info)).pipe(
          Effect.provide(Berth.layerClient({ address: place.address }))
        )
        assert.deepInclude(refused, { _tag: "ResourceExhausted", resource: "connections", limit: 4 })
        // Whoever says nothing is not waited for, and a crowd of them is none.
        const crowd = yield* Effect.forEach(Array.from({ length: 200 }), () => silent(place))
        yield* eventually("the crowd is gone", () => crowd.every((each) => each.destroyed))
        assert.isFalse(held.some((each) => each.destroyed))
        for (const each of held) each.destroy()
        yield* Effect.map(ask(path, { path: "/healthz" }), ({ status }) => status).pipe(
          Effect.repeat({ until: (status) => status === 200, schedule: Schedule.spaced("20 millis") })
        )
        yield* well(place)
        assert.isAtLeast(yield* metric(place, `berth_refused_total{resource="connections"}`), 202)
      }),
    60_000
  )

  it.live(
    "calls, streams and bytes too many are refused one by one, and leave the others alone",
    () =>
      Effect.gen(function* () {
        const place = yield* limited({
          callsPerConnection: 4,
          streamsPerConnection: 2,
          streams: 3,
          requestBytes: 65_536
        })
        const [first, second] = [yield* webSocket(place), yield* webSocket(place)]
        const [one, two] = [answers(first), answers(second)]
        const refusals = (texts: ReadonlyArray<string>) =>
          texts.flatMap((text) => {
            const found = /"requestId":"(\w+)".*"_tag":"ResourceExhausted","resource":"([^"]+)","limit":(\d+)/.exec(
              text
            )
            return found === null ? [] : [found.slice(1)]
          })
        for (const id of ["a", "b", "c"]) first.send(follow(id))
        yield* eventually("the third stream is refused", () => refusals(one).length === 1)
        for (const id of ["d", "e"]) second.send(follow(id))
        yield* eventually("the fourth of all is refused", () => refusals(two).length === 1)
        assert.deepStrictEqual(
          [refusals(one), refusals(two)],
          [[["c", "streams of this connection", "2"]], [["e", "streams of the daemon", "3"]]]
        )
        assert.deepStrictEqual(
          [yield* metric(place, "berth_streams"), yield* metric(place, `berth_refused_total{resource="streams"}`)],
          [3, 2]
        )
        // Two hundred calls in one message, with what is under way.
        first.send(Array.from({ length: 200 }, (_, n) => message("System.Runtimes", {}, `r${n}`)).join(""))
        yield* eventually(
          "all are answered",
          () => one.filter((text) => text.includes('"requestId":"r')).length === 200
        )
        const calls = refusals(one).filter(([, resource]) => resource === "calls of this connection")
        assert.isAtLeast(calls.length, 1)
        assert.isBelow(calls.length, 200)
        assert.strictEqual(yield* metric(place, `berth_refused_total{resource="calls"}`), calls.length)
        // A stream that ends makes room for another.
        first.send(`${JSON.stringify({ _tag: "Interrupt", requestId: "a" })}\n`)
        yield* eventually("the stream has ended", () => one.some((text) => /"Exit","requestId":"a"/.test(text)))
        second.send(follow("f"))
        first.send(message("Tasks.List", {}, "z"))
        yield* eventually("there is room", () => one.some((text) => text.includes('"requestId":"z"')))
        assert.strictEqual(refusals(two).length, 1)
        assert.strictEqual(yield* metric(place, "berth_streams"), 3)

        const large = rpc("Tasks.List", { filters: ["x".repeat(70_000)] })
        assert.strictEqual((yield* ask(socketOf(place), { path: "/jsonrpc", body: large })).status, 413)
        const closed = (ws: WebSocket) =>
          Effect.callback<number>((resume) => void ws.once("close", (code) => resume(Effect.succeed(code))))
        const frame = yield* Effect.forkChild(closed(first), { startImmediately: true })
        first.send("x".repeat(70_000))
        assert.strictEqual(yield* Fiber.join(frame), 1009)
        const pieces = yield* Effect.forkChild(closed(second), { startImmediately: true })
        for (const piece of ["x".repeat(40_000), "x".repeat(40_000)]) second.send(piece)
        assert.strictEqual(yield* Fiber.join(pieces), 1009)
        assert.strictEqual(yield* metric(place, `berth_refused_total{resource="request"}`), 3)
        yield* eventually("all streams are gone", () => first.readyState === 3 && second.readyState === 3)
        assert.strictEqual(yield* metric(place, "berth_streams"), 0)
        yield* well(place)
      }),
    60_000
  )

  it.live(
    "a thousand subscribers who do not read cost little, and whoever reads sees fifty lives in full",
    () =>
      Effect.gen(function* () {
        const place = yield* daemon({ runtime: "runc" })
        const layer = Berth.layerClient({ address: place.address })
        const spec = Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args: ["/bin/true"] }))
        const live = (prefix: string, count: number) =>
          Effect.forEach(
            Array.from({ length: count }, (_, n) => ContainerId.make(`${prefix}-${n}`)),
            (id) => Effect.flatMap(Tasks, (tasks) => tasks.run(spec, { id })),
            { concurrency: 4 }
          ).pipe(Effect.provide(layer))
        yield* live("warm", 10)
        const alone = yield* Effect.timed(live("alone", 50))
        const before = memory(place)
        // 900 streams on ten connections and a hundred on their own, each behind by everything so far.
        const many = yield* Effect.forEach(Array.from({ length: 10 }), () => webSocket(place))
        for (const ws of many) {
          ws.pause()
          ws.send(Array.from({ length: 90 }, (_, n) => follow(`s${n}`)).join(""))
        }
        yield* Effect.forEach(Array.from({ length: 100 }), () => deafRequest(place), { concurrency: 10 })
        yield* Effect.repeat(metric(place, "berth_streams"), {
          until: (count) => count === 1000,
          schedule: Schedule.spaced("20 millis")
        })
        const reader = Effect.gen(function* () {
          const events = yield* Events
          let gone = 0
          const seen = yield* events.subscribe({ follow: true }).pipe(
            Stream.takeUntil(
              ({ event, topic }) => topic === "/containers/delete" && event.id.startsWith("busy-") && ++gone === 50
            ),
            Stream.runCollect
          )
          return seen.map(({ seq }) => Number(seq))
        }).pipe(Effect.provide(layer))
        const readers = yield* Effect.forEach([1, 2, 3, 4, 5], () => Effect.forkChild(reader))
        const busy = yield* Effect.timed(live("busy", 50))
        for (const fiber of readers) {
          const seen = yield* Fiber.join(fiber)
          assert.deepStrictEqual(
            seen,
            seen.map((_, index) => index + 1)
          )
        }
        for (const [, exits] of [alone, busy])
          assert.deepStrictEqual(new Set(exits.map(({ exitStatus }) => exitStatus)), new Set([0]))
        const after = memory(place)
        console.info(
          `fifty lives: ${Duration.toMillis(alone[0]).toFixed(0)} ms alone, ${Duration.toMillis(busy[0]).toFixed(0)} ms among 1000 deaf subscribers; ` +
            `daemon ${before.toFixed(0)} MB before, ${after.toFixed(0)} MB after`
        )
        assert.isBelow(after - before, 300)
        // One of the deaf begins to read: it lacks nothing.
        const [ws] = many
        if (ws === undefined) return
        const texts = answers(ws)
        ws.on("message", (data: Buffer) => {
          for (const [, id] of data.toString().matchAll(/"Chunk","requestId":"(\w+)"/g))
            ws.send(`${JSON.stringify({ _tag: "Ack", requestId: id })}\n`)
        })
        ws.resume()
        const last = yield* Effect.flatMap(Events, (events) => Stream.runCount(events.subscribe({}))).pipe(
          Effect.provide(layer)
        )
        const seqsOf = (id: string) =>
          texts
            .filter((text) => text.includes(`"Chunk","requestId":"${id}"`))
            .flatMap((text) => Array.from(text.matchAll(/"seq":(\d+)/g), ([, seq]) => Number(seq)))
        yield* eventually("it has caught up", () => seqsOf("s89").length >= last)
        assert.deepStrictEqual(
          seqsOf("s89"),
          Array.from({ length: last }, (_, index) => index + 1)
        )
        yield* well(place)
      }),
    120_000
  )

  it.live(
    "whoever asks and does not listen is not listened to: answers do not pile up",
    () =>
      Effect.gen(function* () {
        const place = yield* daemon({ runtime: "runc" })
        const context = yield* Layer.build(Berth.layerClient({ address: place.address }))
        const containers = Context.get(context, Containers)
        const spec = Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args: ["/bin/true"] }))
        for (let n = 0; n < 10; n++) yield* containers.create({ id: ContainerId.make(`c${n}`), spec })
        yield* containers.list({})
        const before = memory(place)
        const ws = yield* webSocket(place)
        ws.pause()
        // Each answer has all specifications.
        for (let n = 0; n < 15; n++)
          ws.send(Array.from({ length: 100 }, (_, m) => message("Containers.List", {}, `${n}-${m}`)).join(""))
        yield* Effect.sleep("3 seconds")
        yield* containers.list({})
        const after = memory(place)
        assert.isBelow(after - before, 500)
        let bytes = 0
        let ends = 0
        ws.on("message", (data: Buffer) => {
          bytes += data.length
          if (data.includes('"_tag":"Exit"')) ends++
        })
        ws.resume()
        yield* eventually("all are answered", () => ends === 1500)
        const peak = memory(place)
        console.info(
          `answers nobody takes: daemon ${before.toFixed(0)} MB before, ${after.toFixed(0)} MB with them, ` +
            `${peak.toFixed(0)} MB when ${(bytes / 1e6).toFixed(0)} MB were taken`
        )
        assert.isBelow(peak - before, 500)
        yield* well(place)
      }).pipe(Effect.scoped),
    120_000
  )
})
