/** `berth logs`: what a process wrote, from its structured log. */
import { DateTime, Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import type { OutputChunk } from "../../schema/Process.ts"
import type { OutputRequest } from "../../schema/Requests.ts"
import { Tasks } from "../../services/Tasks.ts"
import { connected, wantsJson } from "../Globals.ts"
import { Output } from "../Output.ts"
import * as Lines from "../output/Lines.ts"
import { misuse } from "../output/Usage.ts"
import * as Params from "../Params.ts"
import * as Since from "../Since.ts"

interface Wanted extends OutputRequest {
  readonly timestamps: boolean
  readonly json: boolean
}

/** Bytes as they are, no line looked at. */
const raw = (wanted: Wanted) =>
  Effect.gen(function* () {
    const output = yield* Output
    const write = (pieces: ReadonlyArray<OutputChunk>) => {
      const bytes = pieces.length === 1 ? (pieces[0]?.bytes ?? "") : Buffer.concat(pieces.map(({ bytes }) => bytes))
      return pieces[0]?.stream === "stderr" ? output.writeError(bytes) : output.write(bytes)
    }
    yield* (yield* Tasks)
      .output(requestOf(wanted))
      .pipe(Stream.runForEachArray((pieces) => Effect.forEach(runs(pieces), write, { discard: true })))
  })

const requestOf = ({ json: _json, timestamps: _timestamps, ...request }: Wanted): OutputRequest => request

/** The most that the daemon looks for. */
const mostLines = 10_000_000

const print = (wanted: Wanted, lines: ReadonlyArray<Lines.Line>) =>
  Effect.gen(function* () {
    const output = yield* Output
    if (wanted.json) return yield* output.write(Lines.documents(lines))
    for (const run of runs(lines)) {
      const bytes = Lines.render(run, wanted.timestamps)
      yield* run[0]?.stream === "stderr" ? output.writeError(bytes) : output.write(bytes)
    }
  })

/** Neighbours of the same stream together. */
const runs = <A extends Pick<OutputChunk, "stream">>(pieces: ReadonlyArray<A>): ReadonlyArray<ReadonlyArray<A>> => {
  const groups: Array<Array<A>> = []
  for (const piece of pieces) {
    const last = groups.at(-1)
    if (last?.[0]?.stream === piece.stream) last.push(piece)
    else groups.push([piece])
  }
  return groups
}

const inLines = (wanted: Wanted) =>
  Effect.gen(function* () {
    yield* Lines.fromChunks((yield* Tasks).output(requestOf(wanted))).pipe(
      Stream.runForEach((lines) => print(wanted, lines))
    )
  })

export const logs = Command.make(
  "logs",
  {
    id: Params.id,
    follow: Params.toggle("follow", "Go on with what is written from now on, until the process has ended").pipe(
      Params.alias("f")
    ),
    timestamps: Params.toggle("timestamps", "Begin each line with its time").pipe(Params.alias("t")),
    tail: Flag.Int("tail").pipe(
      Flag.filter(
        (n) => n >= 0 && n <= mostLines,
        () => "expected a number of lines"
      ),
      Flag.withDescription("Only that many of the newest lines"),
      Flag.optional
    ),
    stream: Flag.Literals("stream", ["stdout", "stderr"]).pipe(
      Flag.withDescription("Only one of the two"),
      Flag.optional
    ),
    since: Params.text("since", "<TIME>", "Only what is newer than a time or a span such as 10m"),
    exec: Params.exec
  },
  ({ exec, follow, id, since, stream, tail, timestamps }) =>
    Effect.gen(function* () {
      const now = yield* DateTime.now
      const from = Option.map(since, (text) => Since.time(text, now))
      if (Option.isSome(from) && Option.isNone(from.value)) {
        return yield* misuse("logs", "--since", "expected a time such as 2026-11-22T10:00:00Z or a span such as 10m")
      }
      const json = yield* wantsJson
      const wanted: Wanted = {
        id,
        execId: Option.getOrNull(exec),
        follow,
        timestamps,
        json,
        ...Option.match(tail, { onNone: () => ({}), onSome: (tail) => ({ tail }) }),
        ...Option.match(Option.flatten(from), { onNone: () => ({}), onSome: (since) => ({ since }) }),
        ...Option.match(stream, { onNone: () => ({}), onSome: (stream) => ({ stream }) })
      }
      yield* connected(json || timestamps ? inLines(wanted) : raw(wanted))
    })
).pipe(
  Command.withDescription("Print what a process wrote"),
  Command.withExamples([
    { command: "berth logs web" },
    { command: "berth logs -f --tail 20 web", description: "The last lines, then what comes" },
    { command: "berth logs -t --since 10m web" }
  ])
)
