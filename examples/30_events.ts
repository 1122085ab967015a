/** Follows the event log from a sequence number on, also across restarts of the daemon: `node examples/30_events.ts [SEQ]`. */
import { NodeRuntime } from "@effect/platform-node"
import { Berth, Events, Seq } from "berth"
import { Console, Effect, Ref, Schedule, Stream } from "effect"

const [from = "0"] = process.argv.slice(2)
const address = process.env["BERTH_ADDRESS"] ?? "unix:///run/berth/berth.sock"

// #region
const program = Effect.gen(function* () {
  const events = yield* Events
  const last = yield* Ref.make(Seq.make(Number(from)))
  const follow = Effect.gen(function* () {
    const after = yield* Ref.get(last)
    yield* Stream.runForEach(events.subscribe({ after, follow: true }), (event) =>
      Effect.andThen(Console.log(event.seq, event.topic), Ref.set(last, event.seq))
    )
  })
  // Where the connection breaks, it goes on after the last event that was handled: none is missed, none comes twice.
  yield* Effect.retry(follow, Schedule.spaced("100 millis"))
})

program.pipe(Effect.provide(Berth.layerClient({ address })), NodeRuntime.runMain)
// #endregion
