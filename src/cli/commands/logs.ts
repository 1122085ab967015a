/** `berth logs`: what a process wrote, from its structured log. */
import { DateTime, Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import type { ContainerId, ExecId } from "../../schema/Ids.ts"
import { Tasks } from "../../services/Tasks.ts"
import { connected, wantsJson } from "../Globals.ts"
import { Output } from "../Output.ts"
import * as Lines from "../output/Lines.ts"
import { misuse } from "../output/Usage.ts"
import * as Params from "../Params.ts"
import * as Since from "../Since.ts"

interface Wanted {
  readonly id: ContainerId
  readonly execId: ExecId | null
  readonly follow: boolean
  readonly timestamps: boolean
  readonly tail: Option.Option<number>
  readonly since: Option.Option<DateTime.Utc>
  readonly json: boolean
}

/** Bytes as they are, no line looked at. */
const raw = ({ execId, follow, id }: Wanted) =>
  Effect.gen(function* () {
    const output = yield* Output
    yield* (yield* Tasks)
      .output({ id, execId, follow })
      .pipe(
        Stream.runForEach(({ bytes, stream }) => (stream === "stdout" ? output.write(bytes) : output.writeError(bytes)))
      )
  })

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
const runs = (lines: ReadonlyArray<Lines.Line>): ReadonlyArray<ReadonlyArray<Lines.Line>> => {
  const groups: Array<Array<Lines.Line>> = []
  for (const line of lines) {
    const last = groups.at(-1)
    if (last?.[0]?.stream === line.stream) last.push(line)
    else groups.push([line])
  }
  return groups
}

const isSince = ({ since }: Wanted) => {
  const from = Option.map(since, DateTime.toEpochMillis)
  return (line: Lines.Line) => Option.isNone(from) || DateTime.toEpochMillis(line.at) >= from.value
}

/** The newest lines that the log holds now, and how many whole lines of each stream it holds. */
const newest = (wanted: Wanted, count: number) =>
  Effect.gen(function* () {
    const { execId, follow, id } = wanted
    const seen = { stdout: 0, stderr: 0 }
    let kept: Array<Lines.Line> = []
    yield* Lines.fromChunks((yield* Tasks).output({ id, execId, follow: false })).pipe(
      Stream.runForEach((lines) =>
        Effect.sync(() => {
          // What has no newline yet comes again, with the rest of its line, when the log is followed.
          const whole = lines.filter(({ partial }) => !partial || !follow)
          for (const { partial, stream } of whole) seen[stream] += partial ? 0 : 1
          kept.push(...whole.filter(isSince(wanted)))
          if (kept.length > 2 * count) kept = kept.slice(-count)
        })
      )
    )
    return { seen, lines: count === 0 ? [] : kept.slice(-count) }
  })

const inLines = (wanted: Wanted) =>
  Effect.gen(function* () {
    const { execId, follow, id, tail } = wanted
    const before = Option.isSome(tail)
      ? yield* newest(wanted, tail.value)
      : { seen: { stdout: 0, stderr: 0 }, lines: [] }
    yield* print(wanted, before.lines)
    if (Option.isSome(tail) && !follow) return
    const { seen } = before
    const isNew = ({ partial, stream }: Lines.Line) => {
      if (seen[stream] === 0) return true
      if (!partial) seen[stream]--
      return false
    }
    yield* Lines.fromChunks((yield* Tasks).output({ id, execId, follow })).pipe(
      Stream.runForEach((lines) => print(wanted, lines.filter(isNew).filter(isSince(wanted))))
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
        (n) => n >= 0,
        () => "expected a number of lines"
      ),
      Flag.withDescription("Only that many of the newest lines"),
      Flag.optional
    ),
    since: Params.text("since", "<TIME>", "Only what is newer than a time or a span such as 10m"),
    exec: Params.exec
  },
  ({ exec, follow, id, since, tail, timestamps }) =>
    Effect.gen(function* () {
      const now = yield* DateTime.now
      const from = Option.map(since, (text) => Since.time(text, now))
      if (Option.isSome(from) && Option.isNone(from.value)) {
        return yield* misuse("logs", "--since", "expected a time such as 2026-11-22T10:00:00Z or a span such as 10m")
      }
      const json = yield* wantsJson
      const execId = Option.getOrNull(exec)
      const wanted: Wanted = { id, execId, follow, timestamps, tail, since: Option.flatten(from), json }
      const plain = !json && !timestamps && Option.isNone(tail) && Option.isNone(wanted.since)
      yield* connected(plain ? raw(wanted) : inLines(wanted))
    })
).pipe(
  Command.withDescription("Print what a process wrote"),
  Command.withExamples([
    { command: "berth logs web" },
    { command: "berth logs -f --tail 20 web", description: "The last lines, then what comes" },
    { command: "berth logs -t --since 10m web" }
  ])
)
