/**
 * The command line as a whole: from words to an exit code. It prints every error, and nothing that goes wrong leaves it as a failure; the entry of the
 * program only has to end with the code. Needs ports alone, so that tests run it in their own process.
 */
import { Cause, Effect, References, Result, Terminal } from "effect"
import { CliConfig, CliError, CliOutput, Command, Completions, GlobalFlag } from "effect/cli"
import { ChildProcessSpawner } from "effect/process"
import { version } from "../version.ts"
import { normalise } from "./Argv.ts"
import { attach } from "./commands/attach.ts"
import { completions } from "./commands/completions.ts"
import { consumers } from "./commands/consumers.ts"
import { containers } from "./commands/containers.ts"
import { create, spec, start } from "./commands/create.ts"
import { daemon } from "./commands/daemon.ts"
import { doctor } from "./commands/doctor.ts"
import { events } from "./commands/events.ts"
import { exec } from "./commands/exec.ts"
import { inspect } from "./commands/inspect.ts"
import { kill, stop } from "./commands/kill.ts"
import { del, pause, resume, wait } from "./commands/lifecycle.ts"
import { logs } from "./commands/logs.ts"
import { pids, processes } from "./commands/processes.ts"
import { ps } from "./commands/ps.ts"
import { resize } from "./commands/resize.ts"
import { run } from "./commands/run.ts"
import { stats, top } from "./commands/stats.ts"
import { info, runtimes, version as versionCommand } from "./commands/system.ts"
import { update } from "./commands/update.ts"
import { root } from "./Globals.ts"
import { Output, OutputClosed } from "./Output.ts"
import { Exited, exitCode, Failed, isBerthError, printable, report } from "./output/Failure.ts"
import { lines as misused, presenter } from "./output/Usage.ts"

const commands = [
  run,
  create,
  start,
  ps,
  inspect,
  exec,
  logs,
  attach,
  resize,
  stop,
  kill,
  pause,
  resume,
  update,
  wait,
  del,
  processes,
  pids,
  stats,
  top,
  containers,
  events,
  consumers,
  runtimes,
  spec,
  daemon,
  doctor,
  info,
  versionCommand,
  completions(() => descriptor)
] as const

const berth = root.pipe(Command.withSubcommands(commands))

/** Every visible command with its options. */
export const descriptor: Completions.CommandDescriptor = Completions.fromCommand(berth)

const builtIns = [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.LogLevel] as const

const builtInFlags = Completions.fromCommand(
  Command.make("berth", { help: builtIns[0].flag, version: builtIns[1].flag, level: builtIns[2].flag })
).flags

/** The words as the parser gets them. */
export const normalised = (words: ReadonlyArray<string>): ReadonlyArray<string> =>
  normalise(words, descriptor, builtInFlags)

/** The name of an option for a path that has none: it would mean the current folder, which nobody asks for like that. */
const emptyPath = (words: ReadonlyArray<string>): string | undefined => {
  const command = descriptor.subcommands.find(({ name }) => name === words[0])
  return command?.flags.find(({ name, type }) => type._tag === "Path" && words.includes(`--${name}=`))?.name
}

const asksForJson = (words: ReadonlyArray<string>) => {
  const end = words.indexOf("--")
  return (end < 0 ? words : words.slice(0, end)).includes("--json")
}

/** What the parser may ask for and berth never uses: it neither prompts nor starts programs. */
const unused = <A>(what: string): Effect.Effect<A> => Effect.die(`the command line has no ${what}`)
const terminal = Terminal.make({
  columns: Effect.succeed(80),
  rows: Effect.succeed(24),
  size: unused("terminal"),
  readInput: unused("terminal"),
  readLine: unused("terminal"),
  display: () => unused("terminal")
})
const spawner = ChildProcessSpawner.ChildProcessSpawner.of(ChildProcessSpawner.make(() => unused("child processes")))

/** The exit code of what a command ended with, after telling about it. */
const conclude = (cause: Cause.Cause<unknown>, json: boolean) =>
  Effect.gen(function* () {
    const { writeError } = yield* Output
    const found = Cause.findError(cause)
    if (Result.isFailure(found)) {
      if (Cause.hasInterruptsOnly(cause)) return yield* Effect.interrupt
      yield* writeError(`berth: internal error: ${printable(Cause.pretty(cause))}\n`)
      return 125
    }
    const error = found.success
    if (error instanceof Exited) return error.code
    if (error instanceof Failed) return yield* Effect.as(writeError(report(error.error, json)), error.code)
    if (isBerthError(error)) return yield* Effect.as(writeError(report(error, json)), exitCode(error))
    // Misuse has been told by the presenter.
    if (CliError.isCliError(error)) return 2
    // A reader that has gone away is nobody's error.
    if (error instanceof OutputClosed) return 0
    yield* writeError(`berth: internal error: ${printable(String(error))}\n`)
    return 125
  })

/** Runs the command that the words name. Succeeds with the exit code; only an interruption is left to the caller. */
export const main = Effect.fn("cli.main")(function* (args: ReadonlyArray<string>) {
  const words = normalised(args)
  const json = asksForJson(words)
  const output = yield* Output
  const { colors } = output
  const present = yield* presenter({ json, colors })
  const empty = emptyPath(words.slice(0, words.includes("--") ? words.indexOf("--") : words.length))
  if (empty !== undefined) {
    const [command = ""] = words
    const error = new CliError.ValidationError({ message: `--${empty}: needs a value, expected a path` })
    return yield* Effect.as(output.writeError(misused(["berth", command], [error], json)), 2)
  }
  return yield* Command.runWith(berth, { version })(words).pipe(
    Effect.as(0),
    Effect.catchCause((cause) => conclude(cause, json)),
    Effect.provideService(CliOutput.Presenter, present),
    Effect.provideService(CliConfig.CliConfig, CliConfig.make({ builtIns })),
    Effect.provideService(Terminal.Terminal, terminal),
    Effect.provideService(ChildProcessSpawner.ChildProcessSpawner, spawner),
    Effect.provideService(References.LogToStderr, true),
    Effect.provideService(References.MinimumLogLevel, "Warn")
  )
})
