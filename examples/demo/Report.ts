/** How the demo talks: a heading for each step, events as they come, what the step proved, and one message where something is wrong. */
import type { Event } from "berth"
import { Console, Data, Duration, Effect } from "effect"

/** Why the demo cannot go on; `mend` is what to type. */
export class Problem extends Data.TaggedError("Problem")<{ readonly what: string; readonly mend: string | null }> {}

/** Goes on only if it holds. */
export const check = (holds: boolean, what: string): Effect.Effect<void, Problem> =>
  holds ? Effect.void : Effect.fail(new Problem({ what, mend: null }))

const { env, stdout } = process
const coloured = stdout.isTTY && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb"
const paint = (code: number) => (text: string) => (coloured ? `\u001b[${code}m${text}\u001b[0m` : text)
export const bold = paint(1)
const dim = paint(2)
export const red = paint(31)
const green = paint(32)
const cyan = paint(36)

/** A step: its name and what it is about, then events as they come, then what it proved and how long it took. */
export const step = <E, R>(name: string, about: string, body: Effect.Effect<string, E, R>) =>
  Effect.gen(function* () {
    yield* Console.log(`${bold(name.padEnd(17))} ${dim(about)}`)
    const [took, proved] = yield* Effect.timed(body)
    const time = `${Math.round(Duration.toMillis(took))} ms`
    yield* Console.log(`  ${green("✔")} ${proved.padEnd(82)} ${dim(time.padStart(8))}`)
  })

/** What an event is about: a container, or an exec within it. */
export const subject = ({ event }: Event): string => {
  const id = "containerId" in event ? event.containerId : event.id
  return "execId" in event && event.execId !== null ? `${id}/${event.execId}` : id
}

const detail = ({ event, topic }: Event): string => {
  if (topic === "/tasks/exit") return `exit ${event.exitStatus}, ${event.source}`
  return "pid" in event && topic !== "/tasks/delete" ? `pid ${event.pid}` : ""
}

/** An event on one line. */
export const live = (event: Event) => {
  const words = `${event.topic.padEnd(20)} ${subject(event).padEnd(15)} ${detail(event)}`
  return Console.log(`  ${cyan(`#${event.seq}`.padStart(3))} ${words.trimEnd()}`)
}

/** The history of a container on one line. */
export const history = (id: string, log: ReadonlyArray<Event>) => {
  const own = log.filter((event) => subject(event).split("/", 1)[0] === id)
  const words = own.map(({ topic }) => topic.slice(topic.lastIndexOf("/") + 1))
  return Console.log(`  ${cyan(`#${own[0]?.seq}-${own.at(-1)?.seq}`.padEnd(6))} ${id.padEnd(8)} ${words.join(" ")}`)
}
