/**
 * Acts the syntax of `MockShell` out, before the process runs: the outcome is the steps that it will take. A loop without end is a `Repeat`, a command in the
 * background a `Spawn`; traps hold from the beginning of the process.
 */
import { Option, Result } from "effect"
import { commands, lookUp, nameOf, signalFrom } from "./MockCommands.ts"
import type { Handler, OutputStream } from "./MockScript.ts"
import { Step } from "./MockScript.ts"
import type { List, Redirect, Word } from "./MockShell.ts"
import { parse } from "./MockShell.ts"

type Outputs = Readonly<Record<OutputStream, OutputStream | null>>

/** A shell while it is worked out. `problems` collects what is beyond it. */
export interface Shell {
  readonly outputs: Outputs
  readonly variables: Map<string, string>
  /** Its pid as it sees it. */
  readonly self: string
  readonly handles: Map<number, Handler>
  readonly ignores: Set<number>
  readonly steps: Array<Step>
  readonly problems: Array<string>
  status: number
  /** The status of a shell that has ended. */
  ended: number | null
}

const expand = (shell: Shell, word: Word): string =>
  word
    .map(({ literal, text }) => {
      if (literal) return text
      if (/\$[^\w{?$]|`|\$\{\w*[^\w}]/.test(text)) shell.problems.push(text)
      return text.replace(/\$(?:(\w+)|\{(\w+)\}|([?$]))/g, (_, bare?: string, braced?: string, special?: string) =>
        special === "?"
          ? `${shell.status}`
          : special === "$"
            ? shell.self
            : (shell.variables.get(bare ?? braced ?? "") ?? "")
      )
    })
    .join("")

/** Runs a text in a shell of its own, which starts as `shell` is. */
export const subshell = (shell: Shell, text: string): Shell => {
  const inner = { ...shell, variables: new Map(shell.variables), steps: [], status: 0, ended: null }
  Result.match(parse(text), {
    onFailure: (problem) => void shell.problems.push(problem),
    onSuccess: (list) => runList(inner, list)
  })
  return inner
}

const runList = (shell: Shell, list: List): void => {
  for (const { background, node, when } of list) {
    if (shell.ended !== null) return
    if (when !== "always" && (when === "success") !== (shell.status === 0)) continue
    if (node._tag === "For") {
      for (const word of node.words) {
        shell.variables.set(node.name, expand(shell, word))
        runList(shell, node.body)
      }
      continue
    }
    const inner: Shell = { ...shell, variables: new Map(shell.variables), steps: [], ended: null }
    if (node._tag === "Forever") {
      runList(inner, node.body)
      if (inner.ended === null) inner.steps.splice(0, Infinity, Step.Repeat({ steps: [...inner.steps] }))
      shell.ended = inner.ended ?? 0
    } else if (background) {
      inner.status = run(
        inner,
        node.words.map((word) => expand(shell, word)),
        node.redirects
      )
    } else {
      shell.status = run(
        shell,
        node.words.map((word) => expand(shell, word)),
        node.redirects
      )
    }
    shell.steps.push(...(background ? [Step.Spawn({ steps: inner.steps })] : inner.steps))
  }
}

/** Runs one command in the shell and gives its status. */
export const run = (
  shell: Shell,
  [command = ":", ...args]: ReadonlyArray<string>,
  redirects: ReadonlyArray<Redirect> = []
): number => {
  const outputs = redirects.reduce<Outputs>(
    (before, { from, to }) => ({ ...before, [from]: to === null ? null : before[to] }),
    shell.outputs
  )
  const refuse = () => {
    shell.problems.push([command, ...args].join(" "))
    return 2
  }
  const [, variable, value = ""] = /^([A-Za-z_]\w*)=([^]*)$/.exec(command) ?? []
  if (variable !== undefined) {
    shell.variables.set(variable, value)
    return args.length === 0 ? 0 : refuse()
  }
  const print = (stream: OutputStream | null, text: string) => {
    if (stream !== null) shell.steps.push(Step.Write({ stream, text }))
  }
  const builtin = builtins.get(nameOf(command))
  if (builtin !== undefined) return builtin(shell, args, refuse, outputs)
  const found = commands.get(nameOf(command))
  if (found === undefined) {
    const executable = lookUp(command) !== "command-not-executable"
    print(outputs.stderr, `sh: ${command}: ${executable ? "not found" : "Permission denied"}\n`)
    return executable ? 127 : 126
  }
  const push = (step: Step) => void shell.steps.push(step)
  return found({ ...shell, args, push, print: (text) => print(outputs.stdout, text), refuse, stdout: outputs.stdout })
}

type Builtin = (shell: Shell, args: ReadonlyArray<string>, refuse: () => number, outputs: Outputs) => number

const sh: Builtin = (shell, [flag, text], refuse, outputs) => {
  if (flag !== "-c" || text === undefined) return refuse()
  const own = { outputs, self: "7", handles: new Map(), ignores: new Set<number>() }
  const inner = subshell({ ...shell, ...own }, text)
  shell.steps.push(...inner.steps)
  return own.handles.size + own.ignores.size > 0 ? refuse() : (inner.ended ?? inner.status)
}

const trap: Builtin = (shell, [action = "", ...names], refuse) => {
  for (const name of names) {
    const signal = Option.getOrElse(signalFrom(name), () => 0)
    if (signal === 0) return refuse()
    shell.handles.delete(signal)
    shell.ignores.delete(signal)
    if (action === "") shell.ignores.add(signal)
    else if (action !== "-") {
      const { ended, steps } = subshell(shell, action)
      shell.handles.set(signal, { steps, exit: ended })
    }
  }
  return 0
}

const builtins: ReadonlyMap<string, Builtin> = new Map<string, Builtin>([
  [":", () => 0],
  ["sh", sh],
  ["ash", sh],
  ["trap", trap],
  ["busybox", (shell, args, refuse) => (args.length === 0 ? refuse() : run(shell, args))],
  ["exit", (shell, [status]) => (shell.ended = status === undefined ? shell.status : Number(status) & 255)],
  ["exec", (shell, args, refuse) => (shell.ended = args.length === 0 ? refuse() : run(shell, args))],
  [
    "wait",
    (shell) => {
      shell.steps.push(Step.Wait())
      return 0
    }
  ]
])
