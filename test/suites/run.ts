/** `Tasks.run` and its events, whatever is under it: one call from creation to removal, and nothing left however it ends. */
import { assert, layer as suiteLayer } from "@effect/vitest"
import { Data, Deferred, Duration, Effect, Fiber, Option, Result, Stream } from "effect"
import type { Scope } from "effect"
import type { BerthError, OciSpec, RunEvent, System } from "../../src/index.ts"
import { Containers, Events, Spec, Tasks } from "../../src/index.ts"
import { freshId } from "../support/container.ts"
import { untilDone } from "../support/testTime.ts"
import type { Place } from "./berth.ts"

class Mine extends Data.TaggedError("Mine")<{}> {}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const bytes = (text: string) => new TextEncoder().encode(text)
const tagOf = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), ({ _tag }) => _tag)

/** Neither container nor task of that id is there. */
const nothingLeft = (id: Effect.Success<typeof freshId>) =>
  Effect.gen(function* () {
    assert.strictEqual(yield* tagOf((yield* Tasks).get(id)), "NotFound")
    assert.strictEqual(yield* tagOf((yield* Containers).get(id)), "NotFound")
  })

const untilStarted = (events: Stream.Stream<RunEvent, BerthError>) =>
  Stream.runHead(Stream.filter(events, ({ _tag }) => _tag === "Started"))

