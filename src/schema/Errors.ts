/**
 * The closed set of errors, the same on every boundary. Each is a fact with fields; `message` is derived from them, and `mend` says what to do where
 * berth knows. Defects, stacks and paths of the server are never part of one.
 */
import { Schema } from "effect"

const Kind = Schema.Literals([
  "namespace",
  "container",
  "task",
  "process",
  "exec",
  "runtime",
  "snapshot",
  "lease",
  "checkpoint",
  "consumer",
  "method"
])

/** The thing named does not exist, or no longer does. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { kind: Kind, id: Schema.String }) {
  override get message() {
    return `${this.kind} "${this.id}" not found`
  }
}

/** The id is taken. */
export class AlreadyExists extends Schema.TaggedError<AlreadyExists>()("AlreadyExists", {
  kind: Kind,
  id: Schema.String
}) {
  override get message() {
    return `${this.kind} "${this.id}" already exists`
  }
}

/** The request can never work as it stands. `field` names the part that is wrong. */
export class InvalidArgument extends Schema.TaggedError<InvalidArgument>()("InvalidArgument", {
  field: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `${this.field}: ${this.problem}`
  }
}

/** The request is right but not now: `found` is the status met, `allowed` those in which it works. */
export class FailedPrecondition extends Schema.TaggedError<FailedPrecondition>()("FailedPrecondition", {
  operation: Schema.String,
  found: Schema.String,
  allowed: Schema.Array(Schema.String)
}) {
  override get message() {
    const wanted = this.allowed.length === 0 ? "" : `, must be ${this.allowed.join(" or ")}`
    return `cannot ${this.operation}: it is ${this.found}${wanted}`
  }
}

/** This driver, on this host, lacks the capability. */
export class Unsupported extends Schema.TaggedError<Unsupported>()("Unsupported", {
  driver: Schema.String,
  capability: Schema.String
}) {
  override get message() {
    return `runtime "${this.driver}" does not support ${this.capability}`
  }
}

/** The process was still running when the time was up. */
export class WaitTimeout extends Schema.TaggedError<WaitTimeout>()("WaitTimeout", {
  id: Schema.String,
  milliseconds: Schema.Finite
}) {
  override get message() {
    return `"${this.id}" is still running after ${this.milliseconds} ms`
  }
}

/**
 * The runtime binary ran and failed. `reason` tells the cases that callers treat apart; `log` holds the last lines that the runtime wrote.
 * `exitCode` is the runtime's own, -1 where it was killed at its deadline.
 */
export class RuntimeFailed extends Schema.TaggedError<RuntimeFailed>()("RuntimeFailed", {
  runtime: Schema.String,
  command: Schema.String,
  exitCode: Schema.Int,
  reason: Schema.Literals(["command-not-found", "command-not-executable", "deadline", "failed"]),
  detail: Schema.String,
  log: Schema.Array(Schema.String)
}) {
  override get message() {
    return `${this.runtime} ${this.command} failed: ${this.detail}`
  }
}

/** The process that holds the container's stdio and exit status is gone; berth starts another one. */
export class ShimLost extends Schema.TaggedError<ShimLost>()("ShimLost", { problem: Schema.String }) {
  override get message() {
    return `the shim is gone: ${this.problem}`
  }
}

/** A bounded queue, limit or disk is full. */
export class ResourceExhausted extends Schema.TaggedError<ResourceExhausted>()("ResourceExhausted", {
  resource: Schema.String,
  limit: Schema.Finite
}) {
  override get message() {
    return `${this.resource} is full (limit ${this.limit})`
  }
}

/** No or wrong credentials. */
export class Unauthenticated extends Schema.TaggedError<Unauthenticated>()("Unauthenticated", {}) {
  override get message() {
    return "missing or wrong token"
  }
}

/** Known, but not allowed; or the system refused. */
export class PermissionDenied extends Schema.TaggedError<PermissionDenied>()("PermissionDenied", {
  problem: Schema.String
}) {
  override get message() {
    return this.problem
  }
}

/** Something that berth needs is not there: the daemon, a runtime binary, the store. `mend` is what to type. */
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", {
  what: Schema.String,
  problem: Schema.String,
  mend: Schema.NullOr(Schema.String)
}) {
  override get message() {
    return `${this.what}: ${this.problem}`
  }
}

/** A defect of berth. `reference` finds the report in the daemon's log. */
export class Internal extends Schema.TaggedError<Internal>()("Internal", { reference: Schema.String }) {
  override get message() {
    return `internal error, see the daemon's log for ${this.reference}`
  }
}

/** Every error that can cross a boundary. */
export const BerthError = Schema.Union([
  NotFound,
  AlreadyExists,
  InvalidArgument,
  FailedPrecondition,
  Unsupported,
  WaitTimeout,
  RuntimeFailed,
  ShimLost,
  ResourceExhausted,
  Unauthenticated,
  PermissionDenied,
  Unavailable,
  Internal
])
export type BerthError = typeof BerthError.Type

const mends: { readonly [K in BerthError["_tag"]]?: string } = {
  AlreadyExists: "choose another id, or delete the old one",
  Unauthenticated: "pass --token or set BERTH_TOKEN",
  ShimLost: "try again"
}

/** What lists the things of a kind. */
const lists: { readonly [K in NotFound["kind"]]?: string } = {
  exec: "berth processes",
  process: "berth pids",
  runtime: "berth runtimes",
  consumer: "berth consumers ls"
}

/** What to do about an error, where berth knows. */
export const mend = (error: BerthError): string | null => {
  if (error._tag === "Unavailable") return error.mend
  if (error._tag === "NotFound") return `"${lists[error.kind] ?? "berth ps -a"}" lists what exists`
  if (error._tag === "ResourceExhausted" && error.resource.startsWith("disk")) return "make room on it"
  if (error._tag === "ResourceExhausted" && error.resource === "open files") {
    return "raise the limit on open files (ulimit -n, LimitNOFILE)"
  }
  if (error._tag === "FailedPrecondition" && error.operation.startsWith("delete container ")) {
    return '"berth rm -f" deletes both'
  }
  if (error._tag === "AlreadyExists" && error.kind === "task") {
    return 'choose another id, or delete the old one; "berth doctor" tells of one that is not listed'
  }
  return mends[error._tag] ?? null
}
