/**
 * The command line that waits, and then becomes the process of a specification. It is a constant script of the shell;
 * everything of the specification goes to it as an argument or in its environment. The shell opens a FIFO, which blocks
 * until somebody opens the other end, and then replaces itself: the pid stays.
 */
import { Result } from "effect"
import { accessSync, constants, statSync } from "node:fs"
import { isAbsolute, join, resolve } from "node:path"
import { InvalidArgument, RuntimeFailed, Unavailable, Unsupported } from "../../schema/Errors.ts"
import type { OciProcess } from "../../schema/OciSpec.ts"
import { codeOf } from "../posix/Libc.ts"
import { usualFolders } from "./Probe.ts"

// Shells set these three themselves. What the process is to have under these names comes through env(1).
const script = 'umask "$1" && cd -- "$2" && : < "$3" && shift 3 && unset -v PWD OLDPWD SHLVL && exec "$@"'
const ownNames = ["PWD", "OLDPWD", "SHLVL", "_"]
/** What a shell hands on as it came. */
const shellName = /^[A-Za-z_][A-Za-z0-9_]*$/

/** What is to be started. */
export interface Command {
  readonly path: string
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  /** The owner that its terminal gets; `null` where it stays as it is. */
  readonly owner: { readonly uid: number; readonly gid: number } | null
}

/** Whose daemon this is. */
export interface Self {
  readonly uid: number
  readonly gid: number
}

export type Problem = RuntimeFailed | Unsupported | Unavailable | InvalidArgument

const name = "host"

/** A failure in the words of a runtime. */
export const failed = (command: string, detail: string, reason: RuntimeFailed["reason"] = "failed"): RuntimeFailed =>
  new RuntimeFailed({ runtime: name, command, exitCode: reason === "deadline" ? -1 : 1, reason, detail, log: [] })

const environment = ({ env = [] }: OciProcess): Readonly<Record<string, string>> =>
  Object.fromEntries(
    env.flatMap((entry) => {
      const at = entry.indexOf("=")
      return at < 1 ? [] : [[entry.slice(0, at), entry.slice(at + 1)]]
    })
  )

type Found = { readonly path: string } | { readonly reason: "command-not-found" | "command-not-executable" }

const look = (path: string): Found => {
  try {
    if (!statSync(path).isFile()) return { reason: "command-not-executable" }
    accessSync(path, constants.X_OK)
    return { path }
  } catch (error) {
    return { reason: codeOf(error) === "EACCES" ? "command-not-executable" : "command-not-found" }
  }
}

const find = (program: string, cwd: string, path: string | undefined): Found => {
  if (program.includes("/")) return look(resolve(cwd, program))
  const folders = path === undefined ? usualFolders : path.split(":")
  const found = folders.map((folder) => look(resolve(cwd, join(folder, program))))
  return (
    found.find((one) => "path" in one) ??
    found.find((one) => "reason" in one && one.reason === "command-not-executable") ?? { reason: "command-not-found" }
  )
}

/** What comes before the program to make it another user's; empty where it is to be the daemon's own. */
const asUser = (process: OciProcess, self: Self): Result.Result<ReadonlyArray<string>, Problem> => {
  const { additionalGids = [], gid, uid } = process.user ?? { uid: 0, gid: 0 }
  // 0:0 is what a specification says that names nobody.
  const own = (uid === 0 && gid === 0) || (uid === self.uid && gid === self.gid)
  if (own && (additionalGids.length === 0 || self.uid !== 0)) return Result.succeed([])
  if (self.uid !== 0) return Result.fail(new Unsupported({ driver: name, capability: "another user than its own" }))
  const setpriv = usualFolders.map((folder) => look(`${folder}/setpriv`)).find((found) => "path" in found)
  if (setpriv === undefined || !("path" in setpriv)) {
    const problem = "it is needed to start a process of another user"
    return Result.fail(new Unavailable({ what: "setpriv", problem, mend: "apt-get install util-linux" }))
  }
  const groups = additionalGids.length === 0 ? ["--clear-groups"] : ["--groups", additionalGids.join(",")]
  const privileges = process.noNewPrivileges === true ? ["--no-new-privs"] : []
  const ids = ["--reuid", `${uid}`, "--regid", `${gid}`]
  return Result.succeed([setpriv.path, ...ids, ...groups, ...privileges, "--"])
}

/** The waiting command line; `fifo` is what it waits for. Refuses a program that cannot be executed, as runtimes do. */
export const make = (
  operation: "create" | "exec",
  process: OciProcess,
  fifo: string,
  self: Self
): Result.Result<Command, Problem> => {
  const { cwd } = process
  const [program = "", ...rest] = process.args ?? []
  if (program === "") return Result.fail(new InvalidArgument({ field: "args", problem: "no command" }))
  if (!isAbsolute(cwd)) return Result.fail(new InvalidArgument({ field: "cwd", problem: `"${cwd}" is not absolute` }))
  if (statSync(cwd, { throwIfNoEntry: false })?.isDirectory() !== true) {
    return Result.fail(failed(operation, `chdir to cwd "${cwd}": no such folder`))
  }
  const env = environment(process)
  const found = find(program, cwd, env["PATH"])
  if (!("path" in found)) {
    const why = found.reason === "command-not-found" ? "no such program" : "it cannot be executed"
    return Result.fail(failed(operation, `"${program}": ${why}`, found.reason))
  }
  const prefix = asUser(process, self)
  if (Result.isFailure(prefix)) return Result.fail(prefix.failure)
  const isOdd = (variable: string) => ownNames.includes(variable) || !shellName.test(variable)
  const odd = Object.entries(env).filter(([variable]) => isOdd(variable))
  const through = odd.length === 0 ? [] : ["/usr/bin/env", ...odd.map(([variable, value]) => `${variable}=${value}`)]
  // As it was called wherever the shell finds the same, for a program may look at its own name.
  const asCalled = program.includes("/") || (env["PATH"] !== undefined && !program.startsWith("-"))
  const word = asCalled && !program.includes("=") ? program : found.path
  const umask = (process.user?.umask ?? 0o022).toString(8)
  const { gid, uid } = process.user ?? { uid: 0, gid: 0 }
  return Result.succeed({
    path: "/bin/sh",
    args: ["-c", script, "berth-host", umask, cwd, fifo, ...prefix.success, ...through, word, ...rest],
    env: Object.fromEntries(Object.entries(env).filter(([variable]) => !isOdd(variable))),
    owner: prefix.success.length === 0 ? null : { uid, gid }
  })
}