export const runSuite = (place: Place) => {
  const spec = (...args: ReadonlyArray<string>): OciSpec =>
    Result.getOrThrow(Spec.make({ rootfs: { path: place.rootfs }, args }))
  const forever = spec("/bin/sleep", "1000")

  suiteLayer(place.layer, { excludeTestServices: place.real, timeout: "60 seconds" })(`run: ${place.name}`, (it) => {
    const test = (
      name: string,
      body: () => Effect.Effect<void, unknown, Containers | Tasks | Events | System | Scope.Scope>
    ) => it.effect(name, () => (place.real ? body() : untilDone(Effect.scoped(body()))))

    test("gives output, pid and exit, and leaves nothing", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* freshId
        const seen: Array<string> = []
        let pid = 0
        const exit = yield* tasks.run(spec("/bin/sh", "-c", "echo out; echo err >&2; exit 7"), {
          id,
          labels: { app: "run" },
          onStart: Effect.fnUntraced(function* (started, startedId) {
            assert.strictEqual(startedId, id)
            assert.deepStrictEqual(seen, [])
            pid = started
          }),
          stdout: (bytes) => Effect.sync(() => void seen.push(`1${text(bytes)}`)),
          stderr: (bytes) => Effect.sync(() => void seen.push(`2${text(bytes)}`))
        })
        assert.deepStrictEqual(
          [exit.id, exit.pid, exit.exitStatus, exit.oomKilled, exit.source],
          [id, pid, 7, false, "reaped"]
        )
        assert.isAbove(pid, 0)
        assert.deepStrictEqual(seen.sort(), ["1out\n", "2err\n"])
        yield* nothingLeft(id)
        const topics = yield* Stream.runCollect((yield* Events).subscribe({ filters: [`id==${id}`] }))
        assert.deepStrictEqual(
          topics.map(({ topic }) => topic),
          ["/containers/create", "/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete", "/containers/delete"]
        )
      }))

    test("needs no id, and runs many at once", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const exits = yield* Effect.forEach([1, 2, 3, 4], (n) => tasks.run(spec("/bin/sh", "-c", `exit ${n}`)), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          exits.map(({ exitStatus }) => exitStatus),
          [1, 2, 3, 4]
        )
        assert.strictEqual(new Set(exits.map(({ id }) => id)).size, 4)
      }))

    test("feeds input to its end", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        let found = ""
        const stdout = (bytes: Uint8Array) => Effect.sync(() => void (found += text(bytes)))
        const exit = yield* tasks.run(spec("/bin/cat"), { stdin: Stream.make(bytes("one\n"), bytes("two\n")), stdout })
        assert.deepStrictEqual([exit.exitStatus, found], [0, "one\ntwo\n"])
        // Nothing to read is end-of-file, and input that nobody reads is no failure.
        assert.strictEqual((yield* tasks.run(spec("/bin/cat"))).exitStatus, 0)
        const endless = Stream.fromEffectRepeat(Effect.as(Effect.sleep("1 millis"), bytes("more\n")))
        assert.strictEqual((yield* tasks.run(spec("/bin/true"), { stdin: endless })).exitStatus, 0)
      }))

    test("leaves nothing where what the caller gave fails", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const fail = () => Effect.fail(new Mine())
        const id = yield* freshId
        assert.strictEqual(yield* tagOf(tasks.run(forever, { id, onStart: fail })), "Mine")
        yield* nothingLeft(id)
        assert.strictEqual(yield* tagOf(tasks.run(forever, { id, stdin: Stream.fail(new Mine()) })), "Mine")
        yield* nothingLeft(id)
        const talks = spec("/bin/sh", "-c", "echo hi; sleep 1000")
        assert.strictEqual(yield* tagOf(tasks.run(talks, { id, stdout: fail })), "Mine")
        yield* nothingLeft(id)
      }))

    test("leaves nothing where it is interrupted", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* freshId
        const started = yield* Deferred.make<void>()
        const onStart = () => Effect.asVoid(Deferred.succeed(started, undefined))
        const running = yield* Effect.forkChild(tasks.run(forever, { id, onStart }))
        yield* Deferred.await(started)
        yield* Fiber.interrupt(running)
        yield* nothingLeft(id)
        // At any moment of its beginning.
        for (const delay of [0, 1, 4, 16, 64]) {
          const early = yield* Effect.forkChild(tasks.run(forever, { id }), { startImmediately: true })
          yield* Effect.sleep(delay)
          yield* Fiber.interrupt(early)
          yield* gone(id)
        }
      }))

    test("says why it cannot start, and leaves nothing", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* freshId
        assert.strictEqual(yield* tagOf(tasks.run(spec("/nowhere"), { id })), "RuntimeFailed")
        yield* nothingLeft(id)
        const { process: _, ...empty } = forever
        const refused = yield* Effect.flip(tasks.run(empty, { id }))
        assert.oneOf(refused._tag, ["RuntimeFailed", "InvalidArgument"])
        yield* nothingLeft(id)
      }))

    test("touches no container that is there already", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const containers = yield* Containers
        const id = yield* freshId
        yield* Effect.acquireRelease(containers.create({ id, spec: forever }), () =>
          Effect.ignore(Effect.andThen(Effect.ignore(tasks.delete({ id, force: true })), containers.delete(id)))
        )
        assert.strictEqual(yield* tagOf(tasks.run(forever, { id })), "AlreadyExists")
        yield* tasks.create({ id })
        assert.strictEqual(yield* tagOf(tasks.run(forever, { id })), "AlreadyExists")
        assert.strictEqual((yield* tasks.get(id)).status, "created")
      }))

    test("a detachable one goes on without its caller, and removes itself", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* freshId
        const request = { id, spec: forever, detachable: true }
        const first = yield* untilStarted(tasks.runStream(request))
        assert.isTrue(Option.isSome(first))
        assert.strictEqual((yield* tasks.get(id)).status, "running")
        yield* tasks.signal({ id, signal: 9 })
        yield* gone(id)
        // One that is not ends with its stream.
        yield* untilStarted(tasks.runStream({ id, spec: forever }))
        yield* gone(id)
      }))

    test("stops as the container was made to, where nothing else is said", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const stopped = Effect.fnUntraced(function* (labels: Readonly<Record<string, string>>) {
          const id = yield* freshId
          yield* untilStarted(tasks.runStream({ id, labels, spec: forever, detachable: true }))
          const [time, { exit, stage }] = yield* Effect.timed(tasks.stop({ id }))
          yield* gone(id)
          return [stage, exit.exitStatus, Duration.toMillis(time) < 5000]
        })
        assert.deepStrictEqual(yield* stopped({ "berth.stop-signal": "KILL" }), ["signal", 137, true])
        assert.deepStrictEqual(yield* stopped({ "berth.stop-timeout": "200ms" }), ["kill", 137, true])
        const nonsense = { "berth.stop-signal": "SHOUT", "berth.stop-timeout": "1ms" }
        assert.deepStrictEqual(yield* stopped(nonsense), ["kill", 137, true])
      }))

    test("ends with its exit though somebody else removes it", () =>
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const id = yield* freshId
        const onStart = () => Effect.orDie(Effect.asVoid(Effect.forkDetach(tasks.delete({ id, force: true }))))
        const exit = yield* Effect.result(tasks.run(forever, { id, onStart }))
        assert.strictEqual(Result.isSuccess(exit) ? exit.success.exitStatus : exit.failure._tag, 137)
        yield* gone(id)
      }))
  })
}

/** A caller that goes away does not wait for the removal, which is the daemon's. */
const gone = (id: Effect.Success<typeof freshId>): Effect.Effect<void, BerthError, Tasks | Containers> =>
  Effect.gen(function* () {
    const there = Effect.all([Effect.isSuccess((yield* Tasks).get(id)), Effect.isSuccess((yield* Containers).get(id))])
    while ((yield* there).includes(true)) yield* Effect.sleep("10 millis")
  })
