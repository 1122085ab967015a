/**
 * The OCI process: the first one of a container, and those that `exec` adds. An added process inherits what the
 * container's own has, so that it is never freer than the container unless it asks to be.
 */
import { Result, Schema } from "effect"
import { type OciCapabilities, OciConsoleSize, type OciProcess, type OciSpec } from "../schema/OciSpec.ts"
import * as Capabilities from "./Capabilities.ts"
import * as Environment from "./Environment.ts"
import type { HostFacts } from "./HostFacts.ts"
import { InvalidArgument } from "../schema/Errors.ts"
import { fail, type Problem } from "./Problem.ts"
import { resolve as resolveUser } from "./UserSpec.ts"

const optional = Schema.optionalKey
const strings = Schema.Array(Schema.String)

/** What `exec` may say about a process; what it does not say comes from the container. */
export const ExecOptions = Schema.Struct({
  args: strings,
  /** Added to the container's environment. */
  env: optional(strings),
  cwd: optional(Schema.String),
  /** `USER[:GROUP]`, names or numbers. */
  user: optional(Schema.String),
  /** The whole set, in place of the container's; `ALL` is every capability. */
  capabilities: optional(strings),
  terminal: optional(Schema.Boolean),
  consoleSize: optional(OciConsoleSize),
  /** Every capability; the container's filter and namespaces stay. */
  privileged: optional(Schema.Boolean),
  noNewPrivileges: optional(Schema.Boolean)
})
export type ExecOptions = typeof ExecOptions.Type

/** The five sets for a bounding set. Only root has it in force: for others the kernel would drop it at exec anyway. */
export const capabilitySets = (bounding: ReadonlyArray<string>, uid: number): OciCapabilities => {
  const inForce = uid === 0 ? bounding : []
  return { bounding, effective: inForce, permitted: inForce, inheritable: [], ambient: [] }
}

/** Checks the words that reach the kernel as C strings, and where the process starts. */
export const checkCommand = (options: {
  readonly args: ReadonlyArray<string>
  readonly env?: ReadonlyArray<string>
  readonly cwd?: string
}): Result.Result<void, Problem> => {
  if (options.args.length === 0 || options.args[0] === "") return fail("args", "a command is needed")
  if (options.cwd !== undefined && !options.cwd.startsWith("/")) {
    return fail("cwd", `must be an absolute path, got "${options.cwd}"`)
  }
  const texts = { args: options.args, env: options.env ?? [], cwd: [options.cwd ?? ""] }
  const field = Object.entries(texts).find(([, list]) => list.some((text) => text.includes("\0")))?.[0]
  return field === undefined ? Result.void : fail(field, "contains a NUL byte")
}

const withoutConsole = ({ consoleSize: _, ...rest }: OciProcess): OciProcess => rest

/** The process to run beside those of a container. */
export const makeProcess = (
  spec: OciSpec,
  options: ExecOptions,
  host: HostFacts = {}
): Result.Result<OciProcess, Problem> =>
  Result.gen(function* () {
    const parent = spec.process
    if (parent === undefined) return yield* fail("spec", "the container's specification has no process")
    yield* checkCommand(options)
    const terminal = options.terminal ?? false
    const parentUser = parent.user ?? { uid: 0, gid: 0 }
    const user = options.user === undefined ? parentUser : yield* resolveUser(options.user, host.users)
    const wanted = options.privileged === true ? ["ALL"] : options.capabilities
    const asked =
      wanted === undefined
        ? undefined
        : yield* Result.mapError(
            Capabilities.apply({ base: [], add: wanted, drop: [], held: host.capabilities }),
            ({ problem }) => new InvalidArgument({ field: "capabilities", problem })
          )
    const sets =
      asked === undefined && user.uid === parentUser.uid
        ? parent.capabilities
        : capabilitySets(asked ?? parent.capabilities?.bounding ?? [], user.uid)
    return {
      ...withoutConsole(parent),
      terminal,
      ...(terminal && options.consoleSize !== undefined ? { consoleSize: options.consoleSize } : {}),
      user: { ...(parentUser.umask === undefined ? {} : { umask: parentUser.umask }), ...user },
      args: options.args,
      env: yield* Environment.merge(
        terminal ? ["TERM=xterm", ...(parent.env ?? [])] : (parent.env ?? []),
        options.env ?? []
      ),
      cwd: options.cwd ?? parent.cwd,
      ...(sets === undefined ? {} : { capabilities: sets }),
      ...(options.noNewPrivileges === undefined ? {} : { noNewPrivileges: options.noNewPrivileges }),
      ...(options.privileged === true && parent.apparmorProfile !== undefined ? { apparmorProfile: "unconfined" } : {})
    }
  })
