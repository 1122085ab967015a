/**
 * The life of one container under fire: made, started, now and then paused, killed or given a second process, waited for, read and deleted. Its script
 * numbers its lines and leaves a mark before it ends, so that what berth tells can be held against what happened.
 */
import { Effect, Random, Result, Stream } from "effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { ContainerId, Containers, ExecId, Spec, Tasks } from "../../src/index.ts"
import type { BerthError, Exit } from "../../src/index.ts"
import { kernelTells, lives } from "../support/host.ts"
import type { Findings } from "./Findings.ts"
import { insistently } from "./Findings.ts"

const sh = (text: string) => ["/bin/sh", "-c", text]
/** A line every millisecond: a shell waits so short a time only for input, here from a pipe that never has any. */
const script = (id: string, lines: number, code: number) =>
  sh(
    `mkfifo /tmp/${id}.pipe; exec 3<>/tmp/${id}.pipe; rm /tmp/${id}.pipe; n=0; ` +
      `while [ $n -lt ${lines} ]; do n=$((n+1)); echo $n; read -t 0.001 -u 3 none; done; : > /tmp/${id}; exit ${code}`
  )

const is = (tag: BerthError["_tag"]) => (error: BerthError) => error._tag === tag
const chance = (part: number) => Effect.map(Random.next, (drawn) => drawn < part)

