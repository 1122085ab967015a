/**
 * Branded identifiers. One grammar for namespaces, containers, execs and topic parts, the one containerd uses: runs of letters and digits
 * joined by single `.`, `_` or `-`, 76 characters at most. No identifier can therefore climb out of a directory, hide as a flag or contain `--`.
 */
import { Schema } from "effect"

/** Longest identifier, in characters. */
export const maxIdLength = 76

const identifier = (what: string) =>
  Schema.String.check(
    Schema.isMaxLength(maxIdLength, { message: `${what}: at most ${maxIdLength} characters` }),
    Schema.isPattern(/^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/, {
      message: `${what}: letters and digits, joined by single ".", "_" or "-"`
    })
  )

/** The scope of ids, events and resources. */
export const Namespace = identifier("a namespace").pipe(Schema.brand("Namespace"))
export type Namespace = typeof Namespace.Type

/** A container, and its task: they share the id. */
export const ContainerId = identifier("a container id").pipe(Schema.brand("ContainerId"))
export type ContainerId = typeof ContainerId.Type

/** An additional process of a task; unique within its container. */
export const ExecId = identifier("an exec id").pipe(Schema.brand("ExecId"))
export type ExecId = typeof ExecId.Type

/** One that reads the event log and has its place in it kept. */
export const ConsumerName = identifier("a consumer's name").pipe(Schema.brand("ConsumerName"))
export type ConsumerName = typeof ConsumerName.Type

/** The name of a runtime driver, or `auto`. */
export const RuntimeName = identifier("a runtime name").pipe(Schema.brand("RuntimeName"))
export type RuntimeName = typeof RuntimeName.Type

/** Position in the event log: starts at 1, never reused, never skipped within one log. */
export const Seq = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(Schema.brand("Seq"))
export type Seq = typeof Seq.Type

/** What names a process on every boundary: a container, and the exec within it or `null` for its init process. */
export interface ProcessRef {
  readonly namespace: Namespace
  readonly containerId: ContainerId
  readonly execId: ExecId | null
}

/** A map key for a container; `/` cannot occur in an id. */
export const containerKey = (ref: { readonly namespace: Namespace; readonly containerId: ContainerId }): string =>
  `${ref.namespace}/${ref.containerId}`

/** A map key for a process. */
export const processKey = (ref: ProcessRef): string =>
  ref.execId === null ? containerKey(ref) : `${containerKey(ref)}/${ref.execId}`
