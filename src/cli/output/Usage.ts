/**
 * What a misused command says: the problem on one line of standard error like every other error, with where to read how the command is used. Help that was
 * asked for goes to standard output.
 */
import { Effect } from "effect"
import { CliError, CliOutput } from "effect/cli"
import { InvalidArgument } from "../../schema/Errors.ts"
import { Output } from "../Output.ts"
import { printable, toJson } from "./Failure.ts"

const suggestion = (suggestions: ReadonlyArray<string>) =>
  suggestions.length === 0 ? "" : `, did you mean ${suggestions.join(" or ")}?`

const named = (option: string, kind: "flag" | "argument") => (kind === "flag" ? `--${option}` : `<${option}>`)

/** What the user wrote wrong, and why. */
export const problem = (error: CliError.NonShowHelpErrors): { readonly field: string; readonly problem: string } => {
  switch (error._tag) {
    case "UnrecognizedOption":
      return { field: error.option, problem: `unknown option${suggestion(error.suggestions)}` }
    case "UnknownSubcommand":
      return { field: error.subcommand, problem: `unknown command${suggestion(error.suggestions)}` }
    case "MissingOption":
      return { field: `--${error.option}`, problem: "is required" }
    case "MissingArgument":
      return { field: `<${error.argument}>`, problem: "is missing" }
    case "UnexpectedArgument":
      return { field: error.arguments.join(" "), problem: "more words than the command takes" }
    case "InvalidValue": {
      const expected = error.expected.replace(/^Schema validation failed: /, "").replace(/^E/, "e")
      const wanted =
        /^(expected|at most|at least|needs)/.test(expected) || expected.includes(":")
          ? expected
          : `expected ${expected}`
      const got = error.value === "" || wanted.includes(`"${error.value}"`) ? "" : `, got "${error.value}"`
      return {
        field: named(error.option, error.kind),
        problem: error.value === "" && !wanted.includes('"') ? `needs a value, ${wanted}` : `${wanted}${got}`
      }
    }
    case "ValidationError": {
      const [field = "", ...rest] = error.message.split(": ")
      return { field, problem: rest.join(": ") }
    }
    default:
      return { field: "arguments", problem: error.message }
  }
}

/** Fails as the parser does, where an option is wrong for a reason that the parser cannot know. */
export const misuse = (command: string, field: string, reason: string): CliError.ShowHelp =>
  new CliError.ShowHelp({
    commandPath: ["berth", ...command.split(" ")],
    errors: [new CliError.ValidationError({ message: `${field}: ${reason}` })]
  })

/** What goes to standard error: one line, and with `json` the error as a document behind it. */
export const lines = (
  path: ReadonlyArray<string>,
  errors: ReadonlyArray<CliError.NonShowHelpErrors>,
  json: boolean
): string => {
  const found = errors.map(problem)
  const command = path.slice(1).join(" ")
  const problems = new Set(found.map(({ field, problem }) => `${field}: ${problem}`))
  const first = found[0]
  const text = `berth: ${command === "" ? "" : `${command}: `}${[...problems].join("; ")} (see ${[...path, "--help"].join(" ")})`
  const machine = json && first !== undefined ? `${toJson(new InvalidArgument(first))}\n` : ""
  return `${printable(text)}\n${machine}`
}

/** Prints help, versions and misuse. */
export const presenter = (options: { readonly json: boolean; readonly colors: boolean }) =>
  Effect.map(Output, (output): CliOutput.Presenter => {
    const formatter = CliOutput.defaultFormatter({ colors: options.colors, inheritedFlags: "summary" })
    const print = (text: string) => Effect.ignore(output.write(`${text}\n`))
    return {
      present: (event) => {
        switch (event._tag) {
          case "Version":
            return print(`${event.name} ${event.version}`)
          case "InvalidInvocation":
            return output.writeError(lines(event.commandPath, event.errors, options.json))
          case "Help":
            return event.reason === "Requested"
              ? print(formatter.formatHelpDoc(event.helpDoc))
              : output.writeError(`${formatter.formatHelpDoc(event.helpDoc)}\n`)
        }
      }
    }
  })
