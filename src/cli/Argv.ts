/**
 * Brings the words of the command line into one form before they are parsed: the commands first, then every option as `--name` or `--name=value`, then
 * `--`, then the rest. What a container is to run therefore needs no `--` before it, a value may begin with a dash, `-s9` and `-it` work, and no word
 * after a switch is taken for its value. Reads the definitions of the commands themselves; what it does not know it leaves to the parser to refuse.
 */
import type { Completions } from "effect/cli"

type CommandDescriptor = Completions.CommandDescriptor
type FlagDescriptor = Completions.FlagDescriptor

/** The name of the argument that takes a command line of its own: it ends the options. */
export const commandArgument = "command"

interface Option {
  readonly name: string
  readonly takesValue: boolean
}

const isSwitch = (flag: FlagDescriptor) => flag.type._tag === "Boolean"

const negation = (flag: FlagDescriptor): string | undefined =>
  !isSwitch(flag) || flag.negation === false ? undefined : (flag.negation ?? `no-${flag.name}`)

/** Every way to write an option, without dashes, and the option meant. */
const table = (flags: ReadonlyArray<FlagDescriptor>): ReadonlyMap<string, Option> => {
  const names = new Map<string, Option>()
  for (const flag of flags) {
    const not = negation(flag)
    if (not !== undefined) names.set(not, { name: not, takesValue: false })
    for (const name of [flag.name, ...flag.aliases]) {
      names.set(name, { name: flag.name, takesValue: !isSwitch(flag) && flag.optionalValue !== true })
    }
  }
  return names
}

/** How many words may come before the container's command; endless where the command has none. */
const leading = (command: CommandDescriptor): number => {
  const last = command.arguments.at(-1)
  return last?.variadic === true && last.name === commandArgument ? command.arguments.length - 1 : Infinity
}

/** The words in the form that the parser reads without doubt. `globals` are options that every command has besides its own. */
export const normalise = (
  words: ReadonlyArray<string>,
  root: CommandDescriptor,
  globals: ReadonlyArray<FlagDescriptor>
): ReadonlyArray<string> => {
  const path: Array<string> = []
  const options: Array<string> = []
  const rest: Array<string> = []
  let command = root
  let known = table([...globals, ...shared(root), ...root.flags])
  let at = 0
  let help = false

  /** One option with its value, which is the text after it or the next word. */
  const push = (option: Option, inline: string | undefined) => {
    if (inline !== undefined) options.push(`--${option.name}=${inline}`)
    else if (!option.takesValue || at >= words.length) options.push(`--${option.name}`)
    else options.push(`--${option.name}=${words[at++]}`)
  }

  const long = (word: string) => {
    const equals = word.indexOf("=")
    const option = known.get(equals < 0 ? word.slice(2) : word.slice(2, equals))
    // A short name is not a long one: `--n` stays unknown.
    if (option === undefined || (equals < 0 ? word.length : equals) === 3) options.push(word)
    else push(option, equals < 0 ? undefined : word.slice(equals + 1))
  }

  /** `-i`, `-it`, `-s9`, `-s=9`, `-itu0`: switches, and at most one value, which is what is left of the word. */
  const short = (word: string) => {
    for (let index = 1; index < word.length; index++) {
      const option = known.get(word[index] ?? "")
      if (option === undefined) return void options.push(`-${word.slice(index)}`)
      const left = word.slice(index + 1)
      if (option.takesValue || left.startsWith("=")) {
        return push(option, left === "" ? undefined : left.replace(/^=/, ""))
      }
      push(option, undefined)
    }
  }

  while (at < words.length) {
    const word = words[at++] ?? ""
    if (word === "--") {
      rest.push(...words.slice(at))
      break
    }
    if (word.startsWith("--")) long(word)
    else if (word.startsWith("-") && word.length > 1) short(word)
    else if (command.subcommands.length > 0) {
      const next = command.subcommands.find(({ name }) => name === word)
      if (next === undefined && command === root && word === "help" && !help) {
        help = true
        continue
      }
      path.push(word)
      // An unknown command: the parser knows better what to say, and hidden ones read their own words.
      if (next === undefined) return [...path, ...options, ...words.slice(at)]
      command = next
      known = table([...globals, ...shared(root), ...command.flags])
    } else {
      rest.push(word)
      if (rest.length > leading(command)) {
        rest.push(...words.slice(at))
        // The user may have written `--` after the id: `exec web -- ls`.
        break
      }
    }
  }
  return [...path, ...options, ...(help ? ["--help"] : []), ...(rest.length === 0 ? [] : ["--", ...rest])]
}

/** The root's options are those of every command. */
const shared = (root: CommandDescriptor) => root.flags