export const live = Effect.fnUntraced(function* (findings: Findings, rootfs: string, name: string) {
  const [containers, tasks] = [yield* Containers, yield* Tasks]
  const id = ContainerId.make(name)
  const { counts, find } = findings
  const [lines, code] = [yield* Random.nextIntBetween(100, 3000), yield* Random.nextIntBetween(0, 100)]
  const spec = Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args: script(name, lines, code) }))
  const ask = <A>(what: string, effect: Effect.Effect<A, BerthError>) =>
    insistently(findings, `${name}: ${what}`)(effect)
  /** Done, or done already by a call whose answer was lost. */
  const settle = (what: string, already: BerthError["_tag"], effect: Effect.Effect<unknown, BerthError>) =>
    ask(
      what,
      Effect.catchIf(effect, is(already), () => Effect.void)
    )

  const state = ask(
    "get",
    Effect.catchIf(
      Effect.map(tasks.get(id), ({ pid, status }) => ({ pid, status })),
      is("NotFound"),
      () => Effect.succeed({ pid: null, status: "absent" as const })
    )
  )
  /** Whatever a call answers, the next look at the task tells how it went. */
  const attempt = (effect: Effect.Effect<unknown, BerthError>) => Effect.ignore(effect)

  const bringUp = Effect.gen(function* () {
    for (;;) {
      const now = yield* state
      if (now.status === "absent") yield* attempt(tasks.create({ id }))
      else if (now.status === "created") yield* attempt(tasks.start(id))
      else return now.pid
      yield* Effect.sleep("10 millis")
    }
  })

  const pause = Effect.gen(function* () {
    counts.pauses += 1
    yield* attempt(tasks.pause(id))
    yield* Effect.sleep("200 millis")
    for (;;) {
      const { status } = yield* state
      if (status === "paused") yield* attempt(tasks.resume(id))
      else if (status !== "pausing") return
      yield* Effect.sleep("20 millis")
    }
  })

  /** A pause that was ordered of a daemon that died may come true when nobody asks any more. */
  const goOn = Effect.gen(function* () {
    yield* Effect.sleep("1 second")
    if ((yield* state).status === "paused") yield* attempt(tasks.resume(id))
  })

  const beside = Effect.gen(function* () {
    counts.execs += 1
    const execId = ExecId.make("beside")
    const ends = yield* Random.nextIntBetween(0, 100)
    const process = { args: sh(`exit ${ends}`), cwd: "/" }
    const made = yield* Effect.result(settle("exec", "AlreadyExists", tasks.exec({ id, execId, process })))
    // Its container may have ended meanwhile.
    if (Result.isFailure(made)) return
    const started = yield* Effect.result(
      settle("start of an exec", "FailedPrecondition", tasks.startExec({ id, execId }))
    )
    if (Result.isFailure(started)) return
    const exit = yield* Effect.result(
      Effect.timeoutOption(ask("wait for an exec", tasks.wait({ id, execId })), "10 seconds")
    )
    if (Result.isFailure(exit) || exit.success._tag === "None") return
    const { exitStatus, source } = exit.success.value
    // The end of its container kills it.
    if (source !== "unknown" && exitStatus !== ends && exitStatus !== 137) {
      find(`${name}: an exec ended with ${ends}, and ${exitStatus} (${source}) was told`)
    }
  })

  const judge = (exit: Exit, pid: number | null, killed: boolean) => {
    counts.sources.set(exit.source, (counts.sources.get(exit.source) ?? 0) + 1)
    const told = `${exit.exitStatus} (${exit.source})`
    if (pid !== null && lives(pid)) find(`${name}: its end ${told} was told while it lives`)
    const finished = existsSync(join(rootfs, "tmp", name))
    if (!finished && !killed) find(`${name}: it was harmed: ended with ${told} before its time`)
    if (exit.source === "unknown") {
      if (kernelTells) find(`${name}: its exit is not known`)
      return
    }
    const right = finished && !killed ? [code] : finished ? [code, 137] : [137]
    if (!right.includes(exit.exitStatus)) find(`${name}: it ended with ${right.join(" or ")}, and ${told} was told`)
  }

  const read = Effect.gen(function* () {
    const text = yield* ask(
      "output",
      Stream.runFold(
        tasks.output({ id }),
        () => "",
        (all, { bytes }) => all + new TextDecoder().decode(bytes)
      )
    )
    return text.split("\n")
  })

  /** Every line once and in order; of one that was killed the last line is not known, and of one whose exit says so its last lines may be missing. */
  const judgeOutput = (text: ReadonlyArray<string>, isOpenEnded: boolean) => {
    const shown = text.slice(0, -1).map(Number)
    counts.lines += shown.length
    const last = shown.reduce((most, line) => Math.max(most, line), 0)
    const distinct = new Set(shown).size
    const lost = (isOpenEnded ? last : lines) - distinct
    counts.linesLost += lost
    counts.linesDoubled += shown.length - distinct
    if (isOpenEnded && !killed) counts.linesTruncated += lines - last
    const wrong = shown.findIndex((line, index) => line !== index + 1)
    if (wrong !== -1)
      find(`${name}: line ${wrong + 1} is not its own: ${shown.slice(Math.max(0, wrong - 3), wrong + 4).join(" ")}`)
    else if (lost !== 0) find(`${name}: ${lost} of its ${lines} lines are not there`)
    if (!isOpenEnded && text.at(-1) !== "") find(`${name}: its output ends with half a line: ${text.at(-1)}`)
  }

  /** A deletion whose answer was lost may still be under way. */
  const remove: Effect.Effect<void, BerthError> = Effect.catchIf(
    settle("delete", "NotFound", tasks.delete({ id })),
    (error) => error._tag === "FailedPrecondition" && error.found === "deleting",
    () =>
      Effect.andThen(
        Effect.sleep("20 millis"),
        Effect.suspend(() => remove)
      )
  )

  yield* settle("record", "AlreadyExists", containers.create({ id, spec }))
  const pid = yield* bringUp
  counts.containers += 1
  if (yield* chance(0.2)) yield* pause
  if (yield* chance(0.2)) yield* beside
  const killed = yield* chance(0.15)
  if (killed) {
    counts.signals += 1
    yield* settle("kill", "NotFound", tasks.signal({ id, signal: 9 }))
  }
  const exit = yield* Effect.raceFirst(ask("wait", tasks.wait({ id })), Effect.forever(goOn))
  judge(exit, pid, killed)
  const first = yield* read
  if (exit.truncated === true) counts.truncated += 1
  judgeOutput(first, killed || exit.truncated === true)
  // Tells a log that lacks something from an answer that was cut off.
  const second = yield* read
  if (second.length !== first.length) {
    find(
      `${name}: its output had ${first.length} lines when it was read (exit ${exit.source}), and then ${second.length}`
    )
  }
  yield* remove
  yield* settle("removal of the record", "NotFound", containers.delete(id))
})
