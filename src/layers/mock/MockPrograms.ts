/**
 * From the `process` of a specification to the program that stands for it, so that the same tests run on real and on pretended containers. What it cannot
 * work out it refuses: a test then gives the process a `Script`.
 */
import { Result } from "effect"
import type { RuntimeFailed } from "../../schema/Errors.ts"
import type { OciProcess } from "../../schema/OciSpec.ts"
import { lookUp, nameOf, shells } from "./MockCommands.ts"
import type { Shell } from "./MockEvaluator.ts"
import { run, subshell } from "./MockEvaluator.ts"
import type { Program } from "./MockScript.ts"

/** Why a process cannot be started. */
export interface Refusal {
  readonly reason: RuntimeFailed["reason"]
  readonly detail: string
}

/** The program of a process, which is init or an exec of its container. */
export const interpret = (process: OciProcess, init: boolean): Result.Result<Program, Refusal> => {
  const args = process.args ?? []
  const words = nameOf(args[0] ?? "") === "busybox" ? args.slice(1) : args
  const [command = ""] = words
  const state = lookUp(command)
  if (state !== "found") return Result.fail({ reason: state, detail: `exec: "${command}": ${state}` })
  const variables = new Map(
    (process.env ?? []).map((pair) => [pair.split("=", 1)[0] ?? "", pair.replace(/^[^=]*=?/, "")])
  )
  const shell: Shell = {
    outputs: { stdout: "stdout", stderr: "stderr" },
    variables: variables.set("PWD", process.cwd),
    self: init ? "1" : "7",
    handles: new Map(),
    ignores: new Set(),
    steps: [],
    problems: [],
    status: 0,
    ended: null
  }
  const text = words[2]
  const isShell = shells.has(nameOf(command)) && words[1] === "-c" && text !== undefined
  const ran = isShell ? subshell(shell, text) : { ...shell, status: run(shell, words) }
  const [problem] = shell.problems
  return problem === undefined
    ? Result.succeed({ ...ran, exit: ran.ended ?? ran.status, oomAfter: null })
    : Result.fail({ reason: "failed", detail: `pretended programs cannot do: ${problem}` })
}
