/** `berth completions`: scripts that let a shell complete commands, options and their values. */
import { Effect } from "effect"
import { Argument, Command, Completions } from "effect/cli"
import { Output } from "../Output.ts"

/** The command for a command line, which is read only when a script is asked for. */
export const completions = (descriptor: () => Completions.CommandDescriptor) =>
  Command.make(
    "completions",
    {
      shell: Argument.Literals("shell", ["bash", "zsh", "fish", "powershell"]).pipe(
        Argument.withDescription("Which shell")
      )
    },
    ({ shell }) =>
      Effect.flatMap(Output, (output) => output.write(`${Completions.generate("berth", shell, descriptor())}\n`))
  ).pipe(
    Command.withDescription("Print a completion script for a shell"),
    Command.withExamples([
      { command: "berth completions bash > /etc/bash_completion.d/berth" },
      { command: `source <(berth completions zsh)`, description: "For this shell only" }
    ])
  )
