/**
 * Standard output and error of the command. A write returns when the bytes have left the process, so that whoever ends the process afterwards loses
 * nothing. A reader that has gone away (`berth logs | head`) is an outcome of its own, not a failure.
 */
import { Context, Data, Effect, Layer } from "effect"
import { Unavailable } from "../schema/Errors.ts"

/** Nobody reads standard output any more, or standard error where that is what was to be printed. */
export class OutputClosed extends Data.TaggedError("OutputClosed") {}

/** What a write may fail with. */
export type WriteError = OutputClosed | Unavailable

export class Output extends Context.Service<
  Output,
  {
    /** To standard output: the result of the command and nothing else. */
    readonly write: (data: string | Uint8Array) => Effect.Effect<void, WriteError>
    /** To standard error; what cannot be written there is lost. */
    readonly writeError: (data: string | Uint8Array) => Effect.Effect<void>
    /** What a process has printed, to the same of the two. Fails with OutputClosed for either. */
    readonly copy: (stream: "stdout" | "stderr", bytes: Uint8Array) => Effect.Effect<void, WriteError>
    /** Whether a person looks at standard output, in a terminal that wants colour. */
    readonly colors: boolean
    /** Whether standard output is a terminal on which one may draw. */
    readonly isTerminal: boolean
  }
>()("berth/cli/Output") {
  /** The streams of this process. */
  static readonly layer = Layer.sync(Output, () => {
    const { env, stderr, stdout } = process
    // Write failures arrive at the callbacks; without a listener they would also be thrown.
    for (const stream of [stdout, stderr]) stream.on("error", () => {})
    const write = (data: string | Uint8Array, to: NodeJS.WriteStream = stdout) =>
      Effect.callback<void, WriteError>((resume) => {
        if (data.length === 0) return resume(Effect.void)
        to.write(data, (error) => resume(error ? Effect.fail(toError(error)) : Effect.void))
      })
    return Output.of({
      write: (data) => write(data),
      writeError: (data) => Effect.ignore(write(data, stderr)),
      copy: (stream, bytes) =>
        stream === "stdout" ? write(bytes) : Effect.catchTag(write(bytes, stderr), "Unavailable", () => Effect.void),
      isTerminal: stdout.isTTY && env["TERM"] !== "dumb",
      colors: stdout.isTTY && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb"
    })
  })
}

const closed = ["EPIPE", "ERR_STREAM_DESTROYED", "ECONNRESET"]

const toError = (error: NodeJS.ErrnoException): WriteError =>
  closed.includes(error.code ?? "")
    ? new OutputClosed()
    : new Unavailable({ what: "standard output", problem: error.code ?? "cannot be written to", mend: null })

/** A line of text on standard output. */
export const line = (text: string): Effect.Effect<void, WriteError, Output> =>
  Output.use((output) => output.write(`${text}\n`))
