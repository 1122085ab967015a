/** Arguments and options that several commands share, decoded where they are parsed. */
import { Effect, Option, Random } from "effect"
import { Argument, Flag } from "effect/cli"
import { ContainerId, ExecId } from "../schema/Ids.ts"
import { DurationText, Signal } from "../schema/Units.ts"
import { commandArgument } from "./Argv.ts"
import * as DetachKeys from "./terminal/DetachKeys.ts"

/** One container. */
export const id = Argument.String("id").pipe(
  Argument.withSchema(ContainerId),
  Argument.withDescription("The container")
)

/** One container or more. */
export const ids = id.pipe(Argument.atLeast(1))

/** The command line that a container runs; everything from its first word on is its own. */
export const command = (min: 0 | 1) =>
  Argument.String(commandArgument).pipe(
    Argument.atLeast(min),
    Argument.withDescription("The program and its arguments; what follows the first word is left alone")
  )

/** `--exec EXEC`: an additional process instead of the container's own. */
export const exec = Flag.String("exec").pipe(
  Flag.withSchema(ExecId),
  Flag.withMetavar("<EXEC>"),
  Flag.withDescription("A process that exec added, instead of the container's own"),
  Flag.optional
)

/** `--filter F`, repeatable. */
export const filters = Flag.String("filter").pipe(
  Flag.withMetavar("<FILTER>"),
  Flag.withDescription("Only what matches, such as labels.app==web,status==running; of several, one has to match"),
  Flag.atLeast(0)
)

/** A switch, off where it is absent, without a `--no-` form. */
export const toggle = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withoutNegation, Flag.withDescription(description), Flag.withDefault(false))

/** A span of time. */
export const duration = (name: string) =>
  Flag.String(name).pipe(Flag.withSchema(DurationText), Flag.withMetavar("<DURATION>"))

/** A signal by name or number. */
export const signal = (name: string) => Flag.String(name).pipe(Flag.withSchema(Signal), Flag.withMetavar("<SIGNAL>"))

/** A repeatable option of texts. */
export const texts = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.atLeast(0))

/** An optional option of one text. */
export const text = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

const randomName = Effect.map(Random.nextIntBetween(0, 2 ** 48, { halfOpen: true }), (n) =>
  n.toString(16).padStart(12, "0")
)

/** Twelve hexadecimal digits: the name of a container that the user did not name. */
export const randomId = Effect.map(randomName, (name) => ContainerId.make(name))

/** The same for a process. */
export const randomExecId = Effect.map(randomName, (name) => ExecId.make(name))

/** `--detach-keys KEYS`. */
export const detachKeys = Flag.String("detach-keys").pipe(
  Flag.withMetavar("<KEYS>"),
  Flag.withDescription(`What to press in a terminal to leave it running; default ${DetachKeys.usual}, empty for none`),
  Flag.withDefault(DetachKeys.usual),
  Flag.filterMap(
    (text) => Option.fromNullOr(DetachKeys.parse(text)),
    (text) => `expected keys such as ${DetachKeys.usual} or ctrl-],x, got "${text}"`
  )
)

/** The one-letter form of an option. */
export const alias = Flag.withAlias
