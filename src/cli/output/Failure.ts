/**
 * What a failed command says and how it ends. Pure: one line for people, one JSON document for programs, one exit code, from an error alone.
 *
 * Exit codes: 1 error, 2 usage, 124 timed out, 125 berth or its runtime failed, 126 command not executable, 127 command or container not found.
 */
import { Data, Effect, Schema } from "effect"
import { BerthError, mend, NotFound } from "../../schema/Errors.ts"

/** The command has said all there is to say and ends with this code. */
export class Exited extends Data.TaggedError("Exited")<{ readonly code: number }> {}

/** An error that ends the command with a code of its own instead of the one that such errors have elsewhere. */
export class Failed extends Data.TaggedError("Failed")<{ readonly error: BerthError; readonly code: number }> {}

/** What an error is about, and what is wrong with that. */
const parts = (error: BerthError): readonly [what: string, why: string] => {
  switch (error._tag) {
    case "NotFound":
      return [`${error.kind} "${error.id}"`, "not found"]
    case "AlreadyExists":
      return [`${error.kind} "${error.id}"`, "already exists"]
    case "Unsupported":
      return error.driver === "berth"
        ? [error.capability, "not supported by this version"]
        : [`runtime "${error.driver}"`, `does not support ${error.capability}`]
    case "WaitTimeout":
      return [`"${error.id}"`, `still running after ${error.milliseconds} ms`]
    case "ResourceExhausted":
      return [error.resource, `full, the limit is ${error.limit}`]
    case "Unauthenticated":
      return ["authentication", error.message]
    case "PermissionDenied":
      return ["permission denied", error.problem]
    case "Internal":
      return ["internal error", `see the daemon's log for ${error.reference}`]
    default: {
      const [what = "", ...why] = error.message.split(": ")
      return [what, why.join(": ") || "failed"]
    }
  }
}

/** Text that keeps to its line and cannot steer a terminal. */
export const printable = (text: string): string =>
  text
    .replace(/\s*[\r\n]+\s*/g, " ")
    // oxlint-disable-next-line no-control-regex
    .replace(/[\u0000-\u001f\u007f-\u009f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`)
    .trim()

/** `berth: <what>: <why> (<mend>)`. `id` says which of several containers failed, where the error does not. */
export const describe = (error: BerthError, id?: string): string => {
  const [what, why] = parts(error)
  const hint = mend(error)
  const which = id === undefined || what.includes(`"${id}"`) ? "" : `${id}: `
  return printable(`berth: ${which}${what}: ${why}${hint === null ? "" : ` (${hint})`}`)
}

const encode = Schema.encodeSync(BerthError)

/** `{"error": {"_tag", …fields}}` on one line. */
export const toJson = (error: BerthError): string => JSON.stringify({ error: encode(error) })

/** What goes to standard error. */
export const report = (error: BerthError, json: boolean, id?: string): string =>
  json ? `${describe(error, id)}\n${toJson(error)}\n` : `${describe(error, id)}\n`

const codes: { readonly [Tag in BerthError["_tag"]]: number } = {
  NotFound: 1,
  AlreadyExists: 1,
  InvalidArgument: 1,
  FailedPrecondition: 1,
  Unsupported: 1,
  WaitTimeout: 124,
  RuntimeFailed: 125,
  ShimLost: 125,
  ResourceExhausted: 1,
  Unauthenticated: 1,
  PermissionDenied: 1,
  Unavailable: 125,
  Internal: 125
}

/** The exit code of an error, whatever the command. */
export const exitCode = (error: BerthError): number => {
  if (error._tag === "RuntimeFailed" && error.reason === "command-not-found") return 127
  if (error._tag === "RuntimeFailed" && error.reason === "command-not-executable") return 126
  if (error._tag === "NotFound" && error.kind === "runtime") return 125
  // No daemon complains of an address: it is what the user wrote.
  if (error._tag === "InvalidArgument" && error.field === "address") return 2
  return codes[error._tag]
}

const isMissingContainer = (error: BerthError): error is NotFound =>
  error._tag === "NotFound" && (error.kind === "container" || error.kind === "task")

/** For commands that end with a process's own code: a container that is not there is 127, as a shell has it for a program that is not there. */
export const asProcess = <A, E, R>(effect: Effect.Effect<A, E | BerthError, R>) =>
  Effect.catchIf(
    effect,
    (error): error is Extract<E | BerthError, NotFound> => isBerthError(error) && isMissingContainer(error),
    (error) => Effect.fail(new Failed({ error, code: 127 }))
  )

/** Whether a value is an error of the closed set. */
export const isBerthError = Schema.is(BerthError)
